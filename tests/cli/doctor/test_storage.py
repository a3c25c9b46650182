"""The ledger, the journal and the log file: asked for real, and left as they were."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections import namedtuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from asgi_llmgate.cli.doctor import storage
from asgi_llmgate.usage.ledger.database import Database
from asgi_llmgate.usage.ledger.engines import parse_url
from asgi_llmgate.usage.ledger.migrations import VERSION
from tests.helpers.postgresql import PostgreSQL, postgresql_server

if TYPE_CHECKING:
    from tests.cli.doctor.conftest import Doctor, Told

BACKENDS = {"main": {"base_url": "http://127.0.0.1:1/v1"}}
FILE = {"url": "sqlite:///usage.db"}


def asked(doctor: Doctor, **usage: Any) -> Told:
    return doctor({"backends": BACKENDS, "usage": usage}, "--no-calls")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A ledger's database, with its tables."""
    database = Database(parse_url("sqlite:///usage.db", tmp_path))
    database.migrate()
    database.close()
    return tmp_path / "usage.db"


def rows(path: Path) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(path)
    tables = [name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")]
    found = [(name, *row) for name in tables for row in connection.execute(f"select * from {name}")]
    connection.close()
    return found


def test_what_is_not_there_yet_is_not_made(doctor: Doctor, tmp_path: Path) -> None:
    told = asked(doctor, ledger={"url": "sqlite:///data/usage.db"}, access_log={"file": "access.log"})
    assert told.states("usage") == ["ok", "ok", "ok"]
    assert "will be created" in told.about("usage.ledger.url")[0]["message"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["llmgate.yaml"]


def test_a_ledger_is_written_and_left_as_it_was(doctor: Doctor, made: Path) -> None:
    before = rows(made)
    told = asked(doctor, ledger=FILE)
    assert told.about("usage.ledger.url")[0]["message"] == "the database can be written, and its tables are up to date"
    assert rows(made) == before


def test_an_empty_database_gets_no_tables(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "usage.db").touch()
    told = asked(doctor, ledger=FILE)
    assert "the gateway will create its tables" in told.about("usage.ledger.url")[0]["message"]
    assert rows(tmp_path / "usage.db") == []


@pytest.mark.parametrize(
    ("version", "state", "words"),
    [(VERSION + 1, "error", f"version {VERSION + 1}"), (VERSION - 1, "ok", f"from version {VERSION - 1} to {VERSION}")],
)
def test_tables_of_another_version(doctor: Doctor, made: Path, version: int, state: str, words: str) -> None:
    with sqlite3.connect(made) as connection:
        connection.execute("update usage_schema set version = ?", (version,))
    connection.close()
    step = asked(doctor, ledger=FILE).about("usage.ledger.url")[0]
    assert step["state"] == state
    assert words in step["message"]
    assert rows(made) == [("usage_schema", version)] + [row for row in rows(made) if row[0] != "usage_schema"]


def test_a_file_that_is_no_database(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "usage.db").write_bytes(b"not a database at all, but some text that is long enough" * 20)
    step = asked(doctor, ledger=FILE).the("error", "usage.ledger.url")
    assert "file is not a database" in step["message"]
    assert "SELECT" not in step["message"]


def test_a_database_that_another_program_holds(doctor: Doctor, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_LOCK_TIMEOUT", 0.1)
    holder = sqlite3.connect(made, isolation_level=None)
    holder.execute("begin immediate")
    try:
        step = asked(doctor, ledger=FILE).the("error", "usage.ledger.url")
    finally:
        holder.close()
    assert "locked" in step["message"]


def test_a_journal_that_is_a_file(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("")
    step = asked(doctor, ledger={**FILE, "journal": "journal/deeper"}).the("error", "usage")
    assert step["path"] == "usage.ledger.journal"


@pytest.mark.parametrize("file", ["no/such/folder/access.log", "llmgate.yaml/access.log", "."])
def test_a_log_that_cannot_be_written(doctor: Doctor, file: str) -> None:
    step = asked(doctor, access_log={"file": file}).the("error", "usage")
    assert step["path"] == "usage.access_log.file"
    assert "cannot be written: " in step["message"]


def test_a_log_that_is_there_keeps_its_lines(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "access.log").write_text("{}\n")
    assert asked(doctor, access_log={"file": "access.log"}).states("usage") == ["ok"]
    assert (tmp_path / "access.log").read_text() == "{}\n"


def test_little_space_is_a_warning(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(storage.shutil, "disk_usage", lambda folder: usage(10**12, 10**12, storage.LOW_SPACE - 1))
    told = asked(doctor, ledger=FILE, access_log={"file": "access.log"})
    assert told.states("usage") == ["warning"] * 3
    assert "499 MB of free space" in told.about("usage.access_log")[0]["message"]


@pytest.fixture(scope="module")
def postgresql() -> Any:
    if shutil.which("pg_ctl") is None and not list(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")):
        pytest.skip("PostgreSQL is not installed")
    with postgresql_server() as server:
        yield server


def test_postgresql(doctor: Doctor, postgresql: PostgreSQL) -> None:
    url = postgresql.url.set(drivername="postgresql", password="s3cr3t-word").render_as_string(hide_password=False)
    told = asked(doctor, ledger={"url": url})
    assert "the gateway will create its tables" in told.about("usage.ledger.url")[0]["message"]
    database = Database(postgresql.url)
    database.migrate()
    told = asked(doctor, ledger={"url": url})
    assert told.about("usage.ledger.url")[0]["message"].endswith("its tables are up to date")
    with database.reading() as connection:
        assert connection.exec_driver_sql("select version from usage_schema").all() == [(VERSION,)]
    database.close()
    told = asked(doctor, ledger={"url": url.replace("/postgres", "/no_such_database")})
    assert 'database "no_such_database" does not exist' in told.the("error", "usage.ledger.url")["message"]
    postgresql.stop()
    step = asked(doctor, ledger={"url": url}).the("error", "usage.ledger.url")
    assert "refused" in step["message"]
    assert "host, user, password" in step["hint"]
    assert "s3cr3t" not in str(told.steps)
    assert threading.active_count() < 50
