// A program with Vercel's AI SDK, of whichever generation is installed.  Prints what it got as one JSON object.
//
// Run by tests/e2e/suites/test_ai_sdk.py, with GATE (a base URL), TOKEN and IMAGE (base64) in its environment.

import { createAnthropic } from "@ai-sdk/anthropic";
import * as ai from "ai";

const { APICallError, Output, generateText, jsonSchema, streamText, tool } = ai;

const anthropic = createAnthropic({ baseURL: `${process.env.GATE}/v1`, apiKey: process.env.TOKEN });
const ASK = { model: anthropic("claude-sonnet-4-5"), maxRetries: 0, maxOutputTokens: 2048 };
const FIVE_STEPS = (ai.isStepCount ?? ai.stepCountIs)(5);

const PLACE = { type: "object", properties: { place: { type: "string" } }, required: ["place"] };
const tools = {
  weather: tool({
    description: "The weather at a place.",
    inputSchema: jsonSchema(PLACE),
    execute: async ({ place }) => `snow in ${place}`,
  }),
  now: tool({ description: "The time.", inputSchema: jsonSchema({ type: "object" }), execute: async () => "noon" }),
};

/** The steps of a loop: what was said, called and answered in each, and why it ended. */
const told = (steps) =>
  steps.map(({ reasoningText, text, toolCalls, content, finishReason, usage }) => ({
    ...(reasoningText ? { thought: reasoningText } : {}),
    text,
    calls: toolCalls.map(({ toolName, input }) => [toolName, input]),
    results: content
      .filter((part) => part.type === "tool-result" || part.type === "tool-error")
      .map((part) => (part.type === "tool-result" ? part.output : "error")),
    finish: finishReason,
    counted: usage.inputTokens > 0 && usage.outputTokens > 0,
  }));

async function streamed(prompt, options) {
  const result = streamText({ ...ASK, prompt, ...options, onError: () => {} });
  let text = "";
  const kinds = new Set();
  for await (const part of result.stream ?? result.fullStream) {
    kinds.add(part.type);
    if (part.type === "text-delta") text += part.text;
    if (part.type === "error") throw part.error;
  }
  return { text, failed: kinds.has("error") || kinds.has("abort"), steps: told(await result.steps) };
}

async function failure(action) {
  try {
    await action();
  } catch (error) {
    if (!APICallError.isInstance(error)) throw error;
    return [error.statusCode, error.message, error.isRetryable];
  }
}

const schema = jsonSchema({
  type: "object",
  properties: { place: { type: "string" }, degrees: { type: "integer" } },
  required: ["place", "degrees"],
  additionalProperties: false,
});
const thinking = { anthropic: { thinking: { type: "enabled", budgetTokens: 1024 } } };
const image = new Uint8Array(Buffer.from(process.env.IMAGE, "base64"));

async function main() {
  const loop = { tools, stopWhen: FIVE_STEPS };
  const seen = [
    { type: "text", text: "look" },
    { type: "image", image, mediaType: "image/png" },
  ];
  return {
    loop: told((await generateText({ ...ASK, prompt: "loop", ...loop })).steps),
    "streamed loop": await streamed("loop", loop),
    slip: await streamed("slip", loop),
    "thinking loop": await streamed("think", { ...loop, providerOptions: thinking }),
    forced: told((await generateText({ ...ASK, prompt: "forced", tools, toolChoice: "required" })).steps),
    object: (await generateText({ ...ASK, prompt: "forecast", output: Output.object({ schema }) })).output,
    image: (await generateText({ ...ASK, messages: [{ role: "user", content: seen }] })).text,
    failures: {
      throttled: await failure(() => generateText({ ...ASK, prompt: "throttle me" })),
      "throttled stream": await failure(() => streamed("throttle me", {})),
      "too long": await failure(() => generateText({ ...ASK, prompt: "too long" })),
    },
  };
}

console.log(JSON.stringify(await main()));
