"""The usage page as an ASGI app, to be mounted beside the gateway.

    GET  /             the page; ?range=7d&team=data-platform filters it
    GET  /calls.csv    the calls of the same range and filters
    GET  /flags.csv    the flagged tool calls of the same range and filters
    GET  /style.css    the only other file that the page loads; it needs no login

The page only reads.  It runs no script and loads nothing from other servers; its response headers forbid both.  Who may
see it is decided by the host's `page_auth`, from the host's own session, because a browser sends no bearer token.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy.exc import DBAPIError

from asgi_llmgate._types import Receive, Scope, Send
from asgi_llmgate.asgi import ClientConnection, local_path, refuse_other, respond, run_lifespan
from asgi_llmgate.cel import EvaluationError, compile_rule
from asgi_llmgate.errors import ClientGone, SettingsError
from asgi_llmgate.page.csv_file import csv_parts, flags_csv_parts
from asgi_llmgate.page.filters import Query
from asgi_llmgate.page.login_link import OneTimeLink
from asgi_llmgate.page.queries import LedgerQueries
from asgi_llmgate.page.rendering import Renderer
from asgi_llmgate.page.series import Series, Visible
from asgi_llmgate.usage.ledger import Database, NewerSchema, parse_url

log = logging.getLogger("llmgate")

T = TypeVar("T")

Viewer = Mapping[str, Any] | bool | str | None
PageAuth = Callable[[Scope], Viewer | Awaitable[Viewer]]
"""Returns who looks at the page.

