"""Where records go: the ledger's database and journal, and the access log's file. Nothing is left behind.

The write to the database is a real one, in a transaction that is rolled back.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from asgi_llmgate.cli.doctor.steps import Step, Steps, steps_about
from asgi_llmgate.config.sections.usage import AccessLogSettings, LedgerSettings, make_ledger
from asgi_llmgate.config.units import resolve_path
from asgi_llmgate.errors import SettingsError

if TYPE_CHECKING:
    import sqlalchemy as sa

LOW_SPACE = 500 * 10**6
"""Bytes on a disk that are few for a database or a log."""

_LOCK_TIMEOUT = 5
"""Seconds that the write waits for another writer's transaction."""


async def check_ledger(settings: LedgerSettings, folder: Path) -> Steps:
    """Connect, look at the tables, and write and roll back. `folder` is that of the settings."""
    path = "usage.ledger"
    try:
        make_ledger(settings, folder)
    except SettingsError as error:
        for step in steps_about(error):
            yield step
        return
    yield await asyncio.to_thread(_check_database, settings, folder)
    yield _check_journal(folder / settings.journal, f"{path}.journal")


async def check_access_log(settings: AccessLogSettings, folder: Path) -> Steps:
    """Whether the file can be written."""
    file = resolve_path(folder, settings.file)
    if file is None:
        return
    path = "usage.access_log.file"
    exists = file.exists()
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666))
    except OSError as error:
        message = f"{file} cannot be written: {error.strerror}"
        yield Step(state="error", path=path, message=message, hint="does its folder exist, and who owns the file?")
        return
    if not exists:
        file.unlink()
    yield _about_space(file.parent, Step(path=path, message=f"{file} can be written"))


def _check_database(settings: LedgerSettings, folder: Path) -> Step:
    import sqlalchemy as sa

    from asgi_llmgate.usage.ledger.engines import make_engine, parse_url
    from asgi_llmgate.usage.ledger.migrations import NewerSchema

    path = "usage.ledger.url"
    url = parse_url(settings.url, folder)
    name = url.get_backend_name()
    file = Path(url.database or "") if name == "sqlite" else None
    if file is not None and not file.exists():
        return _about_space(_nearest(file.parent), Step(path=path, message=f"{file} will be created"))
    engine = make_engine(url)
    try:
        step = Step(path=path, message=_write_and_roll_back(engine))
    except NewerSchema as error:
        return Step(state="error", path=path, message=str(error), hint="upgrade asgi-llmgate, or use another database")
    except (sa.exc.SQLAlchemyError, OSError) as error:
        reason = _reason(error)
        hint = "is the server running, and are host, user, password and database right?" if file is None else ""
        return Step(state="error", path=path, message=f"the database cannot be used: {reason}", hint=hint)
    finally:
        engine.dispose()
    return step if file is None else _about_space(file.parent, step)


def _write_and_roll_back(engine: sa.Engine) -> str:
    """What was found. Raises NewerSchema, and the errors of SQLAlchemy."""
    import sqlalchemy as sa

    from asgi_llmgate.usage.ledger.migrations import VERSION, NewerSchema, migrate
    from asgi_llmgate.usage.ledger.schema import usage_schema

    is_postgresql = engine.dialect.name == "postgresql"

    @sa.event.listens_for(engine, "connect")
    def _wait_less(connection: object, record: object) -> None:
        milliseconds = _LOCK_TIMEOUT * 1000
        command = (
            f"SET statement_timeout = {milliseconds}" if is_postgresql else f"PRAGMA busy_timeout = {milliseconds}"
        )
        connection.execute(command)  # type: ignore[attr-defined]

    with engine.connect().execution_options(writes=True) as connection:
        has_tables = sa.inspect(connection).has_table(usage_schema.name)
        found = connection.scalar(sa.select(sa.func.max(usage_schema.c.version))) if has_tables else None
        if found is not None and found > VERSION:
            raise NewerSchema(f"the ledger's tables have version {found}, and this version knows only {VERSION}")
        if found is None:
            migrate(connection)  # in this transaction
        connection.execute(usage_schema.insert().values(version=VERSION + 1))
        connection.rollback()
    if found is None:
        return "the database can be written; the gateway will create its tables"
    if found < VERSION:
        return f"the database can be written; the gateway will upgrade its tables from version {found} to {VERSION}"
    return "the database can be written, and its tables are up to date"


def _check_journal(folder: Path, path: str) -> Step:
    from asgi_llmgate.usage.ledger.journal import Journal

    existed = folder.exists()
    try:
        Journal(folder).probe()
    except OSError as error:
        message = f"{folder} cannot be written: {error.strerror}"
        return Step(state="error", path=path, message=message, hint="without it the gateway is not ready (/readyz)")
    finally:
        if not existed and folder.is_dir():
            folder.rmdir()
    return _about_space(_nearest(folder), Step(path=path, message=f"{folder} can be written"))


def _about_space(folder: Path, good: Step) -> Step:
    """The step, or a warning where little space is left in the folder."""
    free = shutil.disk_usage(folder).free
    if free >= LOW_SPACE:
        return good
    message = f"{good.message}, with {free // 10**6} MB of free space"
    return Step(state="warning", path=good.path, message=message, hint="records need about 1 kB each")


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())


def _reason(error: Exception) -> str:
    """The driver's own words, in one line. SQLAlchemy's add the statement."""
    text = str(getattr(error, "orig", None) or error)
    return " ".join(text.split())[:300]
