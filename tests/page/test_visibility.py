"""A viewer who may see one team's calls never sees another's, whatever happened to the database in the meantime."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from asgi_llmgate.page.filters import Query
from asgi_llmgate.page.queries import LedgerQueries
from asgi_llmgate.usage.ledger import Database, parse_url
from tests.helpers.postgresql import postgresql_server
from tests.usage.ledger.records import NOON, record

DAY = 86400
MIDNIGHT = int(NOON) // DAY * DAY
NOW = MIDNIGHT + DAY - 1
TEAMS = ("red", "blue", "green")

Make = Callable[[], Database]


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
def make(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Make]:
    """Makes an empty ledger."""
    if request.param == "sqlite":
        yield lambda: Database(parse_url("sqlite:///ledger.db", tmp_path_factory.mktemp("ledger")))
        return
    with postgresql_server() as server:

        def emptied() -> Database:
            database = Database(server.url)
            database.prune(MIDNIGHT + 10 * DAY)
            return database

        yield emptied


def days(number: int) -> str:
    return f"2026-11-{26 - number:02}T12:00:00.000Z"


INSERT = st.lists(
    st.tuples(st.sampled_from(TEAMS), st.integers(0, 4), st.sampled_from(["alice", "bob"]), st.sampled_from(["m", ""])),
    min_size=1,
    max_size=4,
).map(lambda calls: ("insert", calls))
PRUNE = st.integers(0, 5).map(lambda day: ("prune", day))
VIEW = st.sampled_from(TEAMS).map(lambda team: ("view", team))
REPLACE = st.just(("replace", None))
STEPS = st.lists(st.one_of(INSERT, PRUNE, VIEW, VIEW, REPLACE), min_size=2, max_size=10)


@settings(deadline=None, max_examples=15, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
@example(
    steps=[("insert", [("red", 2, "alice", "m")]), ("view", "red"), ("prune", 1), ("insert", [("blue", 0, "bob", "m")])]
)
def test_a_viewer_sees_only_the_numbers_of_visible_calls(make: Make, steps: list[tuple[str, Any]]) -> None:
    """One page for the whole run, over inserts, prunes, and another database in the place of the first."""
    numbers = LedgerQueries(make())
    held: dict[str, tuple[str, int, str]] = {}
    names = count()
    try:
        for step, what in [*steps, *(("view", team) for team in TEAMS)]:
            database = numbers._database
            match step:
                case "insert":
                    calls = {f"r{next(names)}": call for call in what}
                    database.insert(
                        [
                            record(
                                name, time=days(day), subject=f"{who}-{team}", fields={"team": team}, request_model=m
                            )
                            for name, (team, day, who, m) in calls.items()
                        ]
                    )
                    held |= {name: (team, day, who) for name, (team, day, who, _) in calls.items()}
                case "prune":
                    database.prune(MIDNIGHT - what * DAY)
                    held = {name: call for name, call in held.items() if call[1] <= what}
                case "replace":
                    database.close()
                    numbers._database = make()
                    held = {}
                case "view":
                    assert_sees_only(numbers, what, held)
    finally:
        numbers._database.close()


def assert_sees_only(numbers: LedgerQueries, team: str, held: dict[str, tuple[str, int, str]]) -> None:
    his = {name for name, call in held.items() if call[0] == team}

    def visible(series: Any) -> bool:
        return series.get("team") == team

    seen = numbers.overview(Query("1y"), visible, NOW)
    assert seen.total.requests == sum(bar.requests for bar in seen.bars) == len(his)
    assert {call["request_id"] for call in seen.calls} == his
    assert [name for name, _ in seen.groups.get("team", [])] == ([team] if his else [])
    assert {who for who, _ in seen.groups.get("user", [])} == {
        f"{call[2]}-{team}" for call in held.values() if call[0] == team
    }
    assert set(seen.choices.get("team", [])) <= {team}
    listed = {row["request_id"] for rows in numbers.calls(Query("1y"), visible, NOW) for row in rows}
    assert listed == his


def test_calls_written_while_the_page_is_read_are_not_shown(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """He may see all that there is when the page begins to read, so nothing is filtered; another team calls then."""
    numbers = LedgerQueries(make())
    database = numbers._database
    database.insert([record("mine", fields={"team": "red"})])
    series = numbers._series.read

    def then_another_calls(connection: Any) -> Any:
        found = series(connection)
        database.insert([record("theirs", fields={"team": "blue"})])
        return found

    monkeypatch.setattr(numbers._series, "read", then_another_calls)
    seen = numbers.overview(Query("1y"), lambda series: series["team"] == "red", NOW)
    assert [call["request_id"] for call in seen.calls] == ["mine"]
    assert seen.total.requests == sum(bar.requests for bar in seen.bars) == 1
    database.close()


def test_a_series_is_read_once_while_it_stays(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from asgi_llmgate.page import series as module

    read: list[str] = []
    make_series = module.make_series
    monkeypatch.setattr(module, "make_series", lambda row: [read.append(row.subject), make_series(row)][1])
    numbers = LedgerQueries(make())
    database = numbers._database
    database.insert([record(name, subject=name) for name in ("a", "b")])
    for _ in range(3):
        numbers.overview(Query("1y"), lambda series: True, NOW)
    assert sorted(read) == ["a", "b"]
    database.insert([record("c", subject="c")])
    numbers.overview(Query("1y"), lambda series: True, NOW)
    assert sorted(read) == ["a", "b", "c"]
    database.prune(MIDNIGHT + 2 * DAY)
    numbers.overview(Query("1y"), lambda series: True, NOW)
    assert numbers._series._by_key == {}
    database.close()
