"""`llmgate usage`, over a ledger that a gateway could have written."""

from __future__ import annotations

import csv
import hmac
import json
import os
import subprocess
import sys
from base64 import b64decode, b64encode
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from asgi_llmgate.asgi.responses import respond
from asgi_llmgate.cli import main
from asgi_llmgate.testing.serving import serving
from asgi_llmgate.usage.ledger import Database, Ledger, parse_url
from asgi_llmgate.usage.ledger.schema import usage_series
from asgi_llmgate.usage.verdicts import VerdictRecord
from tests.usage.ledger.records import record

SETTINGS = """
auth: {mode: "off"}
backends: {o: {base_url: http://127.0.0.1:1/v1}}
models: [{match: "*", use: o}]
usage: {fields: {team: jwt.team}, ledger: {keep: 30d}}
"""


def ago(**span: float) -> str:
    return (datetime.now(UTC) - timedelta(**span)).isoformat(timespec="milliseconds")[:-6] + "Z"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "llmgate.yaml").write_text(SETTINGS)
    ledger = Ledger(parse_url("sqlite:///llmgate.db", tmp_path), journal=tmp_path / "llmgate-journal")
    ledger.database.insert(
        [
            record("old", time=ago(days=60)),
            record("a", time=ago(days=2), fields={"team": "data-platform"}, cost_usd=1.5),
            record("b", time=ago(hours=2), fields={"team": "=cmd()"}, subject="bob\x1b[31m", cost_usd=None),
        ]
    )
    ledger.database.close()
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["usage", *arguments])


def test_a_table(folder: Path) -> None:
    done = run("report", "--by", "team,model", "--since", "7d")
    assert done.exit_code == 0, done.output
    assert [line.split() for line in done.output.splitlines()] == [
        [
            "team",
            "model",
            "requests",
            "failed",
            "input_tokens",
            "output_tokens",
            "cached_tokens",
            "cost_usd",
            "unpriced",
        ],
        ["data-platform", "gpt-4o-mini", "1", "0", "100", "20", "0", "1.5000", "0"],
        ["=cmd()", "gpt-4o-mini", "1", "0", "100", "20", "0", "-", "1"],
    ]


def test_json_and_csv(folder: Path) -> None:
    rows = json.loads(run("report", "--by", "team", "--format", "json").output)
    assert [(row["team"], row["requests"], row["cost_usd"]) for row in rows] == [
        ("data-platform", 1, 1.5),
        ("=cmd()", 1, None),
    ]
    cells = list(csv.DictReader(run("report", "--by", "team", "--format", "csv").output.splitlines()))
    assert [(row["team"], row["cost_usd"]) for row in cells] == [("data-platform", "1.5"), ("'=cmd()", "")]


