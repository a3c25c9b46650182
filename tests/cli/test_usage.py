"""`llmgate usage`, over a ledger that a gateway could have written."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from asgi_llmgate.cli import main
from asgi_llmgate.usage.ledger import Ledger, parse_url
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
