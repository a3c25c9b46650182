"""The exchange: one request and its response, as the record that all layers share.

It lives in `scope["llmgate"]` of a COPIED scope, put there by the outermost layer that runs. Layers pass facts to each
other in it: there are no globals, no context variables and no added headers.

Each field has one writer, or the few that `WRITERS` names. Tests check every assignment against that table.

    field                                        written by
    -------------------------------------------  --------------------------------------------------------------
    method, path, client, headers, parent,       exchange, when it is opened
      request_id, started_at, started
    route                                        routing.routes, for whichever layer needs it first
    wire                                         routing.routes, from the route
    body                                         routing.resolve
    call                                         routing.resolve
    variables                                    rule_variables, for whichever layer needs them first
    further_variables                            gateway, policy.middleware, limits.middleware
    identity                                     auth.middleware
    token                                        auth.middleware; upstream.call drops it
    decision, permits                            policy.middleware
    target, attempts, dropped, usage, response,  upstream.call, endpoints.passthrough
      first_token_at
    status, first_byte_at, ended_at, recorded,   usage.middleware
      tracing
    outcome, reason, error, detail, error_type   exchange, in `settle`: the first call counts

The call itself is narrowed later: PolicyMiddleware removes the candidates that its rules deny.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self

from asgi_llmgate._types import Scope
from asgi_llmgate.errors import GateError, UpstreamError, row_for

if TYPE_CHECKING:
    from asgi_llmgate.asgi.body import Body
    from asgi_llmgate.routing.routes import RouteMatch
    from asgi_llmgate.rule_variables import RuleVariables

KEY = "llmgate"
"""Where in the ASGI scope the exchange lives."""

Wire = Literal["messages", "chat"]
"""The API format of a connection: Anthropic's Messages, or OpenAI's chat completions."""

Outcome = Literal["", "ok", "refused", "upstream_error", "upstream_truncated", "client_disconnect", "shutdown", "error"]

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Secret:
    """A string that is not shown in a repr, a log record, a pickle, or a traceback that shows variables.

    It is revealed only where its value is sent.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(...)"

    def __reduce__(self) -> Any:
        raise TypeError("a Secret cannot be pickled")

    def __bool__(self) -> bool:
        return bool(self._value)


