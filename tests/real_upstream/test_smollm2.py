"""A language model of 135 million parameters behind the gateway: what it says is its own, what is told of it is not."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anthropic
import httpx
import pytest

from asgi_llmgate.cli.demo.real_model import WINDOW

if TYPE_CHECKING:
    from tests.real_upstream.conftest import Gate, Server

pytestmark = pytest.mark.real_upstream

STREAM = pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
CAPITAL: Any = {
    "system": "Answer with one word.",
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
}
STORY: Any = {"messages": [{"role": "user", "content": "Tell me a very long story about a fox."}]}
CONVERSATION: Any = {
    "system": [{"type": "text", "text": "You are a poet."}, {"type": "text", "text": "詩人"}],
    "messages": [*CAPITAL["messages"], {"role": "assistant", "content": "Paris."}, *STORY["messages"]],
}


@pytest.fixture
def smol(gate: Callable[..., Gate], smollm2: Server) -> Gate:
    return gate(smollm2, dialect="llamacpp")


def text(message: anthropic.types.Message) -> str:
    (block,) = message.content
    assert block.type == "text"
    return block.text


def test_it_says_the_same_in_a_stream(smol: Gate) -> None:
    whole, streamed = (smol.ask(**CAPITAL, stream=stream) for stream in (False, True))
    assert text(whole) == "The capital of France is Paris."
    assert text(streamed) == text(whole)
    assert streamed.stop_reason == whole.stop_reason == "end_turn"
    assert streamed.usage.output_tokens == whole.usage.output_tokens
    assert not smol.record.get("llmgate.usage.estimated")


@STREAM
def test_a_stop_sequence_ends_it(smol: Gate, stream: bool) -> None:
    message = smol.ask(**CAPITAL, stream=stream, stop_sequences=["Paris"])
    assert text(message) == "The capital of France is "


@STREAM
def test_max_tokens_ends_it(smol: Gate, stream: bool) -> None:
    message = smol.ask(**STORY, stream=stream, max_tokens=7)
    assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 7)
    assert text(smol.ask(**STORY, max_tokens=20)).startswith(text(message))


@pytest.mark.parametrize("asked", [CAPITAL, CONVERSATION], ids=["a question", "a conversation"])
def test_what_is_counted_before_is_what_is_used(smol: Gate, asked: dict[str, Any]) -> None:
    counted = smol.client.messages.count_tokens(model="claude-x", **asked).input_tokens
    usage = smol.ask(max_tokens=1, **asked).usage
    assert counted == usage.input_tokens + (usage.cache_read_input_tokens or 0)


@STREAM
def test_a_prompt_that_is_too_long(smol: Gate, stream: bool) -> None:
    messages: list[Any] = [{"role": "user", "content": "one fox and " * 2000}]
    counted = smol.client.messages.count_tokens(model="claude-x", messages=messages).input_tokens
    with pytest.raises(anthropic.BadRequestError, match=f"prompt is too long: {counted} tokens > 2048 maximum"):
        smol.ask(messages=messages, stream=stream)


def test_a_client_that_leaves_frees_the_slot(smol: Gate, smollm2: Server) -> None:
    """There is one: who asks next is served when the first one's response is over, and that would be long."""
    with smol.client.messages.stream(model="claude-x", max_tokens=1900, **STORY) as events:
        next(iter(events.text_stream))
    assert text(smol.ask(**CAPITAL)) == "The capital of France is Paris."
    metrics = httpx.get(f"{smollm2.url}/metrics", headers={"authorization": f"Bearer {smollm2.key}"}).text
    (predicted,) = (line for line in metrics.splitlines() if line.startswith("llamacpp:tokens_predicted_total "))
    assert int(predicted.split()[1]) < 1000


def test_claude_code_cannot_work_with_so_small_a_window(smol: Gate, claude_binary: Path, tmp_path: Path) -> None:
    """What the demo says when it runs this model, with the same window: the client is told at once."""
    assert WINDOW == 2048
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "ANTHROPIC_BASE_URL": str(smol.client.base_url).rstrip("/"),
        "ANTHROPIC_AUTH_TOKEN": "nobody",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "IS_SANDBOX": "1",
        "NO_PROXY": "127.0.0.1",
    }
    asked = subprocess.run(
        [claude_binary, "-p", "What is the capital of France?"],
        env=environment,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert asked.stdout.startswith("Prompt is too long")
    assert smol.record["error.type"] == "PromptTooLong"
