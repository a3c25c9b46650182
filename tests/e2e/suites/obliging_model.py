"""The model that other people's suites talk to: it does what a request makes possible, as a capable model would.

It calls a tool when it has to, or when the prompt speaks of one, and writes JSON when a schema asks for it: values are
made after the schema, from what the prompt quotes and counts.  Everything else it answers with one sentence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from asgi_llmgate.testing.model_script import ReceivedRequest, Turn, call, say, text_of

SENTENCE = "Good morning, I am the obliging model and you are welcome."

_QUOTED = re.compile(r"'([^']+)'|\"([^\"]+)\"")
_NUMBER = re.compile(r"-?\d+")
_WORD = re.compile(r"[a-z]+")


def respond(request: ReceivedRequest) -> Turn:
    """The response to a chat completion request."""
    tool = _wanted_tool(request)
    if tool is not None:
        return call(tool["name"], **_made_after(tool["parameters"], request.prompt))
    wanted = request.body.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        return say(json.dumps(_made_after(wanted["json_schema"]["schema"], request.prompt)))
    thinks = request.body.get("reasoning_effort", "none") != "none"
    return say(SENTENCE, reasoning="Somebody greets me." if thinks else "")


def _wanted_tool(request: ReceivedRequest) -> Mapping[str, Any] | None:
    """The function to call: the one that must be called, or the first one of whose name the prompt has a word."""
    tools = [tool["function"] for tool in request.body.get("tools", ())]
    choice = request.body.get("tool_choice", "auto")
    if isinstance(choice, Mapping):
        return next(tool for tool in tools if tool["name"] == choice["function"]["name"])
    if not tools or choice == "none":
        return None
    spoken_of = tools if choice == "required" else (tool for tool in tools if _speaks_of(request, tool["name"]))
    return next(iter(spoken_of), None)


def _speaks_of(request: ReceivedRequest, name: str) -> bool:
    last = request.messages[-1]
    said = set(_WORD.findall(text_of(last).lower()))
    return last["role"] == "user" and any(len(word) > 3 and word in said for word in _WORD.findall(name.lower()))


def _made_after(schema: Mapping[str, Any], prompt: str) -> Any:
    """A value that fits a JSON Schema."""
    texts = (first or second for first, second in _QUOTED.findall(prompt))
    numbers = (int(number) for number in _NUMBER.findall(prompt))
    return _value(schema, schema.get("$defs", {}), texts, numbers)


def _value(schema: Mapping[str, Any], known: Mapping[str, Any], texts: Iterator[str], numbers: Iterator[int]) -> Any:
    if "$ref" in schema:
        schema = known[schema["$ref"].rpartition("/")[2]]
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return _value(schema["anyOf"][0], known, texts, numbers)
    match schema.get("type"):
        case "object":
            rows = schema.get("properties", {}).items()
            return {name: _value(each, known, texts, numbers) for name, each in rows}
        case "array":
            return [_value(schema.get("items", {}), known, texts, numbers)]
        case "integer" | "number":
            return next(numbers, 1)
        case "boolean":
            return True
        case _:
            return next(texts, "a word")
