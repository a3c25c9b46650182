"""The official SDKs, each in an environment of its own: the same program gets the same from each.

The generations differ in the API version that they name, and in the header that they put an API key into.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from asgi_llmgate.testing.model_script import ReceivedRequest, call, refuse, say, text_of
from tests.helpers.installation import npm_packages, python_environment

if TYPE_CHECKING:
    from tests.e2e.conftest import Lab

pytestmark = pytest.mark.suites

PROGRAMS = Path(__file__).parent / "programs"


@dataclass(frozen=True)
class Generation:
    """How to run the program; the API version that the SDK names, and the header with its key."""

    command: Callable[[], list[str | Path]]
    version: str
    header: str


def _node() -> list[str | Path]:
    modules = npm_packages("typescript-sdk", "@anthropic-ai/sdk@1.14.0")
    return ["env", f"NODE_PATH={modules}", "node", PROGRAMS / "sdk.mjs"]


GENERATIONS = {
    "Python 1": Generation(
        lambda: [python_environment("anthropic-1", "anthropic==1.17.0"), PROGRAMS / "sdk.py"],
        "2023-06-01",
        "x-api-key",
    ),
    "Python 2": Generation(lambda: [sys.executable, PROGRAMS / "sdk.py"], "2026-10-21", "authorization"),
    "TypeScript": Generation(_node, "2026-10-21", "authorization"),
}


@pytest.fixture(params=GENERATIONS)
def generation(request: pytest.FixtureRequest) -> Generation:
    return GENERATIONS[request.param]


def test_a_program_gets_the_same_from_every_sdk(lab: Callable[..., Lab], generation: Generation) -> None:
    command = generation.command()
    gate = lab(
        SCRIPT,
        auth={"token_sources": ["authorization", "x-api-key"]},
        models=[{"match": "claude-opus-5-5", "use": "openai/gpt-4o-mini", "display_name": "Ours"}],
    )
    got = run(command, GATE=gate.url, TOKEN=gate.token(), MARKETING=gate.token(team="marketing"))
    failures = got.pop("failures")
    assert got.pop("tokens") > 0
    runner = got["tool runner"]["usage"]
    assert runner[0] > 12  # with the tool, which each SDK describes in its own words
    runner[0] = 12
    assert got == ANSWERS
    cut = failures.pop("cut")
    assert (cut["type"], cut["message"]) == ("api_error", "the model server closed the stream before it finished")
    assert all(failure.pop("request_id") for failure in failures.values())
    assert {name: tuple(failure.values()) for name, failure in failures.items()} == FAILURES
    assert {request.headers["anthropic-version"] for request in gate.asked} == {generation.version}
    assert {name for request in gate.asked for name in request.headers if name in KEYS} == {generation.header}
    assert gate.model.unused == []


def run(command: list[str | Path], **environment: str) -> Any:
    done = subprocess.run(
        command,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def asks(words: str) -> Callable[[ReceivedRequest], bool]:
    return lambda request: request.prompt == words


TOO_LONG = (
    "This model's maximum context length is 128000 tokens. However, your messages resulted in 130500 tokens. "
    "Please reduce the length of the messages."
)
SCRIPT = [
    say("Good morning, world.").when(asks("hello")).always(),
    say("Snow and sun.").when(lambda request: text_of(request.messages[-1]) == "ROME"),
    (say("I will look.") + call("weather", place="Oslo") + call("weather", place="Rome"))
    .interleaved()
    .when(asks("weather?")),
    say("It snows in Bergen.").when(lambda request: text_of(request.messages[-1]) == "snow in Bergen"),
    call("weather", place="Bergen").when(asks("runner?")),
    say('{"place": "Oslo", "degrees": -7}').when(
        lambda request: asks("forecast")(request) and request.body["response_format"]["type"] == "json_schema"
    ),
    say("I think so.", reasoning="Let me see.").when(asks("think")),
    refuse(429, "slow down", headers={"retry-after": "0"}).when(asks("busy")),
    say("Now.").when(asks("busy")),
    refuse(429, "slow down", headers={"retry-after": "7"}).when(asks("throttle me")).always(),
    refuse(400, TOO_LONG, code="context_length_exceeded").when(asks("too long")),
    say("one two three four").cut(after=3).when(asks("cut")),
]
KEYS = ("authorization", "x-api-key")


def message(*blocks: dict[str, Any], stop_reason: str = "end_turn", usage: tuple[int, int]) -> dict[str, Any]:
    return {
        "blocks": list(blocks),
        "stop_reason": stop_reason,
        "model": "gpt-4o-mini-2024-07-18",
        "usage": list(usage),
    }


def text(words: str) -> dict[str, Any]:
    return {"text": words}


MORNING = "Good morning, world."
ANSWERS = {
    "created": message(text(MORNING), usage=(11, 5)),
    "streamed": [MORNING, message(text(MORNING), usage=(11, 5))],
    "beta created": message(text(MORNING), usage=(8, 5)),
    "beta streamed": [MORNING, message(text(MORNING), usage=(8, 5))],
    "tools": [
        message(
            text("I will look."),
            {"name": "weather", "input": {"place": "Oslo"}},
            {"name": "weather", "input": {"place": "Rome"}},
            stop_reason="tool_use",
            usage=(29, 24),
        ),
        message(text("Snow and sun."), usage=(35, 4)),
    ],
    "tool runner": message(text("It snows in Bergen."), usage=(12, 5)),
    "parsed": {"place": "Oslo", "degrees": -7},
    "thoughts": [["Let me see.", True], "I think so."],
    "tried again": message(text("Now."), usage=(8, 2)),
    "models": [["claude-opus-5-5", "Ours"]],
    "model": "claude-opus-5-5",
}
FAILURES = {
    "no token": (
        "AuthenticationError",
        401,
        "authentication_error",
        "authentication failure: the token is not a JWT; check the token that your client sends",
    ),
    "not allowed": ("PermissionDeniedError", 403, "permission_error", "only the data platform team may use this model"),
    "no model": ("NotFoundError", 404, "not_found_error", "model: other"),
    "throttled": ("RateLimitError", 429, "rate_limit_error", "the model server limits requests: slow down"),
    "throttled stream": ("RateLimitError", 429, "rate_limit_error", "the model server limits requests: slow down"),
    "too long": (
        "BadRequestError",
        400,
        "invalid_request_error",
        "prompt is too long: 130500 tokens > 128000 maximum",
    ),
}
"""How the error is called, its status, type and message.  An error in the middle of a stream is called otherwise in
each language."""
