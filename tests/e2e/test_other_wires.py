"""Clients and backends that need no translation: OpenAI's SDK, and a backend that speaks Anthropic's wire (a second
gateway of ours) behind the real Claude Code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import httpx  # noqa: F401 - openai looks into this module, also where another thread has not finished importing it
import openai
import pytest

from asgi_llmgate.testing.model_script import call, refuse, say

if TYPE_CHECKING:
    from tests.e2e.conftest import Lab, Run

HELLO: Any = [{"role": "user", "content": "Hello"}]
ROUTES = {"/v1/chat/completions": "completions", "/openai/v1/models": "openai_models"}


@pytest.fixture
def sdk() -> Iterator[Callable[..., openai.OpenAI]]:
    clients: list[openai.OpenAI] = []

    def connect(gate: Lab, path: str = "/v1", token: str = "") -> openai.OpenAI:
        clients.append(openai.OpenAI(base_url=gate.url + path, api_key=token or gate.token(), max_retries=0))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


def test_openais_sdk_gets_an_answer(lab: Callable[..., Lab], sdk: Callable[..., openai.OpenAI]) -> None:
    gate = lab([say("Good morning.")], routes=ROUTES)
    answer = sdk(gate).chat.completions.create(model="any", messages=HELLO)
    assert answer.choices[0].message.content == "Good morning."
    [record] = gate.records()
    assert answer.usage is not None
    assert record["gen_ai.usage.output_tokens"] == answer.usage.completion_tokens
    assert (record["path"], record["outcome"]) == ("/llm/v1/chat/completions", "ok")


@pytest.mark.parametrize("usage", [False, True])
def test_openais_sdk_gets_a_stream(lab: Callable[..., Lab], sdk: Callable[..., openai.OpenAI], usage: bool) -> None:
    gate = lab([say("Let me look.") + call("look", at="it")], routes=ROUTES)
    options: Any = {"stream_options": {"include_usage": True}} if usage else {}
    with sdk(gate).chat.completions.stream(model="any", messages=HELLO, **options) as events:
        final = events.get_final_completion()
    message = final.choices[0].message
    assert message.content == "Let me look."
    assert message.tool_calls is not None
    assert message.tool_calls[0].function.arguments == '{"at": "it"}'
    assert (final.usage is not None) is usage
    [record] = gate.records()
    assert record["gen_ai.usage.output_tokens"] > 0
    assert "llmgate.estimated" not in record


def test_openais_sdk_understands_our_errors(lab: Callable[..., Lab], sdk: Callable[..., openai.OpenAI]) -> None:
    gate = lab([refuse(429, "slow down", type="rate_limit", headers={"retry-after": "7"})], routes=ROUTES)
    with pytest.raises(openai.PermissionDeniedError, match="only the data platform team"):
        sdk(gate, token=gate.token(team="marketing")).chat.completions.create(model="any", messages=HELLO)
    with pytest.raises(openai.AuthenticationError, match="not a JWT"):
        sdk(gate, token="x").chat.completions.create(model="any", messages=HELLO)
    with pytest.raises(openai.RateLimitError, match="slow down") as caught:
        sdk(gate).chat.completions.create(model="any", messages=HELLO)
    assert caught.value.response.headers["retry-after"] == "7"


def test_openais_sdk_notices_a_cut(lab: Callable[..., Lab], sdk: Callable[..., openai.OpenAI]) -> None:
    gate = lab([say("one two three " * 2000).cut(after=5000)], routes=ROUTES)
    with (
        sdk(gate).chat.completions.create(model="any", messages=HELLO, stream=True) as chunks,
        pytest.raises(openai.APIError, match="closed the stream before it finished"),
    ):
        for _ in chunks:
            pass


def test_openais_sdk_lists_models(lab: Callable[..., Lab], sdk: Callable[..., openai.OpenAI]) -> None:
    gate = lab(routes=ROUTES, models=[{"match": "qwen3", "use": "openai/qwen"}])
    assert [model.id for model in sdk(gate, "/openai/v1").models.list()] == ["qwen3"]


def test_claude_code_works_on_a_backend_that_speaks_its_wire(
    lab: Callable[..., Lab], lab_before: Callable[..., Lab], claude: Callable[..., Run]
) -> None:
    behind = lab([call("Write", file_path="a.txt", content="hi\n") + call("Bash", command="echo b"), say("Done.")])
    front = lab_before(behind)
    run = claude("Write a.txt.", "--allowedTools", "Write,Bash", gate=front)
    assert (run.result, run.is_error) == ("Done.", False)
    assert (run.folder / "a.txt").read_text() == "hi\n"
    calls = [record for record in behind.records() if record["path"].endswith("/v1/messages")]
    assert [record["status"] for record in calls] == [200, 200]
    fronted = front.log.read_text("utf-8")
    for record in calls:
        assert f'"gen_ai.usage.input_tokens":{record["gen_ai.usage.input_tokens"]}' in fronted
