"""Reports from the ledger that settings name, for the commands of `llmgate` and of hosts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asgi_llmgate.config.schema import Settings, read_settings
from asgi_llmgate.config.sections.safeguards import audit_keep
from asgi_llmgate.config.sections.usage import LedgerSettings, make_ledger
from asgi_llmgate.errors import SettingsError

if TYPE_CHECKING:
    from asgi_llmgate.usage.ledger import Database, Ledger


def usage_report(
    settings: Settings | Mapping[str, Any],
    by: Sequence[str],
    *,
    since: float,
    until: float,
    folder: str | os.PathLike[str] = ".",
) -> tuple[list[str], list[list[Any]]]:
    """Sums of the records in the ledger from `since` until `until` (Unix seconds): the names of the columns, and rows.

    The first columns are the groups in `by`, such as `user` and `model`.  `folder` is what paths in the settings are
    relative to.  Raises SettingsError: no ledger, an unknown group, a database that does not work.
    """
    if not isinstance(settings, Settings):
        settings = read_settings(settings)
    with open_database(settings, Path(folder)) as database, database.reading() as connection:
        from asgi_llmgate.usage.ledger.report import MEASURES, summarise

        lines = summarise(connection, by, since=since, until=until, fields=settings.usage.fields)
    return [*by, *MEASURES], [[*line.group, *line.measures()] for line in lines]


def ledger_settings(settings: Settings) -> LedgerSettings:
    """What the settings say about the ledger.  Raises SettingsError where they have none."""
    if settings.usage.ledger is None:
        raise SettingsError("the settings have no ledger", path="usage.ledger", hint="add `usage: {ledger: {}}`")
    return settings.usage.ledger


def open_ledger(settings: Settings, folder: Path) -> Ledger:
    """The ledger of the settings."""
    safeguards = settings.safeguards
    notify = safeguards is not None and safeguards.notify is not None
    return make_ledger(ledger_settings(settings), folder, keep_verdicts=audit_keep(safeguards), notify=notify)


@contextmanager
def open_database(settings: Settings, folder: Path) -> Iterator[Database]:
    """The database of the ledger, with its newest tables.  Its errors become SettingsErrors without addresses and
    passwords."""
    database = open_ledger(settings, folder).database
    from sqlalchemy.exc import DBAPIError

    from asgi_llmgate.usage.ledger import NewerSchema

    try:
        database.migrate()
        yield database
    except NewerSchema as error:
        raise SettingsError(str(error)) from None
    except DBAPIError as error:
        raise SettingsError(f"the ledger's database does not work: {type(error.orig).__name__}") from None
    finally:
        database.close()
