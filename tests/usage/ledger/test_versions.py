"""Gateways of two versions at one database: an upgrade, a rollback, and a rolling deployment in which both write."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from asgi_llmgate.page.filters import Query
from asgi_llmgate.page.queries import LedgerQueries
from asgi_llmgate.usage.ledger import Database, Ledger, migrations, parse_url, schema
from asgi_llmgate.usage.ledger.report import latest, summarise
from tests.helpers.installation import ROOT
from tests.helpers.postgresql import postgresql_server
from tests.usage.ledger.records import NOON, Stored, record

OLD = Path(__file__).parent / "tables_0_1_0"


@pytest.fixture(scope="module")
def server() -> Iterator[sa.URL]:
    with postgresql_server() as found:
        yield found.url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.URL]:
    """An empty database."""
    if request.param == "sqlite":
        yield parse_url("sqlite:///ledger.db", tmp_path)
        return
    found: sa.URL = request.getfixturevalue("server")
    yield found
    execute(found, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")


@pytest.fixture
def stored(url: sa.URL) -> Iterator[Stored]:
    found = Stored(url)
    yield found
    found.database.close()


def execute(url: sa.URL, *statements: str) -> None:
    """What another program does, in one transaction."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def statements_of_0_1_0(url: sa.URL) -> list[str]:
    """Creates the tables and writes one record."""
    text = (OLD / f"{url.get_backend_name()}.sql").read_text().partition("\n")[2]
    return [statement for part in text.split(";\n") if (statement := part.strip())]


def columns(stored: Stored) -> dict[str, set[str]]:
    with stored.database.reading() as connection:
        inspector = sa.inspect(connection)
        return {name: {each["name"] for each in inspector.get_columns(name)} for name in inspector.get_table_names()}


TODAY = {table.name: set(table.columns.keys()) for table in schema.metadata.sorted_tables}


def test_the_tables_of_0_1_0_are_brought_here_and_it_goes_on_writing(url: sa.URL, stored: Stored) -> None:
    old = statements_of_0_1_0(url)
    execute(url, *old)
    database = Database(url)
    assert database.insert([record("of today", subject="bob")]) == 1
    assert columns(stored) == TODAY
    # After a rollback, or on a host that has the older version still: the very same statements for another record.
    inserts = [each for each in old if each.startswith("INSERT") and "usage_schema" not in each]
    another = [re.sub("of 0.1.0|84cc3ff51c76bceff06737c194e261ac", "later, of 0.1.0", each) for each in inserts]
    another = [re.sub(r"VALUES \((60|3600|86400), \d+", r"VALUES (\1, 0", each) for each in another]
    assert len({*another} - {*inserts}) == len(inserts) > 5
    execute(url, *another)
    assert stored.ids() == ["of 0.1.0", "of today", "later, of 0.1.0"]
    assert (stored.counted(), stored.tools()) == (3, {"Read": 2})
    assert database.insert([record("of today"), record("of today, again")]) == 1
    database.close()


def test_the_journal_of_0_1_0_is_inserted(url: sa.URL, stored: Stored, tmp_path: Path) -> None:
    line = (OLD / "journal.jsonl").read_bytes()
    newer = line.replace(b'"status":200', b'"status":200,"llmgate.of_a_later_version":{"a":[1]}').replace(
        b"of 0.1", b"of 9.1"
    )
    assert newer.count(b"later_version") == newer.count(b"9.1") == 1
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "12-1.jsonl").write_bytes(line + newer)
    ledger = Ledger(url, journal=tmp_path / "journal")
    assert ledger.drain()
    ledger.database.close()
    assert stored.ids() == ["in the journal of 0.1.0", "in the journal of 9.1.0"]
    assert stored.tools() == {"Read": 2}
    assert not list((tmp_path / "journal").glob("*rejected*"))


def test_a_column_that_is_missing_is_added_with_its_type_and_default(url: sa.URL, stored: Stored) -> None:
    database, table = Database(url), schema.usage_record
    database.insert([record("before", tools=("Read",))])
    database.close()
    # Those that a later version may add.
    wanted = [
        each for each in table.columns if not each.primary_key and (each.nullable or each.server_default is not None)
    ]
    before = definitions(stored, table)
    stored.database.close()
    execute(url, *(f"ALTER TABLE {table.name} DROP COLUMN {column.name}" for column in wanted))
    assert len(definitions(stored, table)) == len(before) - len(wanted) == 4
    stored.database.close()
    assert database.insert([record("after", tools=("Read",), stream=True)]) == 1
    assert definitions(stored, table) == before
    assert (stored.ids(), stored.counted(), stored.tools()) == (["before", "after"], 2, {"Read": 2})
    assert stored("SELECT subject, stream, tools, status FROM usage_record ORDER BY id") == [
        ("", False, None, None),
        ("alice", True, ["Read"] if database.dialect == "postgresql" else '["Read"]', 200),
    ]
    database.close()


