"""Sums of records, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from asgi_llmgate.errors import SettingsError
from asgi_llmgate.usage.ledger import Database, parse_url
from asgi_llmgate.usage.ledger.report import ReportLine, latest, safe_cell, summarise
from tests.helpers.postgresql import postgresql_server
from tests.helpers.spreadsheet_formulas import FORMULAS, PLAIN
from tests.usage.ledger.records import NOON, record

RECORDS = [
    record("1"),
    record("2", subject="bob", cost_usd=None),
    record("3", fields={"team": "marketing"}, outcome="refused", input_tokens=None, output_tokens=None, cost_usd=None),
    record(
        "4",
        time="2026-11-25T09:00:00.000Z",
        request_model="gpt-4o",
        cost_usd=0.5,
        cache_read_tokens=60,
        tools=("Bash", "Read"),
    ),
    record("5", time="2026-10-01T00:00:00.000Z"),
    record("6", fields={}, tools=("Read",)),
]


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    if request.param == "sqlite":
        database = Database(parse_url("sqlite:///ledger.db", tmp_path_factory.mktemp("report")))
        assert database.insert(RECORDS) == 6
        yield database
        database.close()
        return
    with postgresql_server() as server:
        database = Database(server.url)
        assert database.insert(RECORDS) == 6
        yield database
        database.close()


def sums(database: Database, *by: str) -> list[ReportLine]:
    with database.reading() as connection:
        return summarise(connection, by, since=NOON - 7 * 86400, until=NOON + 1, fields=["team"])


def test_by_team_and_model_the_dearest_first(database: Database) -> None:
    lines = sums(database, "team", "model")
    assert lines == [
        ReportLine(("data-platform", "gpt-4o"), 1, 0, 100, 20, 60, 0.5, 0),
        ReportLine(("data-platform", "gpt-4o-mini"), 2, 0, 200, 40, 0, 0.000_027, 1),
        ReportLine(("", "gpt-4o-mini"), 1, 0, 100, 20, 0, 0.000_027, 0),
        ReportLine(("marketing", "gpt-4o-mini"), 1, 1, 0, 0, 0, None, 0),
    ]


def test_by_day_the_oldest_first(database: Database) -> None:
    assert [(line.group, line.requests) for line in sums(database, "day", "user")] == [
        (("2026-11-25", "alice"), 1),
        (("2026-11-26", "alice"), 3),
        (("2026-11-26", "bob"), 1),
    ]


def test_a_records_own_names_are_understood(database: Database) -> None:
    assert [line.group for line in sums(database, "gen_ai.request.model")] == [("gpt-4o",), ("gpt-4o-mini",)]


def test_by_tool_a_call_of_two_counts_for_each(database: Database) -> None:
    assert sums(database, "tool") == [
        ReportLine(("Read",), 2, 0, 200, 40, 60, 0.500_027, 0),
        ReportLine(("Bash",), 1, 0, 100, 20, 60, 0.5, 0),
        ReportLine(("",), 3, 1, 200, 40, 0, 0.000_027, 1),
    ]
    assert [line.group for line in sums(database, "tool", "team") if line.group[0] == "Read"] == [
        ("Read", "data-platform"),
        ("Read", ""),
    ]


def test_all_in_one_line(database: Database) -> None:
    assert [line.requests for line in sums(database)] == [5]


@pytest.mark.parametrize(("word", "hint"), [("modle", "did you mean model?"), ("taem", "did you mean team?")])
def test_an_unknown_group_is_an_error_with_a_hint(database: Database, word: str, hint: str) -> None:
    with pytest.raises(SettingsError, match=f"cannot group by '{word}'.*{hint[:12]}"):
        sums(database, word)


def test_the_latest_come_oldest_first(database: Database) -> None:
    with database.reading() as connection:
        assert [row["request_id"] for row in latest(connection, 2)] == ["5", "6"]
        last = max(row["id"] for row in latest(connection, 2))
        assert list(latest(connection, 2, after=last)) == []


def test_pruning_takes_the_sums_along(tmp_path: Path) -> None:
    database = Database(parse_url("sqlite:///ledger.db", tmp_path))
    database.insert(RECORDS)
    assert database.prune(int(NOON - 86400 * 30)) == 1
    with database.reading() as connection:
        assert summarise(connection, [], since=0, until=NOON * 2, fields=[])[0].requests == 5
    database.close()


@pytest.mark.parametrize(("value", "cell"), [*FORMULAS, *((text, text) for text in PLAIN), (-1, -1), (None, None)])
def test_a_spreadsheet_gets_no_formula(value: object, cell: object) -> None:
    assert safe_cell(value) == cell
    assert safe_cell(cell) == cell