A mapping is the viewer's attributes (for `see`), True a viewer without attributes, a text the URL of a login page that
the browser is sent to.  Everything else refuses access: None, False, an empty mapping or text, and, with an error in
the log, an object of any other type.
"""

# Errors that mean: the database cannot be read now.
_UNAVAILABLE = (DBAPIError, NewerSchema)

_THREADS = 2
"""Threads that read the database."""

_HEADERS = (
    (b"cache-control", b"no-store"),
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_HTML = (b"content-type", b"text/html; charset=utf-8")
_CSS = (b"content-type", b"text/css; charset=utf-8")
_TEXT = (b"content-type", b"text/plain; charset=utf-8")


class UsagePage:
    """An ASGI app that shows the ledger in `database` (or at that URL) to viewers that `page_auth` accepts.

    `see` limits what a viewer sees: a CEL expression over `viewer` (the result of `page_auth`) and `record` (`user`,
    `model`, `outcome`, ... and the usage fields), such as `viewer.role == "admin" || record.team == viewer.team`.  Only
    records for which it is true are counted and listed; an expression that fails counts as false.  Raises SettingsError
    if it is not valid.
    """

    def __init__(self, database: Database | str, *, page_auth: PageAuth, see: str | None = None) -> None:
        self._database = Database(database) if isinstance(database, str) else database
        self._queries = LedgerQueries(self._database)
        self._auth = page_auth
        self._see = None if see is None else compile_rule(see, variables={"viewer": None, "record": None})
        self._render = Renderer()
        self._threads: ThreadPoolExecutor | None = None
        self._logged = False
        self._paths = {"/": self._page, "/calls.csv": self._calls_csv, "/flags.csv": self._flags_csv}

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], *, page_auth: PageAuth, see: str | None = None) -> UsagePage:
        """The page of the ledger in a settings file.  Raises SettingsError, as Gateway.from_file does."""
        from asgi_llmgate.config.schema import read_file, read_settings

        settings = read_settings(read_file(path)).usage.ledger
        if settings is None:
            raise SettingsError(
                "the settings have no ledger to show", path="usage.ledger", hint="add `usage: {ledger: {}}`"
            )
        try:
            url = parse_url(settings.url, Path(path).parent)
        except SettingsError as error:
            raise SettingsError(error.message, path="usage.ledger.url", hint=error.hint) from None
        return cls(Database(url), page_auth=page_auth, see=see)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await run_lifespan(self, scope, receive, send)
        if scope["type"] != "http":
            return await refuse_other(scope, send)
        head = scope["method"] == "HEAD"
        if scope["method"] not in ("GET", "HEAD"):
            return await _respond_text(send, 405, "the usage page is read-only", (b"allow", b"GET, HEAD"))
        path = local_path(scope)
        if path == "/style.css":
            return await respond(send, 200, [*_HEADERS[1:], _CSS], self._render.style, head=head)
        endpoint = self._paths.get(path)
        if endpoint is None:
            return await _respond_text(send, 404, "no such page", head=head)
        query = Query.parse(scope.get("query_string", b""))
        if isinstance(self._auth, OneTimeLink) and (cookie := self._auth.redeem(scope)) is not None:
            where = f"{scope.get('root_path', '')}/{query.link()}"
            return await _redirect(send, where, (b"set-cookie", cookie.encode("latin-1")))
        viewer = self._auth(scope)
        if inspect.isawaitable(viewer):
            viewer = await viewer
        # A text with control characters would be a header injection; it is refused below.
        if isinstance(viewer, str) and viewer.isprintable() and viewer.strip():
            return await _redirect(send, viewer)
        if viewer is not True and not (isinstance(viewer, Mapping) and viewer):
            self._log_wrong_type(viewer)
            return await _respond_text(send, 403, self._refusal(scope), head=head)
        visible = partial(self._visible, viewer if isinstance(viewer, Mapping) else {})
        await endpoint(scope, receive, send, query, visible)
        return None

    async def startup(self) -> None:
        """For `mount`.  Does nothing: everything is opened at the first request."""

    async def shutdown(self) -> None:
        """Close the connections to the database.  A later request opens them again."""
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=False)
        self._database.close()

    def _refusal(self, scope: Scope) -> str:
        """What a browser is told that may not see the page."""
        if isinstance(self._auth, OneTimeLink):
            return self._auth.refusal(scope)
        return "you are not logged in, or you may not see this page"

    def _log_wrong_type(self, viewer: object) -> None:
        """Log once that `page_auth` returned an object of a wrong type."""
        known = viewer is None or isinstance(viewer, (bool, str, Mapping))
        if not known and not self._logged:
            self._logged = True
            log.error(
                "page_auth returned a %s, so access is refused: return a mapping, True, a login URL or None",
                type(viewer).__name__,
            )

    def _visible(self, viewer: Mapping[str, Any], series: Series) -> bool:
        if self._see is None:
            return True
        try:
            # Exactly True: an expression may also return a text or a number.
            return self._see.evaluate({"viewer": viewer, "record": series}) is True
        except EvaluationError:
            return False

    async def _in_thread(self, read: Callable[[], T]) -> T:
        """Call `read` in a thread."""
        # Not in the default executor, which resolves host names for the gateway's requests.
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="llmgate-page")
        return await asyncio.get_running_loop().run_in_executor(self._threads, read)

    async def _page(self, scope: Scope, receive: Receive, send: Send, query: Query, visible: Visible) -> None:
        root, now = scope.get("root_path", ""), time.time()
        status = 200
        try:
            body = await self._in_thread(
                lambda: self._render.page(self._queries.overview(query, visible, now), root, now)
            )
        except _UNAVAILABLE:
            self._database.close()
            status, body = 503, self._render.unavailable(root)
        await respond(send, status, [*_HEADERS, _HTML], body, head=scope["method"] == "HEAD")

    async def _calls_csv(self, scope: Scope, receive: Receive, send: Send, query: Query, visible: Visible) -> None:
        parts = csv_parts(self._queries.calls(query, visible, time.time()))
        await self._csv(scope, receive, send, f"llm-calls-{query.span}.csv", parts)

    async def _flags_csv(self, scope: Scope, receive: Receive, send: Send, query: Query, visible: Visible) -> None:
        parts = flags_csv_parts(self._queries.flagged(query, visible, time.time()))
        await self._csv(scope, receive, send, f"flagged-actions-{query.span}.csv", parts)

    async def _csv(self, scope: Scope, receive: Receive, send: Send, file: str, parts: Iterator[bytes]) -> None:
        name = f'attachment; filename="{file}"'.encode()
        headers = [*_HEADERS, (b"content-type", b"text/csv; charset=utf-8"), (b"content-disposition", name)]
        if scope["method"] == "HEAD":
            return await respond(send, 200, headers, b"", head=True)
        try:
            # Before the response starts, so that an error can still be a 503.
            part = await self._in_thread(partial(next, parts, None))
        except _UNAVAILABLE:
            return await _respond_text(send, 503, "the usage database is not available; try again later")
        with suppress(ClientGone):
            async with ClientConnection(receive, send) as client:
                await client.start(200, headers)
                while part is not None:
                    await client.send(part)
                    part = await self._in_thread(partial(next, parts, None))
                await client.end()
        return None


async def _respond_text(send: Send, status: int, text: str, *more: tuple[bytes, bytes], head: bool = False) -> None:
    await respond(send, status, [*_HEADERS, _TEXT, *more], f"{text}\n".encode(), head=head)


async def _redirect(send: Send, where: str, *more: tuple[bytes, bytes]) -> None:
    await respond(send, 303, [*_HEADERS, (b"location", where.encode("latin-1", "replace")), *more], b"")
