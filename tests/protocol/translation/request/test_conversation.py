"""The rows of the request table that are about the conversation."""

from __future__ import annotations

import json
from typing import Any

import pytest

from asgi_llmgate.errors import InvalidRequest
from asgi_llmgate.protocol.servers.dialects import derive

HI = {"role": "user", "content": "hi"}
BYE = {"role": "user", "content": "bye"}
PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}}
PNG_PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
BILLING = {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.330; cch=1a2b"}


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


def call(call_id: str = "t", name: str = "A", **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": arguments}


def result(call_id: str = "t", **fields: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id, **fields}


def says(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


@pytest.mark.parametrize(
    ("system", "content"),
    [
        ("Be brief.", "Be brief."),
        ([text("Be"), text("brief.")], "Be\n\nbrief."),
        ([BILLING, text("Be brief.")], "Be brief."),
        ([text("", cache_control={}), text("Be brief.")], "Be brief."),
        ("", None),
        ([], None),
        ([BILLING], None),
        (None, None),
    ],
    ids=["string", "blocks", "billing block", "empty block", "empty string", "no blocks", "only billing", "null"],
)
def test_case_48_billing_header_block_is_left_out_of_the_one_leading_system_message(
    translate: Any, system: Any, content: str | None
) -> None:
    messages = translate(system=system, messages=[HI]).messages
    assert messages == ([] if content is None else [{"role": "system", "content": content}]) + [HI]


def test_what_is_no_text_in_the_system_is_left_out_and_reported(translate: Any) -> None:
    told = translate(system=[PNG, text("x", citations=None, cache_control={"type": "ephemeral"})])
    assert told.messages[0]["content"] == "x"
    assert told.dropped == {"system[].image", "system[].citations", "system[].cache_control"}


def test_the_system_speaks_as_developer_where_the_model_wants_it(translate: Any) -> None:
    assert translate(system="x", to="o3").messages[0]["role"] == "developer"


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        ("hi", "hi"),
        ([text("hi", cache_control={"type": "ephemeral"})], "hi"),
        ([text("a"), text("b")], [text("a"), text("b")]),
        ([text(""), text("b")], "b"),
        ([PNG], [PNG_PART]),
    ],
    ids=["string", "one text block", "two", "an empty one", "an image alone"],
)
def test_a_user_message_is_a_string_where_it_is_one_text(translate: Any, content: Any, sent: Any) -> None:
    assert translate(messages=[{"role": "user", "content": content}]).messages == [{"role": "user", "content": sent}]


def test_case_42_tool_result_order(translate: Any) -> None:
    messages = translate(
        messages=[
            HI,
            says(call("1"), call("2")),
            user(text("before"), result("1", content="r1"), text("after"), result("2", content="r2")),
        ]
    ).messages
    assert messages[2:] == [
        {"role": "tool", "tool_call_id": "1", "content": "r1"},
        {"role": "tool", "tool_call_id": "2", "content": "r2"},
        {"role": "user", "content": [text("before"), text("after")]},
    ]


def test_case_43_image_in_tool_result_two_parallel_calls(translate: Any) -> None:
    messages = translate(
        messages=[
            HI,
            says(call("1"), call("2")),
            user(result("1", content=[text("shot:"), PNG, PDF]), result("2", content="r2"), text("go on")),
        ]
    ).messages
    assert messages[2:] == [
        {"role": "tool", "tool_call_id": "1", "content": "shot:\nsee attached image 1\nsee attached document 2"},
        {"role": "tool", "tool_call_id": "2", "content": "r2"},
        {
            "role": "user",
            "content": [
                text("attached image 1: the output of a tool, not the user's words"),
                PNG_PART,
                text("attached document 2: the output of a tool, not the user's words"),
                {"type": "file", "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,AAAA"}},
            ],
        },
        {"role": "user", "content": "go on"},
    ]


