"""D-a: arguments that are not a JSON object do not end the session: the client shows them to the model as an error."""

from __future__ import annotations

from typing import Any

import pytest

from tests.protocol.responses import (
    B,
    assert_error_end,
    call,
    calls,
    chunk,
    collected,
    completion,
    sse,
    streamed,
    text,
    tool,
    whole,
)

REPAIRED: dict[str, str] = {
    "a string that holds it": '"{\\"x\\": \\"ls\\"}"',
    "a string in a string": '"\\"{\\\\\\"x\\\\\\": \\\\\\"ls\\\\\\"}\\""',
    "a code block": '```json\n{"x": "ls"}\n```',
    "a code block without a language": '```\n{"x": "ls"}\n```',
    "Python": "{'x': 'ls'}",
    "JavaScript": '{x: "ls"}',
    "a comma too many": '{"x": "ls",}',
}
"""What holds the object that was meant.  A stream repairs it if it comes in one piece, or does not begin with `{`."""

RAW: dict[str, str] = {
    "a list": '["ls"]',
    "a number": "7",
    "a word": "ls -la",
    "shell": "cd /tmp && ls",
    "XML": "<parameter name=x>ls</parameter>",
    "half an object": '{"x": "l',
    "an object without its last bracket": '{"x": "ls"',
    "a quote too many": '{"x": "say "hi""}',
    "a bracket too many before it": '}{"x": "ls"}',
    "two members without a comma": '{"x": "ls" "y": 1}',
    "an invalid escape": '{"x": "\\d"}',
    "a string that holds half an object": '"{\\"x\\":"',
    "words before it": 'Sure! {"x": "ls"}',
    "quotes, backslashes and an emoji": '{"x": \\"😀\\n" ',
}

GARBAGE = ["}", "}}", " so", ',"y":2}', "\n```", "</tool_call>", '"', '{"x": "pwd"}', "<|im_end|>"]


def events(arguments: str, size: int | None = None) -> list[dict[str, Any]]:
    size = size or max(1, len(arguments))
    first, *rest = [arguments[at : at + size] for at in range(0, len(arguments), size)]
    return [calls(call(0, id="a", name="Bash", args=first)), *(calls(call(0, args=part)) for part in rest)]


def input_of(arguments: str) -> dict[str, str]:
    return {"INVALID_JSON": arguments}


@pytest.mark.parametrize("finish", ["tool_calls", "stop", None])
@pytest.mark.parametrize("size", [None, 1, 3])
@pytest.mark.parametrize("kind", RAW)
def test_what_is_no_object_is_passed_on_as_it_came(kind: str, size: int | None, finish: str | None) -> None:
    arguments = RAW[kind]
    data = sse(chunk(content="Hi"), *events(arguments, size), chunk(finish=finish))
    for told in (streamed(data, any_input=True), collected(data)):
        assert told.translator.error is None
        assert told.content == [text("Hi"), tool("a", "Bash", **input_of(arguments))]
        assert told.message["stop_reason"] == "tool_use"
        assert "tool_calls.arguments" in told.translator.changed
        assert told.translator.metadata.tools == ("Bash",)


@pytest.mark.parametrize("kind", RAW)
def test_the_same_of_a_whole_response(kind: str) -> None:
    entries = [call(0, id="a", name="Bash", args=RAW[kind]), call(1, **B)]
    told = whole(completion("tool_calls", tool_calls=entries))
    assert told.content == [tool("a", "Bash", **input_of(RAW[kind])), tool("b", "B", y=2)]
    assert told.message["stop_reason"] == "tool_use"


@pytest.mark.parametrize("kind", RAW)
def test_the_calls_behind_it_are_passed_on(kind: str) -> None:
    data = sse(*events(RAW[kind], 2), calls(call(1, **B)), chunk(content="So."), chunk(finish="tool_calls"))
    told = streamed(data, any_input=True)
    assert told.content == [tool("a", "Bash", **input_of(RAW[kind])), tool("b", "B", y=2), text("So.")]


