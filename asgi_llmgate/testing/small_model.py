"""The model that responds where the script of a `ModelServer` has no turn: small, but good enough for a demonstration.

It knows what an API gateway is, repeats what it does not understand, lets Claude Code's auto mode act, and does a few
things when it is asked to and the client offers the tool for it: `write hello.txt`, `run \\`ls\\``, `read hello.txt`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from asgi_llmgate.testing.model_script import ReceivedRequest, Turn, call, say, text_of

API_GATEWAY = (
    "An API gateway is a server that acts as an intermediary between clients and backend services, managing requests, "
    "routing them to the appropriate services, handling authentication, and aggregating results."
)

_NOISE = re.compile(r"<system-reminder>.*?</system-reminder>", re.DOTALL)
_QUOTED = re.compile(r"[\"“']([^\"”']+)[\"”']")


def _write(match: re.Match[str]) -> Mapping[str, Any]:
    quoted = _QUOTED.search(match.string)
    text = quoted[1] if quoted else "Hello from a model that runs at home."
    return {"file_path": match[1], "content": text + "\n"}


_ABILITIES: tuple[tuple[str, re.Pattern[str], Callable[[re.Match[str]], Mapping[str, Any]]], ...] = (
    (
        "Write",
        re.compile(r"\b(?:write|create|make)\b.*?(?<![\w./-])([\w./-]+\.\w+)", re.IGNORECASE | re.DOTALL),
        _write,
    ),
    (
        "Bash",
        re.compile(r"\b(?:run|execute)\b[^`]*`([^`]+)`", re.IGNORECASE),
        lambda match: {"command": match[1], "description": "Run what the user asked for"},
    ),
    (
        "Read",
        re.compile(r"\b(?:read|show)\b.*?(?<![\w./-])([\w./-]+\.\w+)", re.IGNORECASE),
        lambda match: {"file_path": match[1]},
    ),
)


def respond(request: ReceivedRequest, *, note: str = "") -> Turn:
    """The small model's response to a chat completion request; `note` follows where it only repeats the prompt."""
    if request.is_safety_question:
        return say("<block>no")
    last = request.messages[-1]
    if last["role"] == "tool":
        return say(f"Done. The tool said: {text_of(last)[:200]}")
    prompt = _NOISE.sub("", request.prompt).strip()
    for tool, pattern, arguments in _ABILITIES:
        if tool in request.tool_names and (match := pattern.search(prompt)):
            return say("I will do that.") + call(tool, **arguments(match))
    if "api gateway" in prompt.lower():
        return say(API_GATEWAY)
    return say(f"You said: {prompt[:200]}{note}")