@pytest.mark.parametrize(
    ("fields", "content"),
    [
        ({"content": "boom", "is_error": True}, "Error: boom"),
        ({"content": [text("boom")], "is_error": True}, "Error: boom"),
        ({"is_error": True}, "Error: (no output)"),
        ({"content": "fine", "is_error": False}, "fine"),
        ({"content": "fine", "is_error": "yes"}, "fine"),
    ],
    ids=["string", "blocks", "no content", "no error", "not a boolean"],
)
def test_case_44_is_error(translate: Any, fields: Any, content: str) -> None:
    assert translate(messages=[HI, says(call()), user(result(**fields))]).messages[2]["content"] == content


@pytest.mark.parametrize(
    "fields",
    [{}, {"content": None}, {"content": ""}, {"content": []}, {"content": [text("")]}],
    ids=["missing", "null", "empty string", "no blocks", "an empty block"],
)
def test_case_45_empty_and_missing_tool_result_content(translate: Any, fields: Any) -> None:
    sent = translate(messages=[HI, says(call()), user(result(**fields))]).messages[2]
    assert sent == {"role": "tool", "tool_call_id": "t", "content": "(no output)"}


def test_texts_of_a_result_are_lines(translate: Any) -> None:
    sent = translate(messages=[HI, says(call()), user(result(content=[text("a"), text('b"\n')]))]).messages[2]
    assert sent["content"] == 'a\nb"\n'


@pytest.mark.parametrize(
    ("blocks", "sent"),
    [
        ([text("a"), call(x=1)], {"content": "a", "tool_calls": ['{"x":1}']}),
        ([call()], {"content": None, "tool_calls": ["{}"]}),
        ([call(x=1), text("after")], {"content": "after", "tool_calls": ['{"x":1}']}),
        ([text("a"), text("b")], {"content": "a\nb"}),
    ],
    ids=["text and call", "call alone", "text after the call", "two texts"],
)
def test_what_the_assistant_said_is_one_message(translate: Any, blocks: Any, sent: Any) -> None:
    results = [result(block["id"]) for block in blocks if block["type"] == "tool_use"]
    message = translate(messages=[HI, says(*blocks), user(*results, text("x"))]).messages[1]
    assert message["role"] == "assistant"
    assert message["content"] == sent["content"]
    assert [c["function"]["arguments"] for c in message.get("tool_calls", [])] == sent.get("tool_calls", [])


@pytest.mark.parametrize("given", [{}, {"input": None}, {"input": {}}], ids=["missing", "null", "empty"])
def test_a_call_without_arguments_has_an_empty_object(translate: Any, given: Any) -> None:
    block = {"type": "tool_use", "id": "t", "name": "A", **given}
    sent = translate(messages=[HI, says(block), user(result())]).messages[1]
    assert sent["tool_calls"][0]["function"]["arguments"] == "{}"


def test_arguments_keep_the_order_and_spelling_of_the_input(translate: Any) -> None:
    arguments = {"z": 1.50, "a": {"é": '"\n\\'}, "list": [None, True]}
    sent = translate(messages=[HI, says(call(**arguments)), user(result())]).messages[1]
    assert sent["tool_calls"][0]["function"]["arguments"] == '{"z":1.5,"a":{"é":"\\"\\n\\\\"},"list":[null,true]}'


@pytest.mark.parametrize("slip", ['"a.txt"', "[1, 2]", "7", "true", '"{\\"x\\": 1}"'])
def test_a_slip_that_the_client_sends_back_is_told_as_a_response_tells_it(translate: Any, slip: str) -> None:
    """The model wrote JSON that is no object; in a stream the client got it as it was, and keeps it as the input."""
    message = says({"type": "tool_use", "id": "t", "name": "A", "input": json.loads(slip)})
    [called] = translate(messages=[HI, message, user(result())]).messages[1]["tool_calls"]
    assert json.loads(called["function"]["arguments"]) == {"INVALID_JSON": slip.replace(", ", ",")}


THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "llmgate.v1"}
LOOP = [
    HI,
    says(THOUGHT, call("1")),
    user(result("1")),
    says(text("so"), {**THOUGHT, "thinking": "old"}),
    BYE,
    says(THOUGHT, {**THOUGHT, "thinking": "yes"}, {"type": "redacted_thinking", "data": "x"}, text("ok"), call("2")),
    user(result("2"), text("<system-reminder>")),
    says({**THOUGHT, "thinking": ""}, call("3")),
    user(result("3")),
]


@pytest.mark.parametrize(
    ("dialect", "field", "reported"),
    [
        ("openai", None, True),
        ("vllm", "reasoning", False),
        ("ollama", "reasoning", False),
        ("llamacpp", "reasoning_content", False),
        ("openrouter", "reasoning", False),
    ],
)
def test_case_49_thinking_history_goes_back_for_the_current_tool_loop_where_it_is_wanted(
    translate: Any, dialect: str, field: str | None, reported: bool
) -> None:
    told = translate(dialect=dialect, messages=LOOP)
    said = [message for message in told.messages if message["role"] == "assistant"]
    sent = [message.get(field) for message in said]
    assert sent == ([None, None, "hm\nyes", None] if field else [None] * 4)
    assert b"llmgate.v1" not in told.chat.body
    assert ("messages[].content[].thinking" in told.dropped) is reported
    assert "messages[].content[].redacted_thinking" in told.dropped


def test_case_49_deepseek_gets_the_thinking_of_the_whole_conversation(translate: Any) -> None:
    told = translate(dialect="deepseek", messages=LOOP)
    said = [message["reasoning_content"] for message in told.messages if message["role"] == "assistant"]
    assert said == ["hm", "old", "hm\nyes", " "]


@pytest.mark.parametrize("dialect", ["openai", "llamacpp"])
@pytest.mark.parametrize("blocks", [[THOUGHT], [text("")], []], ids=["a thought", "an empty text", "nothing"])
def test_an_answer_without_text_and_calls_is_left_out(translate: Any, dialect: str, blocks: Any) -> None:
    assert translate(dialect=dialect, messages=[HI, says(*blocks), BYE]).messages == [HI, BYE]


MID = [HI, {"role": "system", "content": "mind the gap"}, says(text("ok")), BYE]


@pytest.mark.parametrize(
    ("dialect", "second"),
    [
        ("openai", {"role": "system", "content": "mind the gap"}),
        ("vllm", {"role": "user", "content": "<system-reminder>\nmind the gap\n</system-reminder>"}),
    ],
)
def test_case_47_mid_conversation_system(translate: Any, dialect: str, second: Any) -> None:
    assert translate(dialect=dialect, messages=MID).messages == [
        HI,
        second,
        {"role": "assistant", "content": "ok"},
        BYE,
    ]


@pytest.mark.parametrize("dialect", ["openai", "vllm"])
@pytest.mark.parametrize(
    "message",
    [
        {"content": ""},
        {},
        {"content": []},
        {"content": [text("")]},
        {"content": [{"type": "tool_removal", "tool": {"name": "x"}}]},
    ],
    ids=["empty string", "missing", "no blocks", "an empty block", "only a tool change"],
)
def test_a_system_message_that_says_nothing_is_left_out(translate: Any, dialect: str, message: Any) -> None:
    assert translate(dialect=dialect, messages=[HI, {"role": "system", **message}, BYE]).messages == [HI, BYE]