@pytest.mark.parametrize("kind", REPAIRED)
def test_an_object_in_something_else_is_taken_out(kind: str) -> None:
    arguments = REPAIRED[kind]
    sizes = [None] if arguments.startswith("{") else [None, 1, 4]
    for size in sizes:
        data = sse(*events(arguments, size), chunk(finish="tool_calls"))
        for told in (streamed(data), collected(data)):
            assert told.content == [tool("a", "Bash", x="ls")]
            assert told.translator.changed == ["tool_calls.arguments"]
    assert whole(completion(tool_calls=[call(0, id="a", name="Bash", args=arguments)])).content == [
        tool("a", "Bash", x="ls")
    ]


def test_an_object_that_was_streamed_cannot_be_repaired() -> None:
    told = streamed(sse(*events("{'x': 'ls'}", 3), chunk(finish="tool_calls")), any_input=True)
    assert told.content == [tool("a", "Bash", **input_of("{'x': 'ls'}"))]


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("where", ["in its last piece", "after it", "in pieces", "after it was closed"])
def test_a_whole_object_is_kept_whatever_follows_it(garbage: str, where: str) -> None:
    arguments = '{"x": "ls"}'
    made = {
        "in its last piece": [*events(arguments[:-1]), calls(call(0, args=arguments[-1] + garbage))],
        "after it": [*events(arguments), calls(call(0, args=garbage))],
        "in pieces": [*events(arguments), *(calls(call(0, args=letter)) for letter in garbage)],
        "after it was closed": [*events(arguments), calls(call(1, **B)), calls(call(0, args=garbage))],
    }[where]
    data = sse(*made, chunk(finish="tool_calls"))
    for told in (streamed(data), collected(data)):
        assert told.content[0] == tool("a", "Bash", x="ls")
        assert told.message["stop_reason"] == "tool_use"
        assert told.translator.changed == ["tool_calls.arguments"]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_the_same_in_a_whole_response(garbage: str) -> None:
    told = whole(completion(tool_calls=[call(0, id="a", name="Bash", args='{"x": "ls"}' + garbage)]))
    assert told.content == [tool("a", "Bash", x="ls")]
    assert told.translator.changed == ["tool_calls.arguments"]


@pytest.mark.parametrize("args", [{"x": "ls"}, '{"x":"ls"}'], ids=["an object", "a text"])
def test_an_object_in_place_of_the_text(args: Any) -> None:
    assert whole(completion(tool_calls=[call(0, id="a", name="Bash", args=args)])).content == [
        tool("a", "Bash", x="ls")
    ]


@pytest.mark.parametrize("args", ["null", "None", '""', '"null"', "", " ", "{}", "{ }", None])
def test_no_arguments_are_an_empty_object(args: str | None) -> None:
    data = sse(calls(call(0, id="a", name="Bash", args=args)), chunk(finish="tool_calls"))
    for told in (streamed(data), collected(data)):
        assert told.content == [tool("a", "Bash")]


@pytest.mark.parametrize("args", [["ls"], 7, True], ids=str)
def test_another_value_in_place_of_the_text_is_passed_on(args: Any) -> None:
    told = whole(completion(tool_calls=[call(0, id="a", name="Bash", args=args)]))
    assert list(told.content[0]["input"]) == ["INVALID_JSON"]


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_a_limit_inside_of_arguments_stays_what_it_was(finish: str) -> None:
    data = sse(*events('{"x": "l'), chunk(finish=finish))
    for told in (streamed(data), collected(data)):
        assert told.content == [tool("a", "Bash")]
        assert told.message["stop_reason"] in ("max_tokens", "refusal")
        assert told.translator.changed == []


def test_a_stream_that_breaks_off_inside_of_arguments_stays_an_error() -> None:
    told = streamed(sse(*events('{"x": "l'), done=False))
    assert_error_end(told)
    assert told.message["open"]
