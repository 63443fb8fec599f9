// The official openai package for Node, unchanged but for its base URL.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import OpenAI from "openai";
import { behinds, left, URL_OF_FLUX, waitUntil } from "./clients.mjs";

const model = "gpt-4o-mini";
const hello = "Hello from the provider \u{1f600}.";
const say = (content) => [{ role: "user", content }];
const client = (apiKey) => new OpenAI({ baseURL: `${URL_OF_FLUX}/v1`, apiKey, maxRetries: 0 });
const tool = {
  type: "function",
  function: {
    name: "weather",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};

for (const [behind, key] of Object.entries(behinds)) {
  describe(`openai before the ${behind}`, () => {
    const chat = client(key).chat.completions;

    test("chat", async () => {
      const answer = await chat.create({ model, messages: say("Say hello.") });
      assert.equal(answer.choices[0].finish_reason, "stop");
      assert.ok(behind === "provider" ? answer.choices[0].message.content === hello : answer.choices[0].message.content);
      assert.ok(answer._request_id.startsWith("req_"));
    });

    test("stream", async () => {
      let text = "";
      for await (const chunk of await chat.create({ model, messages: say("Say hello."), stream: true })) {
        assert.equal(chunk.choices.length, 1, "a chunk that was not asked for");
        text += chunk.choices[0].delta.content ?? "";
      }
      assert.ok(behind === "provider" ? text === hello : text);
    });

    test("stream with usage and cost", async () => {
      const body = { model, messages: say("Say hello."), stream: true, stream_options: { include_usage: true } };
      let usage;
      for await (const chunk of await chat.create(body)) usage = chunk.usage ?? usage;
      if (behind === "provider") assert.equal(usage.cost_usd, 0.000314);
      assert.ok(usage.total_tokens > 0);
    });

    test("tools", async () => {
      const answer = await chat.create({ model, messages: say("Weather in Paris?"), tools: [tool] });
      const call = answer.choices[0].message.tool_calls[0];
      assert.equal(call.function.name, "weather");
      assert.ok("city" in JSON.parse(call.function.arguments));
    });

    test("tools, streamed", async () => {
      const stream = chat.stream({ model, messages: say("Weather in Paris?"), tools: [tool] });
      const answer = await stream.finalChatCompletion();
      assert.ok("city" in JSON.parse(answer.choices[0].message.tool_calls[0].function.arguments));
    });

    test("images", async () => {
      const url = `data:image/png;base64,${"A".repeat(200_000)}`;
      const content = [{ type: "text", text: "What is it?" }, { type: "image_url", image_url: { url } }];
      const answer = await chat.create({ model, messages: say(content) });
      const text = answer.choices[0].message.content;
      assert.ok(behind === "provider" ? text === `1 picture of ${url.length} characters` : text);
    });

    test("an unknown model", async () => {
      await assert.rejects(chat.create({ model: "no-such-model", messages: say("hi") }), OpenAI.NotFoundError);
    });

    test("a bad request", async () => {
      await assert.rejects(chat.create({ model, messages: say("hi"), stream: "perhaps" }), OpenAI.BadRequestError);
    });

    test("models", async () => {
      const ids = [];
      for await (const entry of client(key).models.list()) ids.push(entry.id);
      assert.ok(ids.includes("flux-auto") && ids.includes("flux-pinned-gpt-6-luna"));
      assert.equal((await client(key).models.retrieve("flux-fast")).id, "flux-fast");
    });
  });
}

describe("openai, errors and cancelling", () => {
  const chat = client(behinds.provider).chat.completions;

  test("a wrong key", async () => {
    const refused = client("sk-flux-nobody").chat.completions.create({ model, messages: say("hi") });
    await assert.rejects(refused, (error) => error instanceof OpenAI.AuthenticationError && error.code === "invalid_api_key");
  });

  test("a failing provider", async () => {
    for (const stream of [false, true]) {
      const failed = chat.create({ model, messages: say("fail:500"), stream });
      await assert.rejects(failed, (error) => error instanceof OpenAI.InternalServerError && error.status === 503);
    }
  });

  test("an error that is the client's own", async () => {
    await assert.rejects(chat.create({ model, messages: say("fail:400") }), OpenAI.BadRequestError);
  });

  test("cancel in mid-stream", async () => {
    const before = await left("openai");
    const stream = await chat.create({ model, messages: say("stall"), stream: true });
    for await (const _ of stream) break;
    stream.controller.abort();
    await waitUntil(async () => (await left("openai")) === before + 1);
  });
});
