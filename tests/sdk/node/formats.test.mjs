// Each Node SDK, unchanged, before providers of other formats: texts, streams, tools, schemas, pictures.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import Anthropic from "@anthropic-ai/sdk";
import { generateText, isStepCount, Output, streamText, tool } from "ai";
import OpenAI from "openai";
import { z } from "zod";
import { behinds, URL_OF_FLUX } from "./clients.mjs";

const apiKey = behinds.provider;
const hello = "Hello from the provider \u{1f600}.";
const claude = "claude-haiku-5-5";
const gemini = "flux-pinned-gemini-3-5-flash-lite";
const luna = "flux-pinned-gpt-6-luna";
const oss = "flux-pinned-gpt-oss-20b";
const mistral = "flux-pinned-mistral-small-4";
const picture = Buffer.from("not really a png").toString("base64");
const pictureUrl = `data:image/png;base64,${picture}`;
// How long a picture is where it arrives: bare, or as a data URL.
const seen = (model) => `1 picture of ${[luna, mistral].includes(model) ? pictureUrl.length : picture.length} characters`;
const sighted = (model) => (model === oss ? mistral : model);
const parameters = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};
const openai = new OpenAI({ baseURL: `${URL_OF_FLUX}/v1`, apiKey, maxRetries: 0 });
const anthropic = new Anthropic({ baseURL: `${URL_OF_FLUX}/anthropic`, apiKey, maxRetries: 0 });

for (const model of [claude, gemini]) {
  describe(`openai chat before ${model}`, () => {
    const { completions } = openai.chat;
    const messages = [{ role: "user", content: "Weather in Paris?" }];
    const tools = [{ type: "function", function: { name: "weather", parameters, strict: true } }];

    test("text and stream", async () => {
      assert.equal((await completions.create({ model, messages })).choices[0].message.content, hello);
      const answer = await completions.stream({ model, messages }).finalChatCompletion();
      assert.equal(answer.choices[0].message.content, hello);
    });

    test("tools", async () => {
      const first = await completions.stream({ model, messages, tools }).finalChatCompletion();
      const { role, content, tool_calls } = first.choices[0].message;
      assert.deepEqual(JSON.parse(tool_calls[0].function.arguments), { city: "Paris" });
      const result = { role: "tool", tool_call_id: tool_calls[0].id, content: "sunny" };
      const next = [...messages, { role, content, tool_calls }, result];
      const answer = await completions.create({ model, messages: next, tools });
      assert.equal(answer.choices[0].message.content, hello);
    });

    test("pictures", async () => {
      const content = [{ type: "text", text: "What is it?" }, { type: "image_url", image_url: { url: pictureUrl } }];
      const answer = await completions.create({ model, messages: [{ role: "user", content }] });
      assert.equal(answer.choices[0].message.content, seen(model));
    });
  });
}

for (const model of [claude, gemini, oss]) {
  describe(`openai responses before ${model}`, () => {
    const tools = [{ type: "function", name: "weather", parameters, strict: true }];

    test("text and stream", async () => {
      assert.equal((await openai.responses.create({ model, input: "hi" })).output_text, hello);
      const answer = await openai.responses.stream({ model, input: "hi" }).finalResponse();
      assert.equal(answer.output_text, hello);
    });

    test("tools", async () => {
      const input = [{ role: "user", content: "Weather in Paris?" }];
      const first = await openai.responses.stream({ model, input, tools }).finalResponse();
      const call = first.output.find((item) => item.type === "function_call");
      assert.deepEqual(JSON.parse(call.arguments), { city: "Paris" });
      const items = first.output.map(({ parsed_arguments, ...item }) => item);
      const result = { type: "function_call_output", call_id: call.call_id, output: "sunny" };
      const answer = await openai.responses.create({ model, input: [...input, ...items, result], tools });
      assert.equal(answer.output_text, hello);
    });

    test("pictures", async () => {
      const image = { type: "input_image", image_url: pictureUrl, detail: "auto" };
      const content = [{ type: "input_text", text: "What is it?" }, image];
      const answer = await openai.responses.create({ model: sighted(model), input: [{ role: "user", content }] });
      assert.equal(answer.output_text, seen(sighted(model)));
    });
  });
}