def definitions(stored: Stored, table: sa.Table) -> dict[str, tuple[str, bool, str | None]]:
    with stored.database.reading() as connection:
        found = sa.inspect(connection).get_columns(table.name)
    return {each["name"]: (str(each["type"]), each["nullable"], each["default"]) for each in found}


def test_a_table_that_is_missing_is_created(url: sa.URL, stored: Stored) -> None:
    database = Database(url)
    database.insert([record("before", tools=("Read",))])
    database.close()
    execute(url, "DROP TABLE usage_tools")
    assert database.insert([record("after", tools=("Bash",))]) == 1
    assert (stored.ids(), stored.tools()) == (["before", "after"], {"Bash": 1})
    database.close()


BY_A_LATER_VERSION = (
    "ALTER TABLE usage_record ADD COLUMN region TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE usage_record ADD COLUMN labels TEXT",
    "ALTER TABLE usage_series ADD COLUMN region TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE usage_rollup ADD COLUMN refused BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE usage_tools ADD COLUMN refused BIGINT NOT NULL DEFAULT 0",
    "CREATE TABLE usage_region (name TEXT NOT NULL PRIMARY KEY)",
)


def test_after_a_rollback_it_writes_reads_and_deletes_as_before(url: sa.URL, stored: Stored) -> None:
    database = Database(url)
    database.insert([record("before", tools=("Read",))])
    # In the midst of its work, and then as a process that starts.
    execute(url, *BY_A_LATER_VERSION)
    assert database.insert([record("after", subject="bob", tools=("Read",))]) == 1
    database.close()
    assert database.insert([record("after"), record("later", subject="bob")]) == 1
    assert (stored.ids(), stored.counted(), stored.tools()) == (["before", "after", "later"], 3, {"Read": 2})
    with database.reading() as connection:
        lines = summarise(connection, ["user"], since=NOON - 60, until=NOON + 60, fields=())
        assert {line.group: line.requests for line in lines} == {("alice",): 1, ("bob",): 2}
        assert len(latest(connection, 10)) == 3
    assert LedgerQueries(database).overview(Query(), lambda series: True, NOON + 60).total.requests == 3
    database.thin(int(NOON) + 10 * 86400)
    assert database.prune(int(NOON) + 2 * 86400) == 3
    assert stored.ids() == []
    database.close()


def test_during_a_rolling_deployment_both_versions_write(url: sa.URL, stored: Stored, tmp_path: Path) -> None:
    database = Database(url)
    database.insert([record("before")])
    address = url.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "tests.usage.ledger.newer_gateway", address, tmp_path / "journal"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as newer:
        assert newer.stdin is not None
        assert newer.stdout is not None
        assert newer.stdout.readline() == "ready\n"
        for number in range(20):
            newer.stdin.write(f"newer-{number}\n")
            newer.stdin.flush()
            database.insert([record(f"older-{number}", subject="of the older", tools=("Read",))])
            if number == 9:
                database.close()  # another older process starts
        newer.stdin.close()
        assert newer.wait(60) == 0
    assert (len(stored.ids()), len(set(stored.ids())), stored.counted()) == (41, 41, 41)
    assert stored("SELECT subject, count(*) FROM usage_record GROUP BY 1 ORDER BY 1") == [
        ("alice", 1), ("of the newer", 20), ("of the older", 20),
    ]  # fmt: skip
    assert stored("SELECT DISTINCT region, refused FROM usage_record, usage_rollup") == [("", 0)]
    assert "region" in columns(stored)["usage_series"]
    database.close()


async def test_a_gateway_before_a_migration_keeps_its_records_for_a_newer_one(
    url: sa.URL, stored: Stored, tmp_path: Path
) -> None:
    """The tables have had another migration: an older gateway could write what is wrong."""
    older, version = Ledger(url, journal=tmp_path, linger=0.0), migrations.VERSION
    older.database.migrate()
    execute(url, f"INSERT INTO usage_schema (version) VALUES ({version + 1})")
    older.database.close()
    older.emit(record("of the older"))
    async with asyncio.timeout(60):
        while older.state.database:
            await asyncio.sleep(0.01)
    await older.aclose()
    assert (older.state.database, older.state.journal, older.state.dropped) == (False, True, 0)
    assert stored.ids() == []
    execute(url, f"DELETE FROM usage_schema WHERE version = {version + 1}")  # this gateway becomes the newer one
    newer = Ledger(url, journal=tmp_path)
    assert newer.drain()
    newer.database.close()
    assert stored.ids() == ["of the older"]


@pytest.mark.servers
@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_new_column_does_not_wait_long_for_a_report(
    url: sa.URL, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody else would wait behind it."""
    monkeypatch.setattr(migrations, "_LOCK_TIMEOUT", "100ms")
    execute(url, *statements_of_0_1_0(url), "ALTER TABLE usage_record DROP COLUMN span_id")
    database = Database(url)
    with stored.database.reading() as connection:
        connection.execute(sa.text("SELECT * FROM usage_record"))
        with pytest.raises(sa.exc.OperationalError, match="lock timeout"):
            database.insert([record("waits")])
    assert database.insert([record("waits")]) == 1
    database.close()
