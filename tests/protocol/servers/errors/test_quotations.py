"""Whose words a refusal is made of."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from asgi_llmgate.protocol.servers.corrections.table import find_corrections
from asgi_llmgate.protocol.servers.errors.quotations import MAX_SEARCHED, may_come_from_request, telling_phrases
from tests.protocol.correcting_errors import REFUSALS, Refusal


def request(text: str, **more: Any) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": text}], **more}, ensure_ascii=False).encode()


def is_quoted(refusal: str, body: bytes) -> bool:
    """What holds for all that the refusal seems to say; it says something."""
    [quoted] = {may_come_from_request(correction.phrases, body) for correction in find_corrections(400, refusal)}
    return quoted


HARMLESS = st.text("abc .,:;'\"`\n<>&é世", max_size=40)
"""What neither names a field nor complains."""

AS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "repr": repr,
    "JSON": json.dumps,
    "JSON with letters": lambda text: json.dumps(text, ensure_ascii=False),
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)),
    "lower": str.lower,
    "upper": str.upper,
    "one line": lambda text: " ".join(text.split()),
    "bytes": lambda text: repr(text.encode()),
}


@given(st.data())
def test_whatever_a_server_quotes_of_a_request_is_found_there(data: st.DataObject) -> None:
    wording = data.draw(st.sampled_from([*REFUSALS.values()])).message
    text = data.draw(HARMLESS) + wording + data.draw(HARMLESS)
    start, end = data.draw(st.integers(0, 12)), len(text) - data.draw(st.integers(0, 12))
    show = data.draw(st.sampled_from([*AS.values()]))
    refusal = data.draw(HARMLESS) + show(text[start:end]) + data.draw(HARMLESS)
    escape = data.draw(st.booleans())
    body = json.dumps({"messages": [{"role": "user", "content": text}]}, ensure_ascii=escape).encode()
    found = find_corrections(400, refusal)
    assume(found)
    assert all(may_come_from_request(correction.phrases, body) for correction in found)


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_a_quotation_that_is_cut_within_a_word_is_found(refusal: Refusal) -> None:
    body = request(refusal.message)
    for start in (0, 2):
        for cut in range(1, 12):
            found = find_corrections(400, refusal.message[start:-cut] + "a")
            assert all(may_come_from_request(correction.phrases, body) for correction in found), cut


@pytest.mark.parametrize(
    ("refusal", "text"),
    [
        ("Invalid value for 'stop': got 'not supported'", "not supported"),
        ("Invalid value for `stop`: got \u201cunknown\u201d", "unknown"),
        ("Invalid 'stop': `unexpected`.", "Unexpected"),
        ("'temperature' 7 is wrong: the water is not permitted to boil", "The water is not permitted to boil."),
        ("top_p is wrong in a request that says unknown person at door", "unknown person at door"),
        ("max_tokens is too large for: answer in at most 1200 words please", "Answer in at most 1200 words, please."),
        ("max_tokens 99 (prompt: 'cannot exceed 2000 words')", "It cannot exceed 2000 words"),
        ("reasoning_effort is odd. Input should be 'low' or 'high' they say", "input should be 'low' or 'high'"),
        ("bad image: does not support images", "It does not\nsupport\timages"),
        ("bad image: DOES NOT SUPPORT IMAGES", "does  not  support  images"),
    ],
)
def test_words_of_the_request_in_a_sentence_of_the_servers_are_the_requests(refusal: str, text: str) -> None:
    assert is_quoted(refusal, request(text))
    assert not is_quoted(refusal, request("Something else: the temperature, a stop, max_tokens 5, images, top_p."))


def test_words_that_a_server_joins_are_found_in_parts() -> None:
    parts = [{"type": "text", "text": "this model does not"}, {"type": "text", "text": "support images"}]
    assert is_quoted("no: this model does not support images", json.dumps({"content": parts}).encode())


def test_letters_that_only_python_takes_for_others_make_no_refusal() -> None:
    assert find_corrections(400, "doe\u017f not \u017fupport image\u017f") == ()
    assert find_corrections(400, "max_to\u212aens cannot exceed \u0665\u0665\u0665\u0665") == ()


@pytest.mark.parametrize(
    ("body", "quoted"),
    [
        (b'{"image_url":{"url":"data:image/png;base64,AAAA"}}', False),
        (b'{"image_url":{"url":"https://caller.test/"}}', True),
        (b'{"image_url":{"url" : "\\u0068ttps://caller.test/"}}', True),
        (b'{"properties":{"url":{"type":"string"}}}', False),
        (b'{"text":"\\"url\\":\\"https://caller.test/\\""}', False),
        (b" " * MAX_SEARCHED, False),
        (b" " * (MAX_SEARCHED + 1), True),
        (b"\\u4e16" * 20_000, False),
        (b"\\u4e16" * 20_001, True),
        (b"\\x1b\\\\x1b" * 10_001, True),
    ],
)
def test_what_cannot_be_known_counts_as_a_quotation(body: bytes, quoted: bool) -> None:
    assert may_come_from_request([(b"does", b"not", b"support", b"images")], body) is quoted


@pytest.mark.parametrize(
    "piece",
    [b"a", b" ", b"\\", b"\\\\n", b"does not support ", b"does type ", b"type ", b'"url" ', b"\xe4\xb8\x96", b"\\n"],
    ids=repr,
)
def test_looking_takes_no_more_than_some_copies_of_the_request(piece: bytes) -> None:
    body = piece * (MAX_SEARCHED // 2 // len(piece))
    tracemalloc.start()
    assert not may_come_from_request([(b"does", b"not", b"support", b"images"), (b"e", b"support", b"x")], body)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * len(body)


def test_a_sentence_is_known_by_its_words_and_by_what_stands_around_its_telling_ones() -> None:
    text = "Sorry: 'stop' is not supported with this model"
    match, telling = (text.index("'stop'"), text.index("ed with")), (text.index("not"), text.index("ed with"))
    assert set(telling_phrases(text, match, telling)) == {
        (b"stop", b"is", b"not", b"support"),
        (b"stop", b"is", b"not", b"supported"),
        (b"is", b"not", b"supported", b"with"),
        (b"not", b"supported", b"with", b"this"),
    }
