// A program with the official TypeScript SDK: the same as program.py, step by step.
// The SDK is found through NODE_PATH, which only `require` looks at.

import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const { default: Anthropic } = require("@anthropic-ai/sdk");
const { jsonSchemaOutputFormat } = require("@anthropic-ai/sdk/helpers/json-schema");
const { betaTool } = require("@anthropic-ai/sdk/helpers/beta/json-schema");

const ASK = { model: "claude-opus-5-5", max_tokens: 2048 };
const WEATHER = {
  name: "weather",
  description: "The weather at a place.",
  input_schema: { type: "object", properties: { place: { type: "string" } }, required: ["place"] },
};

const connect = (token, options) =>
  new Anthropic({ baseURL: process.env.GATE, apiKey: token || process.env.TOKEN, ...options });

const said = (text) => [{ role: "user", content: text }];

/** A message, as far as it is the same for everybody. */
const told = (message) => ({
  blocks: message.content.map((block) =>
    block.type === "text" ? { text: block.text } : { name: block.name, input: block.input },
  ),
  stop_reason: message.stop_reason,
  model: message.model,
  usage: [message.usage.input_tokens, message.usage.output_tokens],
});

async function streamed(resource, request) {
  let text = "";
  const stream = resource.stream({ ...ASK, ...request }).on("text", (piece) => (text += piece));
  const final = await stream.finalMessage();
  return [text, final];
}

/** The model calls a tool twice at once and gets what the tool said. */
async function roundTrip(client) {
  const request = { tools: [WEATHER], messages: said("weather?") };
  const [, first] = await streamed(client.messages, request);
  const results = first.content
    .filter((block) => block.type === "tool_use")
    .map((block) => ({ type: "tool_result", tool_use_id: block.id, content: block.input.place.toUpperCase() }));
  request.messages.push({ role: "assistant", content: first.content }, { role: "user", content: results });
  return [told(first), told(await client.messages.create({ ...ASK, ...request }))];
}

const weather = betaTool({
  name: "weather",
  description: "The weather at a place.",
  inputSchema: WEATHER.input_schema,
  run: ({ place }) => `snow in ${place}`,
});

async function thoughts(client) {
  const thinking = { type: "enabled", budget_tokens: 1024 };
  const [, message] = await streamed(client.messages, { messages: said("think"), thinking });
  return message.content.map((block) =>
    block.type === "thinking" ? [block.thinking, Boolean(block.signature)] : block.text,
  );
}

const FORECAST = {
  type: "object",
  properties: { place: { type: "string" }, degrees: { type: "integer" } },
  required: ["place", "degrees"],
};

async function failure(action) {
  try {
    await action();
  } catch (error) {
    if (!(error instanceof Anthropic.APIError)) throw error;
    return {
      class: error.constructor.name,
      status: error.status ?? null,
      type: error.error.error.type,
      message: error.error.error.message,
      request_id: error.error.request_id === error.requestID,
    };
  }
}

async function listed(pages) {
  const rows = [];
  for await (const model of pages) rows.push([model.id, model.display_name]);
  return rows;
}

async function main() {
  const client = connect("", { maxRetries: 0 });
  const hello = { messages: said("hello") };
  const betas = ["context-management-2025-06-27"];
  const [text, final] = await streamed(client.messages, { ...hello, system: "Be brief." });
  const [betaText, betaFinal] = await streamed(client.beta.messages, { ...hello, betas });
  return {
    created: told(await client.messages.create({ ...ASK, ...hello, system: "Be brief." })),
    streamed: [text, told(final)],
    "beta created": told(await client.beta.messages.create({ ...ASK, ...hello, betas })),
    "beta streamed": [betaText, told(betaFinal)],
    tools: await roundTrip(client),
    "tool runner": told(
      await client.beta.messages.toolRunner({ ...ASK, tools: [weather], messages: said("runner?") }),
    ),
    parsed: (
      await client.messages.parse({
        ...ASK,
        messages: said("forecast"),
        output_config: { format: jsonSchemaOutputFormat(FORECAST) },
      })
    ).parsed_output,
    thoughts: await thoughts(client),
    "tried again": told(await connect().messages.create({ ...ASK, messages: said("busy") })),
    tokens: (await client.messages.countTokens({ model: ASK.model, messages: said("hello") })).input_tokens,
    models: await listed(client.models.list()),
    model: (await client.models.retrieve("claude-opus-5-5")).id,
    failures: {
      "no token": await failure(() => connect("nonsense", { maxRetries: 0 }).messages.create({ ...ASK, ...hello })),
      "not allowed": await failure(() =>
        connect(process.env.MARKETING, { maxRetries: 0 }).messages.create({ ...ASK, ...hello }),
      ),
      "no model": await failure(() => client.messages.create({ ...ASK, ...hello, model: "other" })),
      throttled: await failure(() => client.messages.create({ ...ASK, messages: said("throttle me") })),
      "throttled stream": await failure(() => streamed(client.messages, { messages: said("throttle me") })),
      "too long": await failure(() => streamed(client.beta.messages, { messages: said("too long") })),
      cut: await failure(() => streamed(client.messages, { messages: said("cut") })),
    },
  };
}

console.log(JSON.stringify(await main()));
