"""The exchange: one request and its response, as the record that all layers share.

It lives in `scope["llmgate"]` of a COPIED scope, put there by the outermost layer that runs. Layers pass facts to each
other in it: there are no globals, no context variables and no added headers.

Each field has one writer, or the few that `WRITERS` names. Tests check every assignment against that table.

    field                                        written by
    -------------------------------------------  --------------------------------------------------------------
    method, path, client, headers, parent,       exchange, when it is opened
      parent_request_id, request_id,
      started_at, started
    route                                        routing.routes, for whichever layer needs it first
    wire                                         routing.routes, from the route
    body                                         routing.resolve
    call                                         routing.resolve
    variables                                    rule_variables, for whichever layer needs them first
    further_variables                            gateway; rule_variables, for a layer without a gateway
    identity                                     auth.middleware
    token                                        auth.middleware; upstream.call drops it
    decision, permits                            policy.middleware
    target, attempts, dropped, usage, response,  upstream.call, endpoints.passthrough
      first_token_at
    verdicts                                     endpoints.calls, endpoints.own_classifier
    status, first_byte_at, ended_at, recorded,   usage.middleware
      tracing, record
    outcome, reason, error, detail, error_type   exchange, in `settle`: the first call counts

The call itself is narrowed later: PolicyMiddleware removes the candidates that its rules deny. A further exchange,
which the gateway opens itself (`Exchange.further`), begins with some fields of the first.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Protocol

from asgi_llmgate._types import Message, Scope
from asgi_llmgate.errors import GateError, row_for
from asgi_llmgate.exchange_values import (
    ANONYMOUS,
    Attempt,
    Call,
    Decision,
    Identity,
    Permits,
    ResponseMetadata,
    Target,
    Usage,
    Verdict,
    Wire,
)
from asgi_llmgate.request_headers import NO_HEADERS, RequestHeaders
from asgi_llmgate.route import RouteMatch
from asgi_llmgate.secret_values import Secret, hide_header_values

KEY = "llmgate"
"""Where in the ASGI scope the exchange lives."""

Outcome = Literal["", "ok", "refused", "upstream_error", "upstream_truncated", "client_disconnect", "shutdown", "error"]
"""How an exchange ended, as in the usage record; the empty string before its end."""

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class RequestBody(Protocol):
    """The body of a request, read once and replayed; see asgi/body.py, which implements it."""

    async def read(self) -> bytes: ...
    async def receive(self) -> Message: ...
    async def rest(self) -> Message: ...
    def close(self) -> None: ...


class Tracing(Protocol):
    """Follows calls on their way to a model server."""

    def call(
        self, exchange: Exchange, address: tuple[str, int]
    ) -> AbstractContextManager[Iterable[tuple[bytes, bytes]]]:
        """To be entered around sending a request to a host and port; gives the headers with the trace context."""
        ...


class _Untraced:
    _no_headers: ClassVar[AbstractContextManager[Iterable[tuple[bytes, bytes]]]] = nullcontext(())

    def call(
        self, exchange: Exchange, address: tuple[str, int]
    ) -> AbstractContextManager[Iterable[tuple[bytes, bytes]]]:
        return self._no_headers


UNTRACED: Tracing = _Untraced()


def _new_request_id() -> str:
    return "req_" + os.urandom(12).hex()


def _keep_no_record(exchange: Exchange) -> None:
    """`Exchange.record` where no UsageMiddleware runs."""


@dataclass(slots=True, weakref_slot=True, repr=False, eq=False)
class Exchange:
    """See the module's table. Times are `time.monotonic()` seconds, `started_at` is Unix seconds.

    `route` is None where no row of the route table fits, or no layer has looked. `/v1/models` asks `permits` about the
    targets of each listed model. `target` is the one that was tried last. `record` writes the record of a further
    exchange that has been settled; `parent_request_id` is the request that such an exchange was opened for.
    """

    method: str = ""
    path: str = ""
    client: str = ""
    headers: Mapping[str, str] = field(default_factory=lambda: NO_HEADERS)
    parent: Exchange | None = None
    parent_request_id: str = ""
    wire: Wire = "messages"
    request_id: str = field(default_factory=_new_request_id)
    started_at: float = field(default_factory=time.time)
    started: float = field(default_factory=time.monotonic)

    route: RouteMatch | None = None
    body: RequestBody | None = None
    variables: Mapping[str, Any] | None = None
    further_variables: Mapping[str, Callable[[Exchange, Scope], Any]] = field(default_factory=lambda: _NOTHING)

    identity: Identity = ANONYMOUS
    token: Secret | None = None
    call: Call | None = None
    decision: Decision | None = None
    permits: Permits | None = None

    target: Target | None = None
    attempts: list[Attempt] = field(default_factory=list)
    usage: Usage | None = None
    response: ResponseMetadata | None = None
    dropped: tuple[str, ...] = ()
    first_token_at: float | None = None
    verdicts: tuple[Verdict, ...] = ()

    status: int = 0
    first_byte_at: float | None = None
    ended_at: float | None = None

    outcome: Outcome = ""
    reason: str = ""
    error: str = ""
    detail: str = ""
    error_type: str = ""
    recorded: bool = False
    tracing: Tracing = UNTRACED
    record: Callable[[Exchange], None] = _keep_no_record

    @classmethod
    def enter(cls, scope: Scope) -> tuple[Scope, Exchange]:
        """The scope's exchange; where there is none, a new one in a copied scope."""
        found = scope.get(KEY)
        if found is not None:
            return scope, found
        return cls._open(scope, None)

    @classmethod
    def child(cls, scope: Scope) -> tuple[Scope, Exchange]:
        """A new exchange for a gateway that is mounted behind layers of this package in the host."""
        return cls._open(scope, scope.get(KEY))

    @classmethod
    def of(cls, scope: Scope) -> Exchange:
        """The scope's exchange. Raises LookupError where no layer of this package has run before."""
        try:
            found: Exchange = scope[KEY]
        except KeyError:
            raise LookupError("no exchange in this scope: put a layer of asgi_llmgate before this app") from None
        return found

    @classmethod
    def _open(cls, scope: Scope, parent: Exchange | None) -> tuple[Scope, Exchange]:
        client = scope.get("client")
        exchange = cls(
            method=scope.get("method", ""),
            path=scope.get("path", ""),
            client=client[0] if client else "",
            headers=RequestHeaders(scope.get("headers", ())),
            parent=parent,
        )
        scope = hide_header_values(scope)
        scope[KEY] = exchange
        return scope, exchange

    def further(self, call: Call) -> Exchange:
        """An exchange for a call that the gateway makes itself on behalf of this one, such as to a classifier.

        It has a request id of its own and the same caller.  Settle it, then write its record:
        `further.record(further)`.
        """
        return Exchange(
            method=self.method,
            path=self.path,
            client=self.client,
            headers=self.headers,
            parent_request_id=self.request_id,
            further_variables=self.further_variables,
            identity=self.identity,
            token=self.token,
            call=call,
            tracing=self.tracing,
            record=self.record,
        )

    @property
    def sent_at(self) -> float | None:
        """When the last attempt began; None without one."""
        return self.attempts[-1].started if self.attempts else None

    def settle(
        self, outcome: Outcome, *, reason: str = "", error: str = "", detail: str = "", error_type: str = ""
    ) -> bool:
        """Record how the exchange ended. The first call counts; a later one changes nothing and returns False."""
        if self.outcome:
            return False
        self.outcome, self.reason, self.error = outcome, reason, error
        self.detail, self.error_type = detail, error_type
        return True

    def settle_error(self, outcome: Outcome, failure: GateError) -> bool:
        """`settle` with the reason from the table in errors.py; `error_type` is the name of the error's class."""
        return self.settle(
            outcome,
            reason=row_for(failure).reason,
            error=failure.message,
            detail=failure.detail,
            error_type=type(failure).__name__,
        )

    def __repr__(self) -> str:
        return f"Exchange({self.request_id}, {self.outcome or 'open'})"


WRITERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        **dict.fromkeys(("method", "path", "client", "headers", "parent"), ("exchange",)),
        **dict.fromkeys(("parent_request_id", "request_id", "started_at", "started"), ("exchange",)),
        "route": ("routing.routes",),
        "wire": ("routing.routes",),
        "body": ("routing.resolve",),
        "call": ("routing.resolve",),
        "variables": ("rule_variables",),
        "further_variables": ("gateway", "rule_variables"),
        "identity": ("auth.middleware",),
        "token": ("auth.middleware", "upstream.call"),
        **dict.fromkeys(("decision", "permits"), ("policy.middleware",)),
        **dict.fromkeys(("target", "dropped", "attempts"), ("upstream.call", "endpoints.passthrough")),
        **dict.fromkeys(("usage", "response", "first_token_at"), ("upstream.call", "endpoints.passthrough")),
        "verdicts": ("endpoints.calls", "endpoints.own_classifier"),
        **dict.fromkeys(("status", "first_byte_at", "ended_at", "recorded"), ("usage.middleware",)),
        **dict.fromkeys(("tracing", "record"), ("usage.middleware",)),
        **dict.fromkeys(("outcome", "reason", "error", "detail", "error_type"), ("exchange",)),
    }
)
"""Field -> the modules of asgi_llmgate that may assign it (`attempts`: append to it)."""
