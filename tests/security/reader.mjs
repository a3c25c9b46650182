// What a model server in JavaScript reads of a request: JSON.parse, where the last of several names wins
// (ECMA-262, 25.5.1).  One body per line, in base64; one answer per line.
import readline from "node:readline";

const LIMITS = ["max_tokens", "max_completion_tokens", "max_output_tokens", "n_predict", "num_predict", "max_new_tokens"];

function read(body) {
  let asked;
  try {
    asked = JSON.parse(new TextDecoder("utf-8").decode(body));
  } catch {
    return { refused: true };
  }
  const limits = Object.fromEntries(LIMITS.map((name) => [name, asked[name]]));
  limits["options.num_predict"] = asked.options?.num_predict;
  return {
    refused: false,
    model: asked.model ?? "",
    stream: Boolean(asked.stream),
    limits,
    tools: list(asked.tools).map((tool) => [tool?.function?.name ?? "", tool?.name ?? "", tool?.type ?? ""]),
    functions: list(asked.functions).map((each) => each?.name ?? ""),
  };
}

function list(value) {
  return Array.isArray(value) ? value : [];
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  process.stdout.write(JSON.stringify(read(Buffer.from(line, "base64"))) + "\n");
}
