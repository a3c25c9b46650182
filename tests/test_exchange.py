from __future__ import annotations

import re
from dataclasses import fields

import pytest

import asgi_llmgate.exchange
from asgi_llmgate.errors import Broken
from asgi_llmgate.exchange import WRITERS, Exchange
from asgi_llmgate.exchange_values import Attempt, Target
from tests.helpers.exchange_writers import MUTATING, violations


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
