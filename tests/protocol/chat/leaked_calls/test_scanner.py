from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from asgi_llmgate.protocol.chat.leaked_calls.parser import MAX_TEXT
from asgi_llmgate.protocol.chat.leaked_calls.scanner import LeakedCalls
from asgi_llmgate.protocol.rawjson.strings import escape, unescape
from asgi_llmgate.protocol.servers.columns import LEAKED_CALL_FORMATS
from tests.helpers.counted_work import handled

TOOLS = json.dumps([{"function": {"name": "Bash", "parameters": {"required": ["command"]}}}]).encode()


def scanner(formats: frozenset[str] = LEAKED_CALL_FORMATS) -> LeakedCalls:
    return LeakedCalls(TOOLS, formats)


def passed(words: str, size: int = 1, leaked: LeakedCalls | None = None) -> list[str]:
    """What has been passed on after each piece."""
    leaked, text = leaked or scanner(), list[str]()
    for at in range(0, len(words), size):
        new = b"".join(raw for _, raw in leaked.read([("text", escape(words[at : at + size]))]))
        text.append((text[-1] if text else "") + unescape(new))
    return text


@pytest.mark.parametrize(
    ("words", "held"),
    [
        ("Hello, <b>you</b>", 0),
        ("a\n<b", 0),
        ("a\n<t", 2),
        ("a\n<tool_call>", 11),
        ("a\n<tool_call>\n{", 13),
        ('a\n<tool_call>\n{"name": "Bash"', 27),
        ('a\n<tool_call>\n{"name": "Bush"', 0),
        ('a\n<tool_call>\n{"nome": ', 0),
        ("a\n<tool_call>\n{a", 0),
        ("a\n<tool_call>Bash", 15),
        ("a\n<tool_call>Bush<", 0),
        ("a\n<tool_call>Bush is", 0),
        ("a\n<function=Bush>", 0),
        ("a <tool_call", 0),
        ("a.<|tool", 6),
        ("a. <|tool", 6),
        ("a: <|tool", 0),
        ("`a.<|tool", 6),
        ("a.<tool", 0),
        ("a<|im_end|", 9),
        ("a<|im_end|>\n\n", 12),
        ("a<|im_end|>\n\nb", 0),
        ("[", 1),
        ("[1]", 0),
        ("{", 1),
        ('{"age"', 0),
        ('{"name": "Al', 12),
        ('{"name": "Al"', 0),
        ('{"type": "function", "name"', 27),
        ("a\ncomm", 4),
        ("a\ncomma", 0),
        ("a comm", 0),
        ("[TOOL_CALLS]Bash", 16),
        ("[TOOL_CALLS]Bush[", 0),
        ("Example:\n<t", 0),
        ("```\n<tool_call>", 0),
        ('<tool_call>{"name": "Bash", "arguments": {"command": "ls"}}</tool_call>', 71),
        ('<tool_call>{"name": "Bash", "arguments": {"command": 5', 54),
        ('<tool_call>{"name": "Bash", "arguments": {}}', 0),
        ('<tool_call>{"name": "Bash", "arguments": {"command": "ls"}}</tool_call>x', 0),
    ],
)
def test_only_what_may_be_a_call_is_kept_back(words: str, held: int) -> None:
    for size in (1, 4, 1000):
        assert passed(words, size)[-1] == words[: len(words) - held]


def test_a_marker_is_noticed_where_no_call_may_stand() -> None:
    for size in (1, 3, 5, 1000):
        words = "See `<tool_call>` and so on.\n" + "So it is. " * 30 + "\n<tool_call>"
        assert passed(words, size)[-1] == words


def test_the_beginning_of_a_line_is_remembered() -> None:
    words = "a" * 9000 + "\n" + "b" * 9000 + "\n   <tool_call>"
    for size in (1, 7, 5000, 100_000):
        assert passed(words, size)[-1] == words.removesuffix("<tool_call>")


def test_too_long_to_be_kept_back() -> None:
    words = '<tool_call>{"name": "Bash", "arguments": {"command": "' + "x" * MAX_TEXT
    assert passed(words, 10_000)[-2:] == ["", words]


def test_formats() -> None:
    call = '[TOOL_CALLS]Bash[ARGS]{"command": "ls"}'
    assert passed(call, leaked=scanner(frozenset({"hermes"})))[-1] == call
    assert passed(call, leaked=scanner(frozenset({"mistral"})))[-1] == ""
    bare = '{"name": "Bash", "arguments": {"command": "ls"}}'
    assert passed(bare, leaked=scanner(frozenset({"mistral"})))[-1] == bare
    assert passed(bare, leaked=scanner(frozenset({"json"})))[-1] == ""
    xml = "<tool_call><function=Bash><parameter=command>ls</parameter></function>"
    assert passed(xml, leaked=scanner(frozenset({"hermes"})))[-1] == xml
    assert passed("<tool_call>Bash", leaked=scanner(frozenset({"hermes"})))[-1] == "<tool_call>Bash"


OPEN = '<tool_call>{"name": "Bash", "arguments": {"command": "'

SHAPES: dict[str, Callable[[int], list[str]]] = {
    "a long argument": lambda number: [OPEN, *["all work and no play"] * number],
    "a long argument, a character at a time": lambda number: [OPEN, *"x\\" * number],
    "a long value": lambda number: ["<function=Bash><parameter=command>", *["a </parameter> b"] * number],
    "a long value that nearly ends": lambda number: ["<function=Bash><parameter=command>", *"</param" * number],
    "many parameters": lambda number: ["<function=Bash>", *["<parameter=command>a</parameter>"] * number],
    "many calls": lambda number: [OPEN + 'ls"}}</tool_call>'] * number,
    "many calls in one piece": lambda number: [(OPEN + 'ls"}}</tool_call>') * number],
    "many tokens": lambda number: ["a"] + ["<|im_end|>"] * number,
    "many tokens and something else": lambda number: ["a" + "<|im_end|>" * number + "b"],
    "many tokens that are not kept back": lambda number: ["a " + "<|im_end|> " * number],
    "many beginnings": lambda number: ["a\n" + "<tool_\n" * number],
    "beginnings, a character at a time": lambda number: list("a\n" + "<tool_\n" * number),
    "a long line": lambda number: ["all work [and] no <play> "] * number,
    "many lines": lambda number: ["a\n<b>\n```\n{}\n"] * number,
    "space": lambda number: [OPEN + 'ls"}}</tool_call>', *["  \n"] * number],
    "brackets": lambda number: ["<tool_call>" + "[" * number],
    "a list": lambda number: ["<tool_call>[" + '{"name": "Bash", "arguments": {"command": "ls"}}, ' * number],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_work_of_a_piece_does_not_grow(shape: str) -> None:
    def work(number: int) -> Callable[[], object]:
        pieces, leaked = [("text", escape(piece)) for piece in SHAPES[shape](number)], scanner()

        def read() -> None:
            for piece in pieces:
                leaked.read([piece])  # type: ignore[list-item]
            if leaked.end() is None:
                leaked.release()

        return read

    counts = [handled(work(number), "asgi_llmgate.protocol") for number in (25, 50, 100)]
    for one, two, four in zip(*counts, strict=True):
        assert four - two <= 2.3 * (two - one) + 4000, counts
