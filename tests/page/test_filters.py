from __future__ import annotations

import pytest

from asgi_llmgate.page.filters import SPANS, Query


@pytest.mark.parametrize(
    ("text", "query"),
    [
        (b"", Query()),
        (b"range=7d&team=search&user=a%20b", Query("7d", {"team": "search", "user": "a b"})),
        (b"range=forever&before=x&key=abc", Query()),
        (b"before=12", Query(before=12)),
        (b"before=99999999999999999999", Query()),
        (b"team=", Query()),
        (b"&".join(b"a%d=1" % number for number in range(100)), Query()),
        (b"team=" + b"x" * 999, Query(filters={"team": "x" * 256})),
        (b"\xff=%ff", Query(filters={"\xff": "\ufffd"})),
    ],
)
def test_whatever_a_browser_sends_is_a_query(text: bytes, query: Query) -> None:
    assert Query.parse(text) == query


def test_links_keep_what_was_chosen() -> None:
    query = Query("7d", {"team": "search"}, before=9)
    assert query.link() == "?range=7d&team=search"
    assert query.link(span="1h", filters={"user": "a&b"}) == "?range=1h&team=search&user=a%26b"
    assert Query.parse(query.link(before=3)[1:].encode()) == Query("7d", {"team": "search"}, before=3)


@pytest.mark.parametrize("span", SPANS.values(), ids=SPANS)
def test_the_last_bar_holds_now_and_bars_are_whole_rows_of_the_rollup(span) -> None:
    now = 1_795_665_123.4
    start = span.start(now)
    assert start + span.count * span.width > now >= start + (span.count - 1) * span.width
    assert start % span.grain == span.width % span.grain == 0


@pytest.mark.parametrize("piece", [b"%", b"%41", b"+", b"a", b"%f0%9f", b"k=v&"])
def test_of_a_long_query_only_the_beginning_is_read(piece: bytes) -> None:
    long = Query.parse(b"range=7d&key=" + piece * 60_000)
    assert long == Query.parse((b"range=7d&key=" + piece * 60_000)[: 16 * 1024])
    assert all(len(value) <= 256 for value in long.filters.values())
