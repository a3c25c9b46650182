from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from dataclasses import fields
from types import FrameType

import pytest

import asgi_llmgate.exchange
from asgi_llmgate.errors import Broken
from asgi_llmgate.exchange import WRITERS, Exchange, read_headers
from asgi_llmgate.exchange_values import Attempt, Target
from tests.helpers.exchange_writers import MUTATING, violations

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


def _documented_writers() -> dict[str, set[str]]:
    """Field -> modules, from the table in the docstring of the module. A row may go on in the next line."""
    rows: list[tuple[str, str]] = []
    table = (asgi_llmgate.exchange.__doc__ or "").rpartition("--\n")[2].partition("\n\n")[0]
    for line in table.splitlines():
        names, writers = line[4:49], line[49:]
        if line.startswith("      "):
            rows[-1] = (rows[-1][0] + names, rows[-1][1] + writers)
        else:
            rows.append((names, writers))
    return {
        name: {word for word in re.findall(r"[a-z_.]+", writers) if word in _modules()}
        for names, writers in rows
        for name in re.findall(r"\w+", names)
    }


def _modules() -> set[str]:
    return {module for modules in WRITERS.values() for module in modules}


def test_the_table_of_writers_is_the_one_that_is_checked_and_has_every_field() -> None:
    assert set(WRITERS) == {field.name for field in fields(Exchange)}
    assert _documented_writers() == {field: set(modules) for field, modules in WRITERS.items()}


@pytest.mark.parametrize(
    ("module", "statement", "is_allowed"),
    [
        ("asgi_llmgate.auth.middleware", "exchange.token = None", True),
        ("asgi_llmgate.policy.middleware", "exchange.token = None", False),
        ("asgi_llmgate.upstream.call", "exchange.attempts.append(attempt)", True),
        ("asgi_llmgate.usage.record", "exchange.attempts.append(attempt)", False),
        ("asgi_llmgate.usage.record", "exchange.outcome = 'ok'", False),
        ("llmgate_django.session", "exchange.identity = None", False),
        ("llmgate_starlette", "exchange.attempts.append(attempt)", False),
        ("tests.anything", "exchange.outcome = 'ok'", True),
    ],
)
def test_a_write_by_another_module_than_the_tables_is_noticed(module: str, statement: str, is_allowed: bool) -> None:
    names = {"__name__": module, "exchange": Exchange(), "attempt": Attempt(Target("b", "p", "m"), 0.0)}
    exec(statement, names)
    found, violations[:] = list(violations), []
    assert len(found) == (0 if is_allowed else 1)
    assert all(module in text for text in found)


CHANGES = {
    "append": "exchange.attempts.append(attempt)",
    "clear": "exchange.attempts.clear()",
    "extend": "exchange.attempts.extend([attempt])",
    "insert": "exchange.attempts.insert(0, attempt)",
    "pop": "exchange.attempts.pop()",
    "remove": "exchange.attempts.remove(attempt)",
    "reverse": "exchange.attempts.reverse()",
    "sort": "exchange.attempts.sort(key=id)",
    "__delitem__": "del exchange.attempts[0]",
    "__iadd__": "attempts += [attempt]",
    "__imul__": "attempts *= 2",
    "__setitem__": "exchange.attempts[0] = attempt",
}
"""Each method of a list that changes it -> a statement that calls it."""


def test_every_method_that_changes_a_list_is_among_the_checked_ones() -> None:
    assert set(CHANGES) == set(MUTATING)
    # A tuple has the methods that only read; making a list is no change of one.
    assert set(dir(list)) - set(dir(tuple)) <= set(MUTATING) | {"copy", "__reversed__"}


@pytest.mark.parametrize("statement", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize(("module", "is_allowed"), [("upstream.call", True), ("usage.record", False)])
def test_every_change_of_the_list_of_attempts_is_a_write(module: str, is_allowed: bool, statement: str) -> None:
    exchange, attempt = Exchange(attempts=[]), Attempt(Target("b", "p", "m"), 0.0)
    exchange.attempts.append(attempt)
    before, violations[:] = list(violations), []
    exec(
        statement,
        {
            "__name__": f"asgi_llmgate.{module}",
            "exchange": exchange,
            "attempt": attempt,
            "attempts": exchange.attempts,
        },
    )
    found, violations[:] = list(violations), before
    assert len(found) == (0 if is_allowed else 1)


def test_an_attempt_records_how_long_the_head_took_and_what_went_wrong() -> None:
    with Attempt(Target("b", "p", "m"), 0.0) as good:
        assert good.ended is None
    assert (good.ended or 0) > 0
    with pytest.raises(Broken), Attempt(Target("b", "p", "m"), 0.0) as bad:
        raise Broken("broken off", status=502)
    assert (good.status, good.error, bad.status, bad.error) == (0, "", 502, "Broken")