def test_since_is_how_far_back(folder: Path) -> None:
    assert [row["requests"] for row in json.loads(run("report", "--since", "1d", "--format", "json").output)] == [1]
    assert [row["requests"] for row in json.loads(run("report", "--since", "90d", "--format", "json").output)] == [3]
    assert run("report", "--since", "1s").output == "no records in the last 1s\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["report", "--by", "taem"], "--by: cannot group by 'taem' (did you mean team?)"),
        (["report", "--since", "soon"], "--since: not a duration: 'soon'"),
        *(
            ([command, option, "99999999999999999999w"], f"{option}: longer than 36500 days")
            for command, option in (("report", "--since"), ("prune", "--keep"))
        ),
        (["report", "--config", "other.yaml"], "other.yaml cannot be read"),
    ],
)
def test_a_mistake_is_told(folder: Path, arguments: list[str], says: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 1
    assert says in done.output


def test_settings_without_a_ledger(folder: Path) -> None:
    (folder / "llmgate.yaml").write_text(SETTINGS.replace(", ledger: {keep: 30d}", ""))
    assert "usage.ledger: the settings have no ledger" in run("tail").output


def test_the_latest_records_without_what_a_terminal_would_obey(folder: Path) -> None:
    lines = run("tail", "-n", "2").output.splitlines()
    assert "200  ok  alice  team=data-platform  gpt-4o-mini  100 in 20 out  $1.5000  1200ms" in lines[0]
    assert "bob?[31m" in lines[1]
    assert "\x1b" not in lines[1]
    assert [json.loads(line)["request_id"] for line in run("tail", "--format", "json").output.splitlines()] == [
        "old",
        "a",
        "b",
    ]


def test_following_shows_what_comes(folder: Path) -> None:
    command = [Path(sys.executable).with_name("llmgate"), "usage", "tail", "-f", "-n", "1", "--format", "json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    ) as tail:
        assert tail.stdout is not None
        assert json.loads(tail.stdout.readline())["request_id"] == "b"
        database = Ledger(parse_url("sqlite:///llmgate.db", folder), journal=folder).database
        database.insert([record("c", time=ago())])
        database.close()
        assert json.loads(tail.stdout.readline())["request_id"] == "c"
        tail.terminate()


def test_prune(folder: Path) -> None:
    assert run("prune").output == "1 record older than 30d deleted\n"
    assert run("prune", "--keep", "1d").output == "1 record older than 1d deleted\n"
    assert run("prune").output == "0 records older than 30d deleted\n"


def test_what_ended_processes_have_left_is_inserted(folder: Path) -> None:
    from asgi_llmgate.usage.ledger.journal import Journal
    from asgi_llmgate.usage.ledger.rows import encode

    left = Journal(folder / "llmgate-journal")
    left.append(encode(record("left", time=ago())))
    left.after_fork()
    assert run("drain").exit_code == 0
    assert '"left"' in run("tail", "-n", "1", "--format", "json").output


FLAG = VerdictRecord(
    tool="Bash\x1b[31m",
    tool_use_id="toolu_1",
    outcome="flag",
    decided_by="rule",
    rule="no-prod",
    explanation="=production is changed by the pipeline",
    duration_ms=0.3,
)
PASS = VerdictRecord(tool="Read", tool_use_id="toolu_2", outcome="pass", decided_by="undecided", duration_ms=0.1)


def judge(folder: Path) -> None:
    with closing(Database(parse_url("sqlite:///llmgate.db", folder))) as database:
        database.insert(
            [
                record("c", time=ago(hours=1), subject="ada", safeguards=(FLAG, PASS)),
                record("d", time=ago(days=200), subject="ada", safeguards=(FLAG,)),
            ]
        )


def test_flagged_calls_as_a_table(folder: Path) -> None:
    assert run("flags").output == "no flagged calls in the last 7d\n"
    judge(folder)
    header, only = run("flags").output.splitlines()
    assert header.split() == ["time", "user", "tool", "outcome", "decided", "by", "explanation"]
    assert only.split()[1:] == ["ada", "Bash?[31m", "flag", "no-prod", *FLAG.explanation.split()]
    assert len(run("flags", "--all").output.splitlines()) == 3
    assert len(run("flags", "--since", "4000d").output.splitlines()) == 3


def test_flagged_calls_as_json_and_csv(folder: Path) -> None:
    judge(folder)
    told = json.loads(run("flags", "--format", "json").output)
    assert (told["user"], told["rule"], told["fields"]) == ("ada", "no-prod", {"team": "data-platform"})
    [cells] = csv.DictReader(run("flags", "--format", "csv").output.splitlines())
    assert (cells["user"], cells["team"]) == ("ada", "data-platform")
    assert cells["explanation"] == "'=production is changed by the pipeline"


def test_old_verdicts_are_pruned_after_a_time_of_their_own(folder: Path) -> None:
    judge(folder)
    run("prune", "--keep", "900d")
    assert len(run("flags", "--since", "4000d").output.splitlines()) == 3  # no `safeguards`: nothing says how long
    with (folder / "llmgate.yaml").open("a") as file:
        file.write("safeguards: {}\n")
    run("prune", "--keep", "900d")
    assert len(run("flags", "--since", "4000d").output.splitlines()) == 2


def test_who_called_is_deleted_with_the_last_record_and_verdict(folder: Path) -> None:
    with closing(Database(parse_url("sqlite:///llmgate.db", folder))) as database:
        database.insert([record("e", time=ago(days=9000), subject="eve", safeguards=(FLAG,))])
        with (folder / "llmgate.yaml").open("a") as file:
            file.write("safeguards: {}\n")
        run("prune")
        with database.reading() as connection:
            subjects = set(connection.scalars(sa.select(usage_series.c.subject)))
    assert "eve" not in subjects
    assert "bob\x1b[31m" in subjects


def test_the_webhooks_key_and_a_test_of_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("webhook").output == "Error: the settings have no webhook (safeguards.notify)\n"
    monkeypatch.setenv("SECRET", "s" * 32)
    statuses, seen = [500, 204], []

    async def receiver(scope: Any, receive: Any, send: Any) -> None:
        seen.append((dict(scope["headers"]), (await receive())["body"]))
        await respond(send, statuses.pop(0), [], b"")

    with serving(receiver) as url:
        with (folder / "llmgate.yaml").open("a") as file:
            file.write(f"secret: env:SECRET\nsafeguards: {{notify: {url}/flags}}\n")
        key = b64decode(run("webhook").output.removeprefix("whsec_"))
        assert run("webhook", "--test").output == "Error: the webhook does not work: status 500\n"
        assert run("webhook", "--test").output == "the receiver has accepted a test event\n"
    headers, body = seen[-1]
    signed = b"%s.%s.%s" % (headers[b"webhook-id"], headers[b"webhook-timestamp"], body)
    assert headers[b"webhook-signature"] == b"v1," + b64encode(hmac.digest(key, signed, "sha256"))
    assert json.loads(body)["type"] == "webhook.test"
