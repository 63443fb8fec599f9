// The official @anthropic-ai/sdk package, unchanged but for its base URL.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import { behinds, left, URL_OF_FLUX, waitUntil } from "./clients.mjs";

const hello = "Hello from the provider \u{1f600}.";
const ask = (content, more = {}) => ({
  model: "claude-haiku-5-5",
  max_tokens: 100,
  messages: [{ role: "user", content }],
  ...more,
});
const client = (apiKey) => new Anthropic({ baseURL: `${URL_OF_FLUX}/anthropic`, apiKey, maxRetries: 0 });
const tool = {
  name: "weather",
  input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};

for (const [behind, key] of Object.entries(behinds)) {
  describe(`anthropic before the ${behind}`, () => {
    const { messages } = client(key);

    test("message", async () => {
      const answer = await messages.create(ask("Say hello."));
      assert.equal(answer.stop_reason, "end_turn");
      assert.ok(behind === "provider" ? answer.content[0].text === hello : answer.content[0].text);
    });

    test("stream", async () => {
      const stream = messages.stream(ask("Say hello."));
      const answer = await stream.finalMessage();
      assert.ok(behind === "provider" ? answer.content[0].text === hello : answer.content[0].text);
      assert.ok(answer.usage.output_tokens > 0);
    });

    test("tools, at once and streamed", async () => {
      const body = ask("Weather in Paris?", { tools: [tool] });
      for (const answer of [await messages.create(body), await messages.stream(body).finalMessage()]) {
        const call = answer.content.find((block) => block.type === "tool_use");
        assert.equal(call.name, "weather");
        assert.ok("city" in call.input);
        assert.equal(answer.stop_reason, "tool_use");
      }
    });

    test("images", async () => {
      const data = "A".repeat(200_000);
      const source = { type: "base64", media_type: "image/png", data };
      const answer = await messages.create(ask([{ type: "image", source }, { type: "text", text: "What is it?" }]));
      assert.ok(behind === "provider" ? answer.content[0].text === `1 picture of ${data.length} characters` : answer.content[0].text);
    });

    test("an unknown model", async () => {
      await assert.rejects(messages.create(ask("hi", { model: "no-such-model" })), Anthropic.NotFoundError);
    });

    test("a bad request", async () => {
      await assert.rejects(messages.create(ask("hi", { stream: "perhaps" })), Anthropic.BadRequestError);
    });
  });
}

describe("anthropic, errors and cancelling", () => {
  const { messages } = client(behinds.provider);

  test("a wrong key", async () => {
    await assert.rejects(client("sk-flux-nobody").messages.create(ask("hi")), Anthropic.AuthenticationError);
  });

  test("a failing provider", async () => {
    for (const stream of [false, true]) {
      const failed = messages.create(ask("fail:529", { stream }));
      await assert.rejects(failed, (error) => error instanceof Anthropic.InternalServerError && error.status === 503);
    }
  });

  test("cancel in mid-stream", async () => {
    const before = await left("anthropic");
    const stream = await messages.create(ask("stall", { stream: true }));
    for await (const event of stream) if (event.type === "content_block_delta") break;
    stream.controller.abort();
    await waitUntil(async () => (await left("anthropic")) === before + 1);
  });

  test("models", async () => {
    const ids = [];
    const lister = new Anthropic({ baseURL: URL_OF_FLUX, apiKey: behinds.provider, maxRetries: 0 });
    for await (const entry of lister.models.list()) ids.push(entry.id);
    assert.ok(ids.includes("flux-pinned-claude-haiku-5-5"));
  });
});