for (const model of [luna, gemini, oss]) {
  describe(`anthropic before ${model}`, () => {
    const ask = (content, more = {}) => ({ model, max_tokens: 2000, messages: [{ role: "user", content }], ...more });
    const tools = [{ name: "weather", input_schema: parameters }];

    test("text and stream", async () => {
      assert.equal((await anthropic.messages.create(ask("hi"))).content[0].text, hello);
      const answer = await anthropic.messages.stream(ask("hi")).finalMessage();
      assert.equal(answer.content[0].text, hello);
    });

    test("tools", async () => {
      const body = ask("Weather in Paris?", { tools });
      const first = await anthropic.messages.stream(body).finalMessage();
      const call = first.content.find((block) => block.type === "tool_use");
      assert.deepEqual(call.input, { city: "Paris" });
      const result = { type: "tool_result", tool_use_id: call.id, content: "sunny" };
      body.messages.push({ role: "assistant", content: first.content }, { role: "user", content: [result] });
      const answer = await anthropic.messages.create(body);
      assert.equal(answer.content.find((block) => block.type === "text").text, hello);
    });

    test("pictures", async () => {
      const source = { type: "base64", media_type: "image/png", data: picture };
      const content = [{ type: "image", source }, { type: "text", text: "What is it?" }];
      const answer = await anthropic.messages.create(ask(content, { model: sighted(model) }));
      assert.equal(answer.content[0].text, seen(sighted(model)));
    });
  });
}

const ofOpenAi = createOpenAI({ baseURL: `${URL_OF_FLUX}/v1`, apiKey });
const ofAnthropic = createAnthropic({ baseURL: `${URL_OF_FLUX}/anthropic/v1`, apiKey });
const models = [
  ["openai responses", (name) => ofOpenAi(name), claude],
  ["openai responses", (name) => ofOpenAi(name), gemini],
  ["openai chat", (name) => ofOpenAi.chat(name), claude],
  ["openai chat", (name) => ofOpenAi.chat(name), gemini],
  ["anthropic", (name) => ofAnthropic(name), luna],
  ["anthropic", (name) => ofAnthropic(name), gemini],
  ["anthropic", (name) => ofAnthropic(name), oss],
];

for (const [api, of, name] of models) {
  describe(`ai, ${api}, before ${name}`, () => {
    const model = of(name);
    // Without it the SDK sends references to items that it takes to be stored.
    const providerOptions = { openai: { store: false } };
    const common = { model, maxRetries: 0, maxOutputTokens: 2000, providerOptions };

    test("text and stream", async () => {
      assert.equal((await generateText({ ...common, prompt: "hi" })).text, hello);
      const stream = streamText({ ...common, prompt: "hi" });
      let text = "";
      for await (const piece of stream.textStream) text += piece;
      assert.equal(text, hello);
      assert.equal((await stream.usage).outputTokens, 500);
    });

    test("a loop of tools", async () => {
      const inputSchema = z.object({ city: z.string() });
      const asked = [];
      const execute = async ({ city }) => {
        asked.push(city);
        return "sunny";
      };
      const tools = { weather: tool({ description: "of a city", inputSchema, execute }) };
      const loop = { ...common, prompt: "Weather in Paris?", tools, stopWhen: isStepCount(3) };
      assert.equal((await generateText(loop)).text, hello);
      assert.equal(await streamText(loop).text, hello);
      assert.deepEqual(asked, ["Paris", "Paris"]);
    });

    test("structured output", async () => {
      const schema = z.object({ city: z.string(), degrees: z.number() });
      const answer = await generateText({ ...common, prompt: "Weather?", output: Output.object({ schema }) });
      assert.deepEqual(answer.output, { city: "Paris", degrees: 21 });
    });

    test("pictures", async () => {
      const image = { type: "image", image: picture, mediaType: "image/png" };
      const messages = [{ role: "user", content: [{ type: "text", text: "What is it?" }, image] }];
      const answer = await generateText({ ...common, model: of(sighted(name)), messages });
      assert.equal(answer.text, seen(sighted(name)));
    });
  });
}
