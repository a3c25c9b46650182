"""What works in a ledger, and the log lines when that changes."""

from __future__ import annotations

import logging

from sqlalchemy.exc import DBAPIError

from asgi_llmgate.usage.ledger.migrations import NewerSchema

log = logging.getLogger("llmgate")


class Status:
    """Whether `journal`, `database` and `thread` work; each change is logged once.

    `dropped` counts records that the ledger has lost: there was no place to keep them.
    """

    def __init__(self) -> None:
        self.journal = True
        self.database = True
        self.thread = True
        self.dropped = 0

    def journal_fails(self, error: OSError) -> None:
        if self.journal:
            log.error("the ledger's journal cannot be written: %s; its records wait in memory", error.strerror)
        self.journal = False

    def journal_works(self) -> None:
        if not self.journal:
            log.warning("the ledger's journal can be written again")
        self.journal = True

    def database_fails(self, error: Exception) -> None:
        if self.database:
            log.error("the ledger's database does not work (%s); records wait in the journal", describe_error(error))
        self.database = False

    def database_works(self) -> None:
        if not self.database:
            log.warning("the ledger's database works again")
        self.database = True

    def thread_fails(self, error: BaseException | None) -> None:
        if self.thread:
            reason = "it has ended" if error is None else describe_error(error)
            log.error("the ledger's thread does not work (%s); records wait in the journal", reason)
        self.thread = False

    def thread_works(self) -> None:
        if not self.thread:
            log.warning("the ledger's thread works again")
        self.thread = True


def describe_error(error: BaseException) -> str:
    """The class of the error.  The message of a database driver is left out: it may contain an address or a row."""
    if isinstance(error, NewerSchema):
        return str(error)
    return type(error.orig if isinstance(error, DBAPIError) and error.orig else error).__name__
