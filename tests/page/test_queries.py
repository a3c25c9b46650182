"""The numbers are those of the records, whatever path they take."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from asgi_llmgate.page import queries as module
from asgi_llmgate.page.filters import SPANS, Query
from asgi_llmgate.page.queries import LedgerQueries, Overview
from asgi_llmgate.page.sums import Times
from asgi_llmgate.usage.ledger import Database, parse_url
from asgi_llmgate.usage.ledger.rows import time_ms
from benchmarks.ledger import calls
from tests.helpers.postgresql import postgresql_server
from tests.usage.ledger.records import record

NOW = 1_795_665_123.0
RECORDS = list(calls(1500, NOW, days=40))


def everything(series) -> bool:
    return True


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    if request.param == "sqlite":
        made = Database(parse_url("sqlite:///ledger.db", tmp_path_factory.mktemp("numbers")))
        made.insert(random.Random(1).sample(RECORDS, len(RECORDS)))
        yield made
        made.close()
        return
    with postgresql_server() as server:
        made = Database(server.url)
        made.insert(RECORDS)
        yield made
        made.close()


def look(database: Database, visible=everything, **options) -> Overview:
    return LedgerQueries(database).overview(Query(**options), visible, NOW)


def within(span: str) -> list:
    start = SPANS[span].start(NOW)
    return [each for each in RECORDS if time_ms(each.time) / 1000 >= start]


@pytest.mark.parametrize("span", ["24h", "7d", "30d", "90d", "1y"])
def test_sums_are_those_of_the_records(database: Database, span: str) -> None:
    seen, here = look(database, span=span), within(span)
    assert seen.total.requests == len(here) > 0
    assert seen.total.refused == sum(each.outcome == "refused" for each in here)
    assert seen.total.failed == sum(each.outcome == "upstream_error" for each in here)
    assert seen.total.input == sum(each.input_tokens or 0 for each in here)
    assert seen.total.cached == sum(each.cache_read_tokens for each in here)
    assert seen.total.output == sum(each.output_tokens or 0 for each in here)
    assert seen.total.cost == pytest.approx(sum(each.cost_usd or 0 for each in here), abs=1e-6)
    assert seen.total.unpriced == sum(each.cost_usd is None and bool(each.input_tokens) for each in here)
    assert sum(bar.requests for bar in seen.bars) == len(here)
    assert sum(bar.cost or 0 for bar in seen.bars) == pytest.approx(seen.total.cost)


def test_groups_and_reasons(database: Database) -> None:
    seen, here = look(database, span="90d"), within("90d")
    teams = dict(seen.groups["team"])
    assert teams["search"].requests == sum(each.fields.get("team") == "search" for each in here)
    assert list(seen.groups)[-2:] == ["user", "model"]
    assert dict(seen.reasons)["JwtAuth"] == sum(each.reason == "JwtAuth" for each in here)
    requests = [sums.requests for _, sums in seen.groups["user"]]
    assert requests == sorted(requests, reverse=True)


def test_tools_are_those_of_the_responses(database: Database) -> None:
    for options, here in (
        ({"span": "90d"}, within("90d")),
        ({"span": "24h"}, within("24h")),
        (
            {"span": "90d", "filters": {"team": "search"}},
            [r for r in within("90d") if r.fields.get("team") == "search"],
        ),
    ):
        seen = look(database, **options)
        assert seen.total.calling == sum(bool(each.tools) for each in here) > 0
        assert {tool for tool, _ in seen.tools} == {tool for each in here for tool in each.tools}
        assert [sums.requests for _, sums in seen.tools] == sorted((s.requests for _, s in seen.tools), reverse=True)
        for tool, sums in seen.tools:
            of_it = [each for each in here if tool in each.tools]
            assert sums.requests == len(of_it)
            assert sums.tokens == sum((each.input_tokens or 0) + (each.output_tokens or 0) for each in of_it)
            assert (sums.cost or 0) == pytest.approx(sum(each.cost_usd or 0 for each in of_it), abs=1e-6)
    assert look(database, lambda series: False, span="90d").tools == []


def test_a_filter_is_what_only_some_records_have(database: Database) -> None:
    seen = look(database, span="90d", filters={"team": "search", "model": "gpt-4o"})
    here = [each for each in within("90d") if each.fields.get("team") == "search" and each.request_model == "gpt-4o"]
    assert seen.total.requests == len(here) == sum(bar.requests for bar in seen.bars)
    assert {call["request_id"] for call in seen.calls} <= {each.request_id for each in here}
    assert "payments" in seen.choices["team"]


def test_what_the_ledger_knows_nothing_of_filters_nothing(database: Database) -> None:
    seen = look(database, span="90d", filters={"utm_source": "mail", "team": "search"})
    assert seen.query.filters == {"team": "search"}


def test_who_may_see_less_is_shown_less_everywhere(database: Database) -> None:
    seen = look(database, lambda series: series.get("team") == "search", span="90d")
    assert set(seen.choices["team"]) == {"search"}
    assert [name for name, _ in seen.groups["team"]] == ["search"]
    assert all(call["fields"]["team"] == "search" for call in seen.calls)
    assert seen.total.requests == sum(each.fields.get("team") == "search" for each in within("90d"))
    nothing = look(database, lambda series: False, span="90d")
    assert (nothing.total.requests, nothing.calls, nothing.duration) == (0, [], Times())


def test_times_are_those_of_successful_calls(database: Database) -> None:
    durations = sorted(each.duration_ms for each in within("90d") if each.outcome == "ok")
    seen = look(database, span="90d")
    assert not seen.sampled
    assert seen.duration.median == pytest.approx(durations[len(durations) // 2], rel=0.02)
    assert seen.duration.percentile_95 == pytest.approx(durations[int(len(durations) * 0.95)], rel=0.02)


def test_a_sample_is_close_to_all(database: Database, monkeypatch) -> None:
    whole = look(database, span="90d")
    monkeypatch.setattr(module, "SAMPLE", 500)
    seen = look(database, span="90d")
    assert seen.sampled
    assert seen.first_token.median == pytest.approx(whole.first_token.median, rel=0.1)


def test_the_latest_calls_and_the_ones_before_them_are_all_calls(database: Database) -> None:
    found, before = [], 0
    while True:
        seen = look(database, span="90d", filters={"team": "payments"}, before=before)
        found += [call["request_id"] for call in seen.calls]
        before = seen.older
        if not before:
            break
    wanted = {each.request_id for each in within("90d") if each.fields.get("team") == "payments"}
    assert len(found) == len(set(found))
    assert set(found) == wanted
    listed = [
        row["request_id"] for rows in LedgerQueries(database).calls(Query("90d"), everything, NOW) for row in rows
    ]
    assert len(listed) == len(set(listed)) == len(within("90d"))


def test_a_database_in_the_place_of_another_is_noticed(tmp_path: Path) -> None:
    url = parse_url("sqlite:///ledger.db", tmp_path)
    database = Database(url)
    numbers, now = LedgerQueries(database), time.time()
    database.insert([record("1", subject="alice"), record("2", subject="bob")])
    numbers.overview(Query(), everything, now)
    database.close()
    for file in tmp_path.iterdir():
        file.unlink()
    other = Database(url)
    other.insert([record("3", subject="carol", time="2100-01-01T00:00:00.000Z")])
    assert [name for name, _ in numbers.overview(Query(), everything, now).groups["user"]] == ["carol"]
    other.close()
    database.close()
