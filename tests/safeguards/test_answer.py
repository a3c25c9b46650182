from __future__ import annotations

import json
from typing import Any

import pytest

from asgi_llmgate.safeguards.answer import Unreadable, read_answer, read_message
from tests.safeguards.classified import verdicts


def verdict(**members: Any) -> str:
    return json.dumps({"verdicts": [{"id": "1", "reason": "", "outcome": "pass", **members}]})


GOOD = {
    "plain": verdicts("pass", "flag"),
    "with blanks": f"\n {verdicts('pass', 'flag')} \n",
    "fenced": f"```json\n{verdicts('pass', 'flag')}\n```",
    "fenced without a language": f"```\n{verdicts('pass', 'flag')}\n```",
}


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_the_object_that_was_asked_for_is_read(text: str) -> None:
    answers = read_answer(text, ["1", "2"])
    assert {id: answer.outcome for id, answer in answers.items()} == {"1": "pass", "2": "flag"}
    assert answers["2"].reason == "flag 2"


BAD = {
    "prose": "They are all fine.",
    "prose before": "Sure! " + verdicts("pass"),
    "prose behind": verdicts("pass") + " Hope that helps.",
    "prose before a fence": f"Sure:\n```json\n{verdicts('pass')}\n```",
    "two fences": f"```json\n{verdicts('pass')}\n```\n```json\n{verdicts('pass')}\n```",
    "upper case": verdicts("PASS"),
    "another outcome": verdicts("allow"),
    "another id": verdict(id="toolu_1"),
    "a number as the id": verdict(id=1),
    "two answers": verdicts("pass") + verdicts("pass"),
    "a name twice": '{"verdicts":[{"id":"1","reason":"","outcome":"flag","outcome":"pass"}]}',
    "verdicts twice": '{"verdicts":[],"verdicts":[{"id":"1","reason":"","outcome":"pass"}]}',
    "an id twice": json.dumps({"verdicts": json.loads(verdict())["verdicts"] * 2}),
    "a flag without a reason": verdict(outcome="flag", reason=" "),
    "no reason": '{"verdicts":[{"id":"1","outcome":"pass"}]}',
    "another member": verdict(sure=True),
    "a member beside the verdicts": '{"verdicts":[],"note":"x"}',
    "a list": '[{"id":"1","reason":"","outcome":"pass"}]',
    "texts as verdicts": '{"verdicts":["pass"]}',
    "no list": '{"verdicts":{"1":"pass"}}',
    "nothing": "",
    "cut": verdicts("pass")[:-3],
    "deep": "[" * 100_000,
    "think tags": f"<think>fine</think>{verdicts('pass')}",
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_anything_else_is_no_answer(text: str) -> None:
    with pytest.raises(Unreadable):
        read_answer(text, ["1"])


def message(*content: dict[str, Any], stop_reason: str = "end_turn") -> bytes:
    return json.dumps({"type": "message", "content": content, "stop_reason": stop_reason}).encode()


TEXT = {"type": "text", "text": "a"}


def test_the_text_of_a_message_is_all_of_its_texts_without_thinking() -> None:
    thinking = {"type": "thinking", "thinking": "hm", "signature": ""}
    assert read_message(message(thinking, TEXT, TEXT)) == "aa"
    assert read_message(message(thinking)) == ""


@pytest.mark.parametrize("reason", ["max_tokens", "refusal", "tool_use", "pause_turn"])
def test_a_message_that_is_not_complete_is_no_answer(reason: str) -> None:
    with pytest.raises(Unreadable):
        read_message(message(TEXT, stop_reason=reason))


def test_a_message_that_is_more_than_text_is_no_answer() -> None:
    with pytest.raises(Unreadable):
        read_message(message(TEXT, {"type": "tool_use", "id": "t", "name": "x", "input": {}}))


MALFORMED = [
    b"",
    b"[" * 100_000,
    b"[]",
    b'{"stop_reason":["end_turn"],"content":[]}',
    b'{"stop_reason":"end_turn"}',
    b'{"stop_reason":"end_turn","content":null}',
    b'{"stop_reason":"end_turn","content":"a"}',
    b'{"stop_reason":"end_turn","content":["a"]}',
    b'{"stop_reason":"end_turn","content":[{"type":"text","text":1}]}',
    b'{"stop_reason":"end_turn","content":[{"type":"text"}]}',
]


@pytest.mark.parametrize("document", MALFORMED, ids=range(len(MALFORMED)))
def test_a_document_that_is_no_message_is_no_answer(document: bytes) -> None:
    with pytest.raises(Unreadable):
        read_message(document)
