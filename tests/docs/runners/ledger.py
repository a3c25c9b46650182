"""Runners for the pages on the ledger and what it shows."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from datetime import UTC, datetime
from typing import Any

import httpx
import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from asgi_llmgate import UsageRecord
from asgi_llmgate.testing.serving import serving
from asgi_llmgate.usage.ledger import Database
from asgi_llmgate.usage.verdicts import VerdictRecord
from tests.docs.lab_folder import Place, Runners

RUNNERS = Runners()


@RUNNERS.runs("lab usage")
async def the_lab_says_what_it_used(text: str, place: Place) -> None:
    assert await place.ask(place.settings(), sub="ada") == 200
    (line,) = place.sh(text).splitlines()[1:]
    assert line.startswith("data-platform  ada   gpt-4o-mini         1 ")


@RUNNERS.runs("ledger settings", "ledger prices")
async def calls_are_in_the_ledger_with_their_cost(text: str, place: Place) -> None:
    given = {"usage": {"ledger": {}}} | yaml.safe_load(text)
    backend = {"base_url": os.environ["OPENAI_BASE_URL"], "api_key": "env:OPENAI_API_KEY"}
    assert await place.ask(place.settings(**given, backends={"vllm": backend, "openai": backend})) == 200
    assert "data-platform" in place.sh("llmgate usage tail") or "fields" not in given["usage"]
    (row,) = json.loads(place.sh("llmgate usage report --format json"))
    assert row["cost_usd"] > 0


@RUNNERS.runs("ledger postgresql")
def a_ledger_in_postgresql(text: str, place: Place) -> None:
    here = text.replace("/var/lib/llmgate", str(place.folder))
    assert here != text
    settings = (place.folder / "llmgate.yaml").read_text().partition("usage:")[0] + here
    (place.folder / "llmgate.yaml").write_text(settings)
    assert "llmgate.yaml: good" in place.sh("llmgate check")


@RUNNERS.runs("ledger report")
async def the_ledger_is_asked(text: str, place: Place) -> None:
    assert await place.ask(place.settings()) == 200
    told = place.sh(text)
    assert told.startswith("team           model        requests")
    assert "data-platform  gpt-4o-mini         1" in told
    assert "200  ok" in told
    assert "0 records older than 30d deleted" in told
    assert (place.folder / "usage.csv").read_text().startswith("day,user,requests,")


@RUNNERS.runs("usage user", "okta names", "entra names")
async def people_have_names(text: str, place: Place) -> None:
    usage = {"ledger": {}} | yaml.safe_load(text)["usage"]
    names = {"email": "ada@acme.test", "preferred_username": "ada@acme.test", "uid": "00u1a2b3c4"}
    assert await place.ask(place.settings(usage=usage), **names | {"sub": "ada@acme.test"}) == 200
    assert await place.ask(place.settings(usage=usage), sub="a-job") == 200
    lines = place.sh("llmgate usage report --by user").splitlines()[1:]
    assert sorted(line.split()[0] for line in lines) == ["a-job", "ada@acme.test"]


@RUNNERS.runs("ledger sql")
async def the_ledger_is_asked_in_sql(text: str, place: Place) -> None:
    assert await place.ask(place.settings()) == 200
    with contextlib.closing(sqlite3.connect(place.folder / ".llmgate" / "usage.db")) as ledger:
        ((_, calls, written, dollars),) = ledger.execute(text)
    assert calls == 1
    assert written > 0
    assert 0 < dollars < 0.01


@RUNNERS.runs("ledger verdicts", "ledger webhook")
async def verdicts_are_kept(text: str, place: Place) -> None:
    os.environ["LLMGATE_SECRET"] = "s" * 32
    assert await place.ask(place.settings(**yaml.safe_load(text))) == 200
    assert "llmgate.yaml: good" in place.sh("llmgate check")
    assert "no flagged calls in the last 7d" in place.sh("llmgate usage flags")
    if "notify" in text:
        assert place.sh("llmgate usage webhook").startswith("whsec_")


@RUNNERS.runs("ledger flags")
async def flagged_calls_are_listed(text: str, place: Place) -> None:
    flag = VerdictRecord(
        tool="Bash", tool_use_id="toolu_1", outcome="flag", decided_by="rule", rule="no-prod", duration_ms=0.1
    )
    when = datetime.now(UTC).isoformat()
    facts: dict[str, Any] = {"method": "POST", "path": "/", "duration_ms": 1.0, "time": when}
    with contextlib.closing(Database(f"sqlite:///{place.folder}/.llmgate/usage.db")) as database:
        database.insert([UsageRecord(request_id="req_1", subject="ada", safeguards=(flag,), **facts)])
    assert "ada   Bash  flag     no-prod" in place.sh(text)
    if "csv" in text:
        assert "no-prod" in (place.folder / "flags.csv").read_text()


@RUNNERS.runs("ledger rules sql")
async def rules_are_counted_in_sql(text: str, place: Place) -> None:
    await flagged_calls_are_listed("llmgate usage flags", place)
    with contextlib.closing(sqlite3.connect(place.folder / ".llmgate" / "usage.db")) as ledger:
        assert ledger.execute(text).fetchall() == [("no-prod", "flag", 1)]


@RUNNERS.runs("ledger page")
async def the_page_behind_a_login(text: str, place: Place) -> None:
    assert await place.ask(place.settings()) == 200
    host = "Starlette(routes=[Route('/login', login)])"
    names: dict[str, Any] = {"Route": Route, "login": log_in}
    exec(text.replace("Starlette()", host), names)
    base = place.stack.enter_context(serving(names["app"]))
    with httpx.Client(base_url=base, trust_env=False) as browser:
        assert browser.get("/llm-usage/").headers["location"] == "/login?next=%2Fllm-usage%2F"
        for team, calls in (("data-platform", 1), ("search", 0)):
            browser.get("/login", params={"role": "lead", "team": team})
            assert f"<dt>Requests</dt><dd>{calls}</dd>" in browser.get("/llm-usage/").text


async def log_in(request: Request) -> PlainTextResponse:
    request.session["user"] = dict(request.query_params)
    return PlainTextResponse("hello")


@RUNNERS.runs("ledger link")
def the_page_behind_a_link(text: str, place: Place) -> None:
    printed: list[str] = []
    names: dict[str, Any] = {"app": Starlette(), "print": printed.append}
    exec(text, names)
    base = place.stack.enter_context(serving(names["app"]))
    with httpx.Client(trust_env=False, follow_redirects=True) as browser:
        page = browser.get(printed[0].replace("http://127.0.0.1:8080", base))
        assert "<h1>LLM usage</h1>" in page.text
