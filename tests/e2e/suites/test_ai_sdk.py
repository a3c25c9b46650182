"""Vercel's AI SDK, in the generation that Node 20 runs and in the newest one: its tool loops end as they should."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from asgi_llmgate.testing.model_script import ReceivedRequest, ToolCall, Turn, call, refuse, say, text_of
from tests.helpers.installation import npm_packages, npm_platform

if TYPE_CHECKING:
    from tests.e2e.conftest import Lab

pytestmark = pytest.mark.suites

PROGRAM = Path(__file__).parents[1] / "programs" / "ai_sdk.mjs"
IMAGE = b"\x89PNG\r\n\x1a\n what it shows, nobody looks at"


def node_20() -> tuple[str | Path, Path]:
    """The machine's own, and the packages."""
    return "node", npm_packages("ai-sdk-6", "ai@6.0.326", "@ai-sdk/anthropic@3.0.140", "zod@4.6.7")


def node_22() -> tuple[str | Path, Path]:
    """A Node that is an npm package, for a generation that older ones do not run."""
    node = f"node-{npm_platform()}"
    modules = npm_packages("ai-sdk-7", "ai@7.0.173", "@ai-sdk/anthropic@4.0.105", "zod@4.6.7", f"{node}@22.23.5")
    return modules / node / "bin" / "node", modules


@pytest.mark.parametrize("generation", [node_20, node_22])
def test_a_program_gets_the_same_from_both_generations(
    lab: Callable[..., Lab], tmp_path: Path, generation: Callable[[], tuple[str | Path, Path]]
) -> None:
    node, modules = generation()
    (tmp_path / "node_modules").symlink_to(modules)
    (tmp_path / "program.mjs").write_bytes(PROGRAM.read_bytes())
    gate = lab(
        SCRIPT,
        auth={"token_sources": ["authorization", "x-api-key"]},
        models=[{"match": "*", "use": "openai/gpt-5.2"}],
    )
    done = subprocess.run(
        [node, "--preserve-symlinks", "--preserve-symlinks-main", tmp_path / "program.mjs"],
        env={
            "PATH": os.environ["PATH"],
            "GATE": gate.url,
            "TOKEN": gate.token(),
            "IMAGE": base64.b64encode(IMAGE).decode(),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ANSWERS
    assert gate.model.unused == []


def asks(words: str, *results: str) -> Callable[[ReceivedRequest], bool]:
    """The prompt is this, and the tools called last have said that."""

    def is_it(request: ReceivedRequest) -> bool:
        said = [text_of(message) for message in request.messages if message["role"] == "tool"]
        return request.prompt == words and said[len(said) - len(results) :] == list(results)

    return is_it


def shows_the_image(request: ReceivedRequest) -> bool:
    parts = request.messages[-1]["content"]
    url = "data:image/png;base64," + base64.b64encode(IMAGE).decode()
    return isinstance(parts, list) and {"type": "image_url", "image_url": {"url": url}} in parts


def is_a_schema(request: ReceivedRequest) -> bool:
    return bool(request.body.get("response_format", {}).get("type") == "json_schema")


SNOW = ("snow in Oslo", "snow in Rome")
TOO_LONG = (
    "This model's maximum context length is 128000 tokens. However, your messages resulted in 130500 tokens. "
    "Please reduce the length of the messages."
)


def loop(prompt: str, reasoning: str = "") -> list[Turn]:
    """Two calls at once, then one without arguments, then the end; the later turns are looked at first."""
    both = call("weather", place="Oslo") + call("weather", place="Rome")
    return [
        say("Snow in both at noon.").when(asks(prompt, *SNOW, "noon")).always(),
        call("now").when(asks(prompt, *SNOW)).always(),
        (say("I will look.", reasoning=reasoning) + both).interleaved().when(asks(prompt)).always(),
    ]


SLIP = Turn(calls=(ToolCall("weather", "{place: Oslo"),))
SCRIPT = [
    say("Only Oslo.").when(asks("slip", "snow in Oslo")),
    call("weather", place="Oslo").when(
        lambda request: asks("slip")(request) and request.messages[-1]["role"] == "tool"
    ),
    SLIP.when(asks("slip")),
    *loop("loop"),
    *loop("think", reasoning="Where is it?"),
    call("now").when(lambda request: asks("forced")(request) and request.body["tool_choice"] == "required"),
    say('{"place": "Oslo", "degrees": -7}').when(lambda request: asks("forecast")(request) and is_a_schema(request)),
    say("A red square.").when(shows_the_image),
    refuse(429, "slow down", headers={"retry-after": "7"}).when(asks("throttle me")).always(),
    refuse(400, TOO_LONG, code="context_length_exceeded").when(asks("too long")),
]


def step(text: str, *calls: Any, results: Any = (), **more: Any) -> dict[str, Any]:
    """One step of a loop, as the program tells it."""
    ended = {"finish": "tool-calls" if calls else "stop", "counted": True}
    return {"text": text, "calls": list(map(list, calls)), "results": list(results), **ended, **more}


OSLO, ROME = ("weather", {"place": "Oslo"}), ("weather", {"place": "Rome"})
STEPS = [
    step("I will look.", OSLO, ROME, results=SNOW),
    step("", ("now", {}), results=["noon"]),
    step("Snow in both at noon."),
]
TEXT = "I will look.Snow in both at noon."
ANSWERS: dict[str, Any] = {
    "loop": STEPS,
    "streamed loop": {"text": TEXT, "failed": False, "steps": STEPS},
    "slip": {
        "text": "Only Oslo.",
        "failed": False,
        "steps": [
            step("", ("weather", "{place: Oslo"), results=["error"]),
            step("", OSLO, results=["snow in Oslo"]),
            step("Only Oslo."),
        ],
    },
    "thinking loop": {"text": TEXT, "failed": False, "steps": [{**STEPS[0], "thought": "Where is it?"}, *STEPS[1:]]},
    "forced": [step("", ("now", {}), results=["noon"])],
    "object": {"place": "Oslo", "degrees": -7},
    "image": "A red square.",
    "failures": {
        "throttled": [429, "the model server limits requests: slow down", True],
        "throttled stream": [429, "the model server limits requests: slow down", True],
        "too long": [400, "prompt is too long: 130500 tokens > 128000 maximum", False],
    },
}
