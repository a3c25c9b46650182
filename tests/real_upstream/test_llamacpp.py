"""llama.cpp's own server, with the small model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anthropic
import pytest

if TYPE_CHECKING:
    from tests.real_upstream.conftest import Gate, Server

pytestmark = pytest.mark.real_upstream

STREAM = pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
TEMPLATE = len("user\nassistant\n") + 4
"""Tokens that the template puts around one message of the user: the names of the speakers, and four marks."""
WEATHER = {
    "name": "weather",
    "input_schema": {"type": "object", "properties": {"place": {"enum": ["Paris"]}}, "required": ["place"]},
}
NOW = {"name": "a.tool/with a name that has to be changed", "input_schema": {"type": "object", "properties": {}}}


@pytest.fixture
def llama(gate: Callable[..., Gate], llamacpp: Server) -> Gate:
    return gate(llamacpp, dialect="llamacpp")


def content(message: anthropic.types.Message) -> list[dict[str, Any]]:
    return [block.model_dump(exclude_none=True, exclude={"signature", "id", "caller"}) for block in message.content]


@STREAM
def test_text_and_usage(llama: Gate, stream: bool) -> None:
    message = llama.ask(stream=stream)
    assert content(message) == [{"type": "text", "text": "Hi, world."}]
    assert (message.stop_reason, message.model) == ("end_turn", "small")
    read = message.usage.cache_read_input_tokens or 0
    assert message.usage.input_tokens + read == TEMPLATE + len("hello")
    assert message.usage.output_tokens == len("Am" + "Hi, world.") + 2
    record = llama.record
    assert record["gen_ai.usage.output_tokens"] == message.usage.output_tokens
    assert not record.get("llmgate.usage.estimated")


@STREAM
def test_thinking_is_shown_when_asked_for(llama: Gate, stream: bool) -> None:
    message = llama.ask(stream=stream, max_tokens=2000, thinking={"type": "enabled", "budget_tokens": 1024})
    assert content(message) == [{"type": "thinking", "thinking": "Am"}, {"type": "text", "text": "Hi, world."}]


@STREAM
def test_thinking_can_be_disabled(llama: Gate, stream: bool) -> None:
    message = llama.ask(stream=stream, thinking={"type": "disabled"})
    assert content(message) == [{"type": "text", "text": "Hi, world."}]
    assert message.usage.output_tokens == len("Hi, world.") + 1


@STREAM
def test_a_stop_sequence_ends_the_answer_before_it(llama: Gate, stream: bool) -> None:
    message = llama.ask(stream=stream, stop_sequences=["wor", "\n\n", "a", "b", "c", "d"])
    assert content(message) == [{"type": "text", "text": "Hi, "}]
    assert message.stop_reason == "end_turn", "llama.cpp does not say which one matched"


@STREAM
def test_max_tokens_cuts_the_answer(llama: Gate, stream: bool) -> None:
    message = llama.ask(stream=stream, max_tokens=4, thinking={"type": "disabled"})
    assert content(message) == [{"type": "text", "text": "Hi, "}]
    assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 4)


@STREAM
@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "weather"}], ids=["any", "named"])
def test_a_tool_is_called_when_it_has_to_be(llama: Gate, stream: bool, choice: dict[str, Any]) -> None:
    choice = {**choice, "disable_parallel_tool_use": True}
    message = llama.ask(stream=stream, tools=[WEATHER, NOW], tool_choice=choice, thinking={"type": "disabled"})
    assert content(message) == [
        {"type": "text", "text": "Hi, world."},
        {"type": "tool_use", "name": "weather", "input": {"place": "Paris"}},
    ]
    assert message.stop_reason == "tool_use"


@STREAM
def test_a_tools_name_that_was_changed_comes_back_as_it_was(llama: Gate, stream: bool) -> None:
    message = llama.ask(stream=stream, tools=[NOW], tool_choice={"type": "any"}, thinking={"type": "disabled"})
    (call,) = [block for block in message.content if block.type == "tool_use"]
    assert (call.name, call.input) == (NOW["name"], {})


@STREAM
def test_a_call_that_the_limit_cuts_is_told_as_cut(llama: Gate, stream: bool) -> None:
    message = llama.ask(
        stream=stream, max_tokens=60, tools=[WEATHER], tool_choice={"type": "any"}, thinking={"type": "disabled"}
    )
    assert message.stop_reason == "max_tokens"


def test_a_whole_tool_loop(llama: Gate) -> None:
    ask: Any = {"tools": [WEATHER], "max_tokens": 2000, "thinking": {"type": "enabled", "budget_tokens": 1024}}
    first = llama.ask(**ask, tool_choice={"type": "any", "disable_parallel_tool_use": True})
    (call,) = [block for block in first.content if block.type == "tool_use"]
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "rain", "is_error": True}
    second = llama.ask(
        **ask,
        system="You are brief.",
        messages=[
            {"role": "user", "content": "hello"},
            {"role": "assistant", "content": first.content},
            {"role": "user", "content": [result, {"type": "text", "text": "go on"}]},
            {"role": "system", "content": "Be brief."},
        ],
    )
    assert content(second)[-1] == {"type": "text", "text": "Hi, world."}


@STREAM
def test_a_prefill_is_gone_on_with_and_not_repeated(llama: Gate, stream: bool) -> None:
    messages = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "Hi"}]
    assert content(llama.ask(stream=stream, messages=messages)) == [{"type": "text", "text": ", world."}]


def test_an_answer_in_a_schema(llama: Gate) -> None:
    schema = {"type": "object", "properties": {"a": {"enum": ["b"]}}, "required": ["a"], "additionalProperties": False}
    message = llama.ask(output_config={"format": {"type": "json_schema", "schema": schema}})
    assert content(message) == [{"type": "text", "text": '{"a":"b"}'}]


@STREAM
def test_a_prompt_that_is_too_long_is_told_in_the_words_that_make_the_client_compact(llama: Gate, stream: bool) -> None:
    messages = [{"role": "user", "content": "x" * 3000}]
    with pytest.raises(anthropic.BadRequestError) as refused:
        llama.ask(stream=stream, messages=messages)
    assert refused.value.body["error"]["message"] == (  # type: ignore[index]
        f"prompt is too long: {3000 + TEMPLATE} tokens > 2048 maximum"
    )


def test_max_tokens_beyond_all_context_is_no_error(llama: Gate) -> None:
    assert llama.ask(stream=True, max_tokens=128_000).stop_reason == "end_turn"


def test_that_the_model_sees_no_images_is_learnt_from_its_refusal(llama: Gate) -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    for attempts in (2, 1):
        assert llama.ask(messages=[{"role": "user", "content": [image]}]).content
        record = llama.record
        assert (record["llmgate.attempts"], record["llmgate.dropped"]) == (attempts, ["messages[].content[].image"])


def test_that_the_template_wants_its_system_message_first_is_learnt_from_its_refusal(
    gate: Callable[..., Gate], llamacpp: Server
) -> None:
    client = gate(llamacpp, dialect={"base": "llamacpp", "mid_system": "inplace"})
    messages = [{"role": role, "content": "x"} for role in ("user", "system", "user")]
    for attempts in (2, 1):
        assert client.ask(messages=messages).content
        assert client.record["llmgate.attempts"] == attempts


def test_our_key_is_our_trouble(gate: Callable[..., Gate], llamacpp: Server) -> None:
    with pytest.raises(anthropic.APIStatusError) as refused:
        gate(llamacpp, dialect="llamacpp", key="sk-wrong").ask()
    assert refused.value.status_code == 502
    assert refused.value.response.headers["x-should-retry"] == "false"


def test_tokens_are_counted_by_the_server_itself(llama: Gate) -> None:
    ask: Any = {"messages": [{"role": "user", "content": "hello"}], "tools": [WEATHER], "system": "You are brief."}
    counted = llama.client.messages.count_tokens(model="claude-x", **ask).input_tokens
    usage = llama.ask(**ask).usage
    assert counted == usage.input_tokens + (usage.cache_read_input_tokens or 0)


def test_why_its_own_messages_endpoint_is_not_used(llamacpp: Server) -> None:
    """What docs/explanation/translation.md says of it; when this fails, a newer build knows more."""

    def ask(path: str = "/v1/messages", **fields: Any) -> Any:
        body = {"model": "small", "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}], **fields}
        return llamacpp.post(path, body).json()

    def count(**fields: Any) -> int:
        return int(ask("/v1/messages/count_tokens", **fields)["input_tokens"])

    late = ask(messages=[{"role": role, "content": "x"} for role in ("user", "system", "user")])
    assert (late["error"]["code"], late.get("type")) == (400, None)
    text = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x" * 99}}
    assert count(messages=[{"role": "user", "content": [text]}]) < 99
    assert count(tools=[{**WEATHER, "defer_loading": True}]) == count(tools=[WEATHER])
    assert count(tools=[{"type": "web_search_20250305", "name": "web_search"}]) > count()
    assert [block["type"] for block in ask(thinking={"type": "disabled"})["content"]] == ["thinking", "text"]


def with_property(**schema: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": schema.get("true", schema)}}


@pytest.mark.parametrize(
    ("schema", "refused"),
    [
        (with_property(true=True), True),
        (with_property(type="any"), True),
        (with_property(enum=[]), True),
        (with_property(type="array", minItems=5000), True),
        ({**with_property(), "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, False),
        *(
            (with_property(type="array", items={"type": "string", "pattern": pattern}), False)
            for pattern in (
                r"\S",
                r"^\d+$",
                r"^[\w-]+$",
                r"^(\d+|imap:[\w-]+)$",
                r"^a\/b\-c$",
                "^(?=a)b$",
                "é+",
                "^[é]$",
            )
        ),
    ],
)
def test_a_schema_that_it_makes_no_grammar_of_is_sent_in_another_form(
    llama: Gate, llamacpp: Server, schema: dict[str, Any], refused: bool
) -> None:
    """Builds differ in what they refuse; what is sent is refused by none."""
    function = {"name": "weather", "parameters": schema}
    body = {
        "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": 4,
        "tools": [{"type": "function", "function": function}],
        "tool_choice": "required",
    }
    assert not refused or llamacpp.post("/v1/chat/completions", body).status_code == 400
    tools = [{"name": "weather", "input_schema": schema}]
    message = llama.ask(max_tokens=4, tools=tools, tool_choice={"type": "any"}, thinking={"type": "disabled"})
    assert message.stop_reason == "max_tokens"
