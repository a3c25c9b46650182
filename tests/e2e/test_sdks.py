"""What the official `anthropic` SDK makes of our answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import anthropic
import httpx
import pytest
from anthropic.types import Message

from asgi_llmgate.testing.model_script import call, refuse, say

if TYPE_CHECKING:
    from tests.e2e.conftest import Lab

Connect = Callable[..., anthropic.Anthropic]

HELLO: Any = [{"role": "user", "content": "Hello"}]
ASK: dict[str, Any] = {"model": "claude-opus-5-5", "max_tokens": 1024, "messages": HELLO}
WEATHER = {
    "name": "weather",
    "description": "The weather at a place.",
    "input_schema": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}


@pytest.fixture
def sdk() -> Iterator[Connect]:
    """The SDK, pointed at a lab with a token of its own."""
    clients: list[anthropic.Anthropic] = []

    def connect(gate: Lab, token: str | None = None) -> anthropic.Anthropic:
        clients.append(anthropic.Anthropic(base_url=gate.url, auth_token=token or gate.token(), max_retries=0))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


def ask(client: anthropic.Anthropic, *, stream: bool, **change: Any) -> Message:
    if not stream:
        return client.messages.create(**ASK | change)
    with client.messages.stream(**ASK | change) as events:
        return events.get_final_message()


STREAM = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@STREAM
def test_text(lab: Callable[..., Lab], sdk: Connect, stream: bool) -> None:
    gate = lab([say("Good morning, world.")])
    message = ask(sdk(gate), stream=stream, system="Be brief.")
    assert [block.model_dump(exclude_none=True) for block in message.content] == [
        {"type": "text", "text": "Good morning, world."}
    ]
    assert (message.role, message.stop_reason) == ("assistant", "end_turn")
    assert message.model == "gpt-4o-mini-2024-07-18"
    [request] = gate.model.chats
    assert [entry["role"] for entry in request.messages] == ["system", "user"]
    assert bool(request.body.get("stream")) is stream
    assert message.usage.output_tokens == 5
    [record] = gate.records()
    assert (record["status"], record["outcome"]) == (200, "ok")
    assert record["gen_ai.usage.input_tokens"] == message.usage.input_tokens
    assert record["gen_ai.usage.output_tokens"] == message.usage.output_tokens
    assert record["gen_ai.response.model"] == message.model


@STREAM
def test_tools_go_round(lab: Callable[..., Lab], sdk: Connect, stream: bool) -> None:
    both = call("weather", place="Oslo") + call("weather", place="Rome")
    gate = lab([say("I will look.") + both.interleaved(), say("Snow and sun.")])
    client = sdk(gate)
    first = ask(client, stream=stream, tools=[WEATHER])
    assert [block.type for block in first.content] == ["text", "tool_use", "tool_use"]
    assert first.stop_reason == "tool_use"
    oslo, rome = (block for block in first.content if block.type == "tool_use")
    assert (oslo.name, oslo.input, rome.input) == ("weather", {"place": "Oslo"}, {"place": "Rome"})
    results = [
        {"type": "tool_result", "tool_use_id": rome.id, "content": "sun"},
        {"type": "tool_result", "tool_use_id": oslo.id, "content": [{"type": "text", "text": "snow"}]},
    ]
    messages = [*HELLO, {"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    second = ask(client, stream=stream, tools=[WEATHER], messages=messages)
    assert [block.model_dump(exclude_none=True) for block in second.content] == [
        {"type": "text", "text": "Snow and sun."}
    ]
    sent = [entry["content"] for entry in gate.model.chats[-1].messages if entry["role"] == "tool"]
    assert sent == ["snow", "sun"]


@STREAM
def test_a_body_of_claude_codes_size(lab: Callable[..., Lab], sdk: Connect, stream: bool) -> None:
    tools = [
        {
            "name": f"tool_{number}",
            "description": f"Tool number {number}. " + "It does one thing well. " * 100,
            "input_schema": {
                "type": "object",
                "properties": {f"field_{field}": {"type": "string", "description": "ä" * 20} for field in range(10)},
            },
        }
        for number in range(25)
    ]
    gate = lab([call("tool_24", field_1="x")])
    message = ask(sdk(gate), stream=stream, tools=tools, system="You are careful. " * 500)
    [request] = gate.model.chats
    assert len(request.raw) > 90_000
    assert [tool["function"]["name"] for tool in request.body["tools"]] == [tool["name"] for tool in tools]
    assert [tool["function"]["parameters"] for tool in request.body["tools"]] == [
        tool["input_schema"] for tool in tools
    ]
    assert message.content[0].model_dump(include={"name", "input"}) == {"name": "tool_24", "input": {"field_1": "x"}}


def test_an_image_reaches_the_model(lab: Callable[..., Lab], sdk: Connect) -> None:
    gate = lab([say("A dot.")])
    source = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    content = [{"type": "text", "text": "What is this?"}, {"type": "image", "source": source}]
    ask(sdk(gate), stream=False, messages=[{"role": "user", "content": content}])
    [_, image] = gate.model.chats[0].messages[0]["content"]
    assert image["image_url"]["url"] == "data:image/png;base64,iVBORw0KGgo="


@STREAM
@pytest.mark.parametrize(
    ("token", "error", "kind", "message"),
    [
        pytest.param("nonsense", anthropic.AuthenticationError, "authentication_error", "authentication", id="401"),
        pytest.param("", anthropic.PermissionDeniedError, "permission_error", "only the data platform team", id="403"),
    ],
)
def test_who_may_not_gets_an_envelope(
    lab: Callable[..., Lab],
    sdk: Connect,
    stream: bool,
    token: str,
    error: type[anthropic.APIStatusError],
    kind: str,
    message: str,
) -> None:
    gate = lab()
    with pytest.raises(error, match=message) as caught:
        ask(sdk(gate, token or gate.token(team="marketing")), stream=stream)
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["type"] == "error"
    assert caught.value.body["error"]["type"] == kind
    assert caught.value.body["request_id"] == caught.value.request_id
    assert gate.model.requests == []


def test_without_a_token_the_reason_names_that(lab: Callable[..., Lab]) -> None:
    answer = httpx.post(f"{lab().url}/v1/messages", json=ASK)
    assert answer.status_code == 401
    assert answer.json()["error"] == {
        "type": "authentication_error",
        "message": "authentication failure: no bearer token found",
    }
    assert answer.headers["www-authenticate"].startswith("Bearer")


TOO_LONG = (
    "This model's maximum context length is 128000 tokens. However, your messages resulted in 130500 tokens. "
    "Please reduce the length of the messages."
)


@STREAM
@pytest.mark.parametrize(
    ("turn", "status", "kind", "message"),
    [
        pytest.param(refuse(500, "oops"), 500, "api_error", "", id="500"),
        pytest.param(refuse(503, "loading"), 529, "overloaded_error", "", id="503"),
        pytest.param(refuse(429, "slow down"), 429, "rate_limit_error", "", id="429"),
        pytest.param(refuse(429, "pay", code="insufficient_quota"), 402, "billing_error", "no quota", id="no money"),
        pytest.param(refuse(401, "bad key sk-lab-upstream"), 502, "api_error", "own credential", id="our key is bad"),
        pytest.param(
            refuse(400, TOO_LONG, code="context_length_exceeded"),
            400,
            "invalid_request_error",
            "prompt is too long: 130500 tokens > 128000 maximum",
            id="context",
        ),
    ],
)
def test_the_model_servers_errors_are_translated(
    lab: Callable[..., Lab], sdk: Connect, stream: bool, turn: Any, status: int, kind: str, message: str
) -> None:
    gate = lab([turn.always()])
    with pytest.raises(anthropic.APIStatusError) as caught:
        ask(sdk(gate), stream=stream)
    assert isinstance(caught.value.body, dict)
    assert (caught.value.status_code, caught.value.body["error"]["type"]) == (status, kind)
    assert message in caught.value.body["error"]["message"]
    assert "sk-lab-upstream" not in json.dumps(caught.value.body)


def test_a_cut_stream_ends_in_an_error(lab: Callable[..., Lab], sdk: Connect) -> None:
    gate = lab([say("one two three four five").cut(after=4)])
    words: list[str] = []
    with sdk(gate).messages.stream(**ASK) as events, pytest.raises(anthropic.APIStatusError, match="api_error"):
        words.extend(events.text_stream)
    assert "".join(words) == "one two three"
    [record] = gate.records()
    assert record["outcome"] == "upstream_truncated"


def test_who_leaves_stops_the_model(lab: Callable[..., Lab], sdk: Connect) -> None:
    gate = lab([say("one two three four five").stall(after=3)])
    with sdk(gate).messages.stream(**ASK) as events:
        assert next(iter(events.text_stream)) == "one"
    assert gate.model.chats[0].gone.wait(10)


def test_models_and_tokens_can_be_asked_for(lab: Callable[..., Lab], sdk: Connect) -> None:
    row = {"match": "claude-opus-5-5", "use": "openai/gpt-4o-mini", "display_name": "Ours", "max_output_tokens": 100}
    client = sdk(lab(models=[row]))
    assert [(model.id, model.display_name) for model in client.models.list()] == [("claude-opus-5-5", "Ours")]
    assert client.messages.count_tokens(model="claude-opus-5-5", messages=HELLO).input_tokens > 0


def test_an_unknown_model_is_404(lab: Callable[..., Lab], sdk: Connect) -> None:
    gate = lab(models=[{"match": "claude-*", "use": "openai/gpt-4o-mini"}])
    with pytest.raises(anthropic.NotFoundError, match="model: other"):
        ask(sdk(gate), stream=False, model="other")


def test_what_would_have_to_be_kept_here_is_refused_by_name(lab: Callable[..., Lab], sdk: Connect) -> None:
    client = sdk(lab())
    with pytest.raises(anthropic.BadRequestError, match="thread: not supported by this gateway"):
        client.beta.messages.thread(model="claude-opus-5-5", max_tokens=100).send(*HELLO)
    with pytest.raises(anthropic.NotFoundError):
        client.messages.batches.list()
    with pytest.raises(anthropic.NotFoundError):
        client.beta.files.list()


def test_the_hosts_own_pages_are_still_there(lab: Callable[..., Lab]) -> None:
    host = lab().url.removesuffix("/llm")
    assert httpx.get(host).text == "the company's own app"