class _HiddenValue(bytes):
    """The value of a request header, which may be a token: bytes whose repr hides them."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "b'...'"


def hide_header_values(scope: Scope) -> Scope:
    """A copy of the scope whose repr shows no header value: a traceback that shows variables shows scopes."""
    return {**scope, "headers": [(name, _HiddenValue(value)) for name, value in scope.get("headers", ())]}


@dataclass(frozen=True, slots=True, repr=False)
class Identity:
    """The caller, verified. `claims` are those of the token; `provider` is the name of the identity provider."""

    subject: str = ""
    issuer: str = ""
    provider: str = ""
    claims: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)

    @property
    def is_authenticated(self) -> bool:
        return bool(self.provider)

    @property
    def key(self) -> tuple[str, str, str]:
        """Equal for requests of the same caller, as far as the caller is known."""
        return self.provider, self.issuer, self.subject

    def __repr__(self) -> str:
        return f"Identity(provider={self.provider!r})"  # claims are personal data


ANONYMOUS = Identity()


@dataclass(frozen=True, slots=True)
class Target:
    """A model of a backend that may serve a call: `model` is its name there, `backend` the key in the settings.

    `provider` is the vendor's name in rules and records. `max_output_tokens` and `context_window` are in tokens.
    `price` gives the cost of a call in US dollars by its usage and its seconds, None where it cannot be known.
    """

    backend: str
    provider: str
    model: str
    max_output_tokens: int | None = None
    context_window: int | None = None
    price: Callable[[Usage | None, float | None], float | None] | None = field(default=None, compare=False, repr=False)


class RequestFeatures(Protocol):
    """What rules may read of a request body, in any wire. Computed when it is read."""

    @property
    def model(self) -> str: ...
    @property
    def stream(self) -> bool: ...
    @property
    def max_tokens(self) -> int: ...
    @property
    def temperature(self) -> float | None: ...
    @property
    def tool_names(self) -> Sequence[str]: ...
    @property
    def message_count(self) -> int: ...
    @property
    def has_images(self) -> bool: ...
    @property
    def input_tokens_estimate(self) -> int: ...


@dataclass(slots=True)
class Call:
    """A request that asks a model: the decoded body, and the targets that may answer it, best first.

    `operation` is `gen_ai.operation.name`, "" where it is unknown.
    """

    request: RequestFeatures
    candidates: tuple[Target, ...]
    session_id: str = ""
    agent_id: str = ""
    request_class: str = ""
    operation: str = "chat"


@dataclass(slots=True)
class Attempt:
    """One upstream request that was sent for a call; use it with `with` around the sending.

    `started` and `ended` (when the head of the response arrived, or the attempt failed) are `time.monotonic()` seconds.
    `status` is the status of the response, 0 where none came. `error` is the name of the error's class, "" without one:
    the error itself would keep its traceback, and with it the request.
    """

    target: Target
    started: float
    ended: float | None = None
    status: int = 0
    error: str = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ended = time.monotonic()
        if isinstance(error, UpstreamError):
            self.status = error.status
        if kind is not None:
            self.error = kind.__name__


class Permits(Protocol):
    """Whether the rules let this caller use a target. `name` is the model that would be asked for, without a call."""

    def __call__(self, target: Target, name: str = "", /) -> bool: ...


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision of the policy.

    `rule` is the name of the deciding rule, `missing` that of a claim whose absence decided. `dry_run` are the names of
    the dry-run rules that would have denied.
    """

    allowed: bool
    rule: str = ""
    missing: str = ""
    dry_run: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens of one response.

    `input` are all input tokens, including cached ones (OpenTelemetry's convention; Anthropic's wire subtracts them).
    `output` includes `reasoning`. `estimated`: the server has not counted.
    """

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_creation: int = 0
    reasoning: int = 0
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class ResponseMetadata:
    """What a response says about itself: the model, the id, the finish reasons.

    `tools` are the names of the tools that it calls, as the client named them, each once, in the order of the response.
    """

    model: str = ""
    id: str = ""
    finish_reasons: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()


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


@dataclass(slots=True, weakref_slot=True, repr=False, eq=False)
class Exchange:
    """See the module's table. Times are `time.monotonic()` seconds, `started_at` is Unix seconds.

    `route` is None where no row of the route table fits, or no layer has looked. `/v1/models` asks `permits` about the
    targets of each listed model. `target` is the one that was tried last.
    """

    method: str = ""
    path: str = ""
    client: str = ""
    headers: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    parent: Exchange | None = None
    wire: Wire = "messages"
    request_id: str = field(default_factory=lambda: "req_" + secrets.token_hex(12))
    started_at: float = field(default_factory=time.time)
    started: float = field(default_factory=time.monotonic)

    route: RouteMatch | None = None
    body: Body | None = None
    variables: RuleVariables | None = None
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
            headers=read_headers(scope),
            parent=parent,
        )
        return {**hide_header_values(scope), KEY: exchange}, exchange

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


def read_headers(scope: Scope) -> Mapping[str, str]:
    """The headers of a request: names in lower case, values as latin-1 text.

    Values of a repeated header are joined with ", " (RFC 9110 section 5.3), those of cookie headers, which HTTP/2 may
    split, with "; " (RFC 9113 section 8.2.3).
    """
    found: dict[str, list[str]] = {}
    for name, value in scope.get("headers", ()):
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return {
        key: values[0] if len(values) == 1 else _SEPARATORS.get(key, ", ").join(values) for key, values in found.items()
    }


_SEPARATORS = {"cookie": "; "}


WRITERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        **dict.fromkeys(("method", "path", "client", "headers", "parent"), ("exchange",)),
        **dict.fromkeys(("request_id", "started_at", "started"), ("exchange",)),
        "route": ("routing.routes",),
        "wire": ("routing.routes",),
        "body": ("routing.resolve",),
        "call": ("routing.resolve",),
        "variables": ("rule_variables",),
        "further_variables": ("gateway", "policy.middleware", "limits.middleware"),
        "identity": ("auth.middleware",),
        "token": ("auth.middleware", "upstream.call"),
        **dict.fromkeys(("decision", "permits"), ("policy.middleware",)),
        **dict.fromkeys(("target", "dropped", "attempts"), ("upstream.call", "endpoints.passthrough")),
        **dict.fromkeys(("usage", "response", "first_token_at"), ("upstream.call", "endpoints.passthrough")),
        **dict.fromkeys(("status", "first_byte_at", "ended_at", "recorded", "tracing"), ("usage.middleware",)),
        **dict.fromkeys(("outcome", "reason", "error", "detail", "error_type"), ("exchange",)),
    }
)
"""Field -> the modules of asgi_llmgate that may assign it (`attempts`: append to it)."""
