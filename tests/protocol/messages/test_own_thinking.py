from __future__ import annotations

import json
from typing import Any

import pytest

from asgi_llmgate.protocol.messages.request import decode_messages

CLAUDES = {"type": "thinking", "thinking": "hm", "signature": "EqQBCkYIBxgC"}
OURS = {"type": "thinking", "thinking": "hm", "signature": "llmgate"}
SEALED = {"type": "thinking", "thinking": "", "signature": "llmgate.AAAA"}
TEXT = {"type": "text", "text": 'llmgate, "signature": "llmgate" and ] }'}
GO = {"role": "user", "content": "go"}


def said(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": [*blocks]}


CASES = {
    "before a text": ([GO, said(OURS, TEXT), GO], [GO, said(TEXT), GO]),
    "behind a text": ([GO, said(TEXT, SEALED), GO], [GO, said(TEXT), GO]),
    "between": ([GO, said(TEXT, OURS, SEALED, TEXT), GO], [GO, said(TEXT, TEXT), GO]),
    "beside Claude's": ([GO, said(CLAUDES, TEXT), GO, said(OURS, TEXT)], [GO, said(CLAUDES, TEXT), GO, said(TEXT)]),
    "nothing else": ([GO, said(OURS, SEALED), GO], [GO, GO]),
    "first": ([said(OURS), GO, said(TEXT)], [GO, said(TEXT)]),
    "last": ([GO, said(TEXT), GO, said(SEALED)], [GO, said(TEXT), GO]),
    "in several": ([GO, said(OURS), GO, said(OURS, TEXT), said(SEALED), GO], [GO, GO, said(TEXT), GO]),
}


@pytest.mark.parametrize("indent", [None, 1, 4])
@pytest.mark.parametrize("case", CASES)
def test_own_thinking_is_cut_and_nothing_else(case: str, indent: int | None) -> None:
    given, left = CASES[case]
    body = {"model": "m", "max_tokens": 1, "messages": given, "thinking": {"type": "adaptive"}}
    request = decode_messages(json.dumps(body, indent=indent).encode())
    sent = json.loads(request.forwarded({"model": b'"n"'}))
    assert sent == {**body, "model": "n", "messages": left}


@pytest.mark.parametrize("separators", [(",", ":"), (" , ", " :\t")])
def test_every_other_byte_is_the_clients(separators: tuple[str, str]) -> None:
    def encode(*messages: Any) -> bytes:
        body = {"model": "m", "max_tokens": 1, "messages": [*messages]}
        return json.dumps(body, separators=separators).replace("hm", "h\\u006d").encode()

    before, after = [GO, said(OURS, TEXT, CLAUDES), GO], [GO, said(TEXT, CLAUDES), GO]
    assert decode_messages(encode(*before)).forwarded({}) == encode(*after)


def test_another_field_with_the_same_value_stays() -> None:
    messages = [{"more": [OURS, TEXT], **said(OURS, TEXT)}, GO]
    body = json.dumps({"model": "m", "max_tokens": 1, "messages": messages}).encode()
    sent = json.loads(decode_messages(body).forwarded({}))["messages"]
    assert sent[0] == {"more": [OURS, TEXT], "role": "assistant", "content": [TEXT]}


@pytest.mark.parametrize(
    "messages",
    [
        [GO],
        [GO, said(CLAUDES, TEXT), GO],
        [said(OURS)],  # there must be something to send
        [{"role": "user", "content": "llmgate"}],
        [GO, said({"type": "redacted_thinking", "data": "llmgate"}, {"type": "thinking", "signature": "llmgates"})],
        [GO, {"role": "assistant", "content": ""}, GO, {"role": "assistant", "content": []}, GO],
    ],
)
def test_without_any_the_body_is_the_clients(messages: list[Any]) -> None:
    body = json.dumps({"model": "m", "max_tokens": 1, "messages": messages}).encode()
    assert decode_messages(body).forwarded({}) == body


def test_a_message_without_blocks_stays() -> None:
    messages = [GO, {"role": "assistant", "content": []}, GO, said(OURS, TEXT), GO]
    body = json.dumps({"model": "m", "max_tokens": 1, "messages": messages}).encode()
    assert json.loads(decode_messages(body).forwarded({}))["messages"][1] == {"role": "assistant", "content": []}
