"""Names that callers invent do not make the ledger slow to read."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asgi_llmgate.page.filters import Query
from asgi_llmgate.page.queries import LedgerQueries
from asgi_llmgate.usage.ledger import Database, parse_url, rows
from asgi_llmgate.usage.measurements import OTHER
from tests.usage.ledger.records import NOON, Stored, record

DAY = 86400


@pytest.mark.parametrize("dimension", rows.UNBOUNDED)
@pytest.mark.parametrize("facts", [{}, {"outcome": "refused", "reason": "NotFound"}], ids=["answered", "refused"])
def test_invented_names_share_a_series_once_there_are_many(
    url: sa.URL, stored: Stored, monkeypatch: pytest.MonkeyPatch, dimension: str, facts: dict[str, str]
) -> None:
    monkeypatch.setattr(rows, "MAX_NAMES", 50)
    database = Database(url)
    for batch in range(4):
        database.insert([record(f"{batch}-{n}", **{dimension: f"invented-{batch}-{n}"}, **facts) for n in range(100)])
    database.insert([record("known", **{dimension: "invented-0-1"}, **facts)])
    database.close()
    assert stored(f"SELECT count(*) FROM usage_series WHERE {dimension} != '{OTHER}'") == [(50,)]
    assert stored(f"SELECT count(*) FROM usage_series WHERE {dimension} = '{OTHER}'") == [(1,)]
    assert (len(stored.ids()), stored.counted()) == (401, 401)
    names = stored(f"SELECT count(DISTINCT {dimension}) FROM usage_record")
    assert names == [(400,)]  # a record keeps its own
    shared = "SELECT s.id FROM usage_series s JOIN usage_record r ON r.series_id = s.id WHERE r.request_id IN {}"
    assert len(set(stored(shared.format("('known', '0-1')")))) == 1


def test_invented_names_of_tools_are_bounded_by_the_day(
    url: sa.URL, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "MAX_NAMES", 30)
    database = Database(url)
    for day in (25, 26):
        for batch in range(3):
            facts = [(f"{day}-{batch}-{n}", (f"tool-{batch}-{n}", "Read", f"more-{n}")) for n in range(20)]
            database.insert([record(name, time=f"2026-11-{day}T12:00:00Z", tools=tools) for name, tools in facts])
    database.close()
    told = stored("SELECT start, count(DISTINCT tool) FROM usage_tools WHERE grain = 60 GROUP BY start")
    assert [count for _, count in told] == [31, 31]
    assert stored.tools()["Read"] == 120
    assert stored.tools()[OTHER] <= 120  # a call of two of them is one call
    assert stored("SELECT sum(calling) FROM usage_rollup WHERE grain = 60") == [(120,)]


def test_there_is_room_again_when_old_names_are_pruned(
    url: sa.URL, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "MAX_NAMES", 3)
    database = Database(url)
    database.insert([record(f"old-{n}", client_model=f"old-{n}") for n in range(9)])
    database.prune(int(NOON) + 2 * DAY)
    database.insert([record("new", client_model="new")])
    assert stored("SELECT client_model FROM usage_series") == [("new",)]
    database.close()


NAMES = st.sampled_from(["", "a", "b", "c", "d", "e", "f", OTHER])


@settings(deadline=None, max_examples=20, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(st.tuples(NAMES, NAMES, st.sampled_from("xy")), min_size=1, max_size=6), max_size=6))
def test_whatever_names_come_sums_are_whole_and_series_few(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[tuple[str, str, str]]]
) -> None:
    folder: Path = tmp_path_factory.mktemp("ledger")
    database, count = Database(parse_url("sqlite:///ledger.db", folder)), 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "MAX_NAMES", 2)
        for batch in batches:
            made = []
            for asked, sent, who in batch:
                made.append(record(f"r{count}", client_model=asked, request_model=sent, subject=who))
                count += 1
            database.insert(made)
    seen = LedgerQueries(database).overview(Query("1y"), lambda series: True, NOON + 60)
    assert seen.total.requests == sum(bar.requests for bar in seen.bars) == count
    with database.reading() as connection:
        for name in rows.UNBOUNDED:
            distinct = connection.scalars(sa.text(f"SELECT DISTINCT {name} FROM usage_series")).all()
            assert len(set(distinct) - {"", OTHER}) <= 2
        assert len(connection.execute(sa.text("SELECT id FROM usage_series")).all()) <= 4 * 4 * 2
    database.close()
