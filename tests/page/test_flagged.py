"""Flagged actions on the page and in its CSV file: who sees which, and what stands there."""

from __future__ import annotations

import csv
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest

from asgi_llmgate.page import UsagePage
from asgi_llmgate.page.flagged import SHOWN
from asgi_llmgate.testing.driver import call
from asgi_llmgate.usage.ledger import Database
from asgi_llmgate.usage.verdicts import VerdictRecord
from tests.page.conftest import HOUR, ago
from tests.usage.ledger.records import record


def verdict(**changes: Any) -> VerdictRecord:
    facts = {
        "tool": "Bash",
        "tool_use_id": "toolu_1",
        "outcome": "flag",
        "decided_by": "rule",
        "rule": "no-prod",
        "explanation": "production is changed by the pipeline",
        "duration_ms": 0.3,
    }
    return VerdictRecord(**(facts | changes))


JUDGED = [
    record("f3", time=ago(170 * HOUR), fields={"groups": ["a", "b"]}, safeguards=(verdict(rule="long-ago"),)),
    record("f1", time=ago(2 * HOUR), safeguards=(verdict(), verdict(outcome="pass", tool="Read"))),
    record(
        "f2",
        time=ago(60),
        subject="bob",
        fields={"team": "search"},
        safeguards=(verdict(tool="<script>", rule="", model="vllm/judge", decided_by="classifier"),),
    ),
]


class Panel(HTMLParser):
    """The texts of the cells of the panel, row by row."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._cell = False
        start = html.find('id="flagged"')
        self.is_there = start > 0
        self.html = html[start : html.find("</section>", start)] if self.is_there else ""
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self._cell = True

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._cell:
            self.rows[-1][-1] += data


async def panel(page: UsagePage, query: str = "range=24h") -> Panel:
    reply = await call(page, "GET", "/", query=query)
    assert reply.status == 200
    return Panel(reply.body.decode())


async def test_who_what_why_and_when(database: Database, page: Callable[..., UsagePage]) -> None:
    database.insert(JUDGED)
    found = await panel(page())
    header, newest, older = found.rows
    assert header == ["time (UTC)", "user", "team", "tool", "decided by", "explanation"]
    assert newest[1:] == ["bob", "search", "<script>", "vllm/judge", "production is changed by the pipeline"]
    assert older[1:] == ["alice", "data-platform", "Bash", "no-prod", "production is changed by the pipeline"]
    assert "<script>" not in found.html
    assert [row[4] for row in (await panel(page(), "range=30d")).rows[1:]] == ["vllm/judge", "no-prod", "long-ago"]


async def test_the_filters_of_the_page_and_the_rule_about_viewers_apply(
    database: Database, page: Callable[..., UsagePage]
) -> None:
    database.insert(JUDGED)
    assert [row[1] for row in (await panel(page(), "range=24h&team=search")).rows[1:]] == ["bob"]
    only = page(see='record.team == "data-platform"')
    assert [row[1] for row in (await panel(only)).rows[1:]] == ["alice"]
    reply = await call(only, "GET", "/flags.csv", query="range=24h")
    assert [row["user"] for row in csv.DictReader(reply.body.decode().splitlines())] == ["alice"]


async def test_a_call_whose_series_is_gone_is_nobodys_to_see(
    database: Database, page: Callable[..., UsagePage]
) -> None:
    database.insert(JUDGED)
    with database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM usage_series WHERE subject = 'bob'")
    assert [row[1] for row in (await panel(page())).rows[1:]] == ["alice"]


async def test_the_input_is_shown_where_it_is_kept(database: Database, page: Callable[..., UsagePage]) -> None:
    database.insert([record("f1", time=ago(60), safeguards=(verdict(input='{"command": "rm -rf /"}'),))])
    header, row = (await panel(page())).rows
    assert header[-1] == "explanation and input"
    assert row[-1] == 'production is changed by the pipeline{"command": "rm -rf /"}'


async def test_there_is_no_panel_without_safeguards_and_an_empty_one_without_flags(
    database: Database, page: Callable[..., UsagePage]
) -> None:
    assert not (await panel(page())).is_there
    database.insert([record("p", time=ago(60), safeguards=(verdict(outcome="pass"),))])
    assert "No action was flagged in the last 24 hours." in (await panel(page())).html
    assert "with these filters" in (await panel(page(), "range=24h&team=search")).html


async def test_many_are_counted_and_all_are_in_the_file(
    database: Database, page: Callable[..., UsagePage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asgi_llmgate.page.queries._CHUNK", 7)
    calls = [record(f"n{number}", time=ago(60 + number), safeguards=(verdict(),)) for number in range(SHOWN)]
    database.insert(calls)
    assert "newest" not in (await panel(page())).html
    database.insert(JUDGED)
    found = await panel(page())
    assert len(found.rows) == SHOWN + 1
    assert f"The newest {SHOWN} of {SHOWN + 2}; the CSV file has all." in found.html
    reply = await call(page(), "GET", "/flags.csv", query="range=30d")
    assert reply.headers["content-disposition"] == 'attachment; filename="flagged-actions-30d.csv"'
    rows = list(csv.DictReader(reply.body.decode().splitlines()))
    assert len(rows) == SHOWN + 3
    assert len({row["request_id"] for row in rows}) == SHOWN + 3
    assert {row["groups"] for row in rows} == {"", "a, b"}


async def test_an_empty_file_has_a_header(page: Callable[..., UsagePage]) -> None:
    reply = await call(page(), "GET", "/flags.csv")
    assert reply.body.decode().startswith("time,user,tool,outcome,decided_by,rule,")
    assert reply.body.decode().count("\n") == 1