@pytest.mark.parametrize(
    ("after", "kept"),
    [([], True), ([says(call()), user(result())], True), ([says(text("a")), BYE], False), ([BYE], False)],
    ids=["nothing after it", "only tool results after it", "an answer and a user text", "a user text"],
)
def test_a_system_message_for_this_turn_goes_when_the_user_speaks_again(translate: Any, after: Any, kept: bool) -> None:
    passing = {"role": "system", "content": "today", "clear_at": "next_user_message"}
    messages = translate(messages=[HI, passing, *after]).messages
    assert ({"role": "system", "content": "today"} in messages) is kept
    lasting = {**passing, "clear_at": "never"}
    assert {"role": "system", "content": "today"} in translate(messages=[HI, lasting, *after]).messages


def test_two_user_messages_in_a_row_stay_two(translate: Any) -> None:
    assert translate(messages=[HI, BYE]).messages == [HI, BYE]


def test_two_user_messages_in_a_row_are_one_where_the_template_demands_it(translate: Any) -> None:
    strict = derive("vllm", {"alternate_roles": True})
    messages = translate(dialect=strict, messages=[*MID[:2], BYE, says(text("ok")), HI, user(PNG)]).messages
    assert messages == [
        user(text("hi"), text("<system-reminder>\nmind the gap\n</system-reminder>"), text("bye")),
        {"role": "assistant", "content": "ok"},
        user(text("hi"), PNG_PART),
    ]


def test_a_system_message_ends_a_run_of_user_messages_where_it_may_stand_there(translate: Any) -> None:
    strict = derive("openai", {"alternate_roles": True})
    assert translate(dialect=strict, messages=[HI, MID[1], BYE]).messages == [HI, MID[1], BYE]


def test_fields_of_messages_and_blocks_that_nobody_reads_are_reported(translate: Any) -> None:
    told = translate(
        messages=[
            {**HI, "id": "m1"},
            says(text("a", citations=[]), {**call(), "caller": {"type": "direct"}}),
            user(result(toolset_name="x", content=[text("r", cache_control={})])),
            {"role": "system", "content": "s", "clear_at": None, "output_config": {}, "novelty": 1},
        ]
    )
    assert told.dropped == {
        "messages[].id",
        "messages[].novelty",
        "messages[].content[].citations",
        "messages[].content[].caller",
        "messages[].content[].toolset_name",
        "messages[].content[].cache_control",
    }


def test_unknown_fields_of_an_assistants_message_are_reported(translate: Any) -> None:
    told = translate(messages=[HI, {**says(text("hello")), "surprise": 1}, BYE])
    assert "messages[].surprise" in told.dropped


def test_a_block_of_an_assistants_message_that_is_not_valid_has_its_place(translate: Any) -> None:
    wrong = {"type": "image", "source": {"type": "base64", "media_type": 7, "data": "AAAA"}}
    with pytest.raises(InvalidRequest, match=r"messages\.1\.content\.1\."):
        translate(messages=[HI, says(text("hello"), wrong), BYE])


def test_an_empty_message_of_the_user_after_the_assistants_is_not_lost(translate: Any) -> None:
    """Without it the model would continue its own message."""
    assert translate(messages=[HI, says(text("one")), user()]).messages[-1] == {
        "role": "user",
        "content": "(no content)",
    }
    assert [each["role"] for each in translate(messages=[HI, says(call()), user(result())]).messages][-1] == "tool"


def test_unknown_fields_of_a_message_with_results_only_are_reported(translate: Any) -> None:
    messages = [HI, says(call()), {**user(result()), "origin": "x"}]
    assert translate(messages=messages).dropped == {"messages[].origin"}


def test_system_texts_sent_as_the_users_come_before_the_next_results(translate: Any) -> None:
    """A server without system messages: what stands in the middle of the conversation keeps its place."""
    dialect = derive("generic", {"system_role": "user", "mid_system": "inplace"})
    system = {"role": "system", "content": [text("S")]}
    messages = [HI, says(call("t"), call("u")), user(result("t")), system, user(result("u"))]
    written = translate(dialect=dialect, messages=messages).messages
    assert [each["role"] for each in written] == ["user", "assistant", "tool", "tool", "user"]
    assert written[-1]["content"] == "S"
