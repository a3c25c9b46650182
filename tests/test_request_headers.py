from __future__ import annotations

import signal
from collections.abc import Iterator
from types import FrameType

import pytest

from asgi_llmgate.request_headers import RequestHeaders, read_headers

REPEATED = [
    ([("cookie", "a=1"), ("cookie", "b=2")], {"cookie": "a=1; b=2"}),
    ([("cookie", "a=1; b=2"), ("cookie", "c=3"), ("cookie", "d=4; e=5")], {"cookie": "a=1; b=2; c=3; d=4; e=5"}),
    ([("Cookie", "a=1"), ("COOKIE", "b=2")], {"cookie": "a=1; b=2"}),
    ([("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")], {"cookie": "a=1; b=2", "x": "y"}),
    ([("cookie", 'a="x, y"'), ("cookie", "b=2")], {"cookie": 'a="x, y"; b=2'}),
    ([("cookie", ""), ("cookie", "b=2")], {"cookie": "; b=2"}),
    ([("cookie2", "a"), ("cookie2", "b")], {"cookie2": "a, b"}),
    ([("set-cookie", "a=1"), ("set-cookie", "b=2")], {"set-cookie": "a=1, b=2"}),
    ([("accept", "a/b"), ("accept", "c/d;q=0.1")], {"accept": "a/b, c/d;q=0.1"}),
    ([("accept-encoding", "gzip"), ("accept-encoding", "br")], {"accept-encoding": "gzip, br"}),
    ([("anthropic-beta", "one"), ("Anthropic-Beta", "two,three")], {"anthropic-beta": "one, two,three"}),
    ([("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "2.2.2.2")], {"x-forwarded-for": "1.1.1.1, 2.2.2.2"}),
    ([("authorization", "Bearer a"), ("authorization", "Bearer b")], {"authorization": "Bearer a, Bearer b"}),
    ([("content-length", "5"), ("content-length", "5")], {"content-length": "5, 5"}),
    ([("content-length", "5"), ("content-length", "6")], {"content-length": "5, 6"}),
    ([("content-type", "application/json"), ("content-type", "a/b")], {"content-type": "application/json, a/b"}),
    ([("origin", "https://a"), ("origin", "https://b")], {"origin": "https://a, https://b"}),
    ([("host", "a"), ("host", "b")], {"host": "a, b"}),
    ([("user-agent", "a"), ("user-agent", "")], {"user-agent": "a, "}),
    ([("x", "a"), ("x", "b"), ("x", "c")], {"x": "a, b, c"}),
    ([("x", "é")], {"x": "é"}),
    ([], {}),
]


@pytest.mark.parametrize(("sent", "read"), REPEATED)
def test_headers_that_are_repeated_are_read_as_one(sent: list[tuple[str, str]], read: dict[str, str]) -> None:
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in sent]
    assert read_headers({"headers": raw}) == read


@pytest.fixture
def hang() -> Iterator[None]:
    """An error after 20 seconds of processor time: what takes one or a hundred is not told apart by counting here."""

    def give_up(number: int, frame: FrameType | None) -> None:
        raise AssertionError("the work grows faster than the headers")

    before = signal.signal(signal.SIGVTALRM, give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, 20)
    yield
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    signal.signal(signal.SIGVTALRM, before)


@pytest.mark.parametrize("names", [[b"a"], [b"a", b"A"], [b"cookie"], [b"a", b"b", b"c"]])
def test_half_a_million_repeated_headers_are_read_in_one_pass(names: list[bytes], hang: None) -> None:
    raw = [(name, b"12345678") for name in names] * (500_000 // len(names))
    read = read_headers({"headers": raw})
    assert sum(map(len, read.values())) == 10 * len(raw) - 2 * len(read)


def test_a_name_is_found_in_lower_case_and_others_are_absent() -> None:
    headers = RequestHeaders([(b"X-Team", b"r\xe9d"), (b"host", b"a")])
    assert (headers["x-team"], headers.get("host"), headers.get("X-Team"), headers.get("no", "")) == (
        "réd",
        "a",
        None,
        "",
    )
    assert "x-team" in headers
    assert "ключ" not in headers
    with pytest.raises(KeyError):
        headers["ключ"]


def test_it_is_equal_to_a_dict_of_the_same_and_shows_no_value() -> None:
    headers = RequestHeaders([(b"authorization", b"Bearer t0ken"), (b"x", b"1"), (b"x", b"2")])
    assert headers == {"authorization": "Bearer t0ken", "x": "1, 2"}
    assert (list(headers), len(headers)) == (["authorization", "x"], 2)
    assert "t0ken" not in f"{headers!r} {headers}"
