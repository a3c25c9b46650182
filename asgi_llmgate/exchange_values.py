"""The plain values that an exchange holds: who calls, what is asked, who may respond, what was decided and used."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType, TracebackType
from typing import Any, Literal, Protocol, Self

from asgi_llmgate.errors import UpstreamError

Wire = Literal["messages", "chat"]
"""The API format of a connection: Anthropic's Messages, or OpenAI's chat completions."""

_NO_CLAIMS: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, repr=False)
class Identity:
    """The caller, verified. `claims` are those of the token; `provider` is the name of the identity provider.

    `key` is equal for requests of the same caller, as far as the caller is known. `cache` is for what a layer works out
    from this identity alone, under a key of the layer's own. The verifier returns one object for a token until the
    token expires or the provider's keys change, so what is in there ends with it. A copy made with `replace` begins
    with an empty cache; nothing is kept for anonymous callers.
    """

    subject: str = ""
    issuer: str = ""
    provider: str = ""
    claims: Mapping[str, Any] = field(default_factory=lambda: _NO_CLAIMS)
    key: tuple[str, str, str] = field(init=False, compare=False)
    cache: dict[Any, Any] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", (self.provider, self.issuer, self.subject))
        object.__setattr__(self, "cache", {} if self.provider else _KeepsNothing())

    @property
    def is_authenticated(self) -> bool:
        return bool(self.provider)

    def __repr__(self) -> str:
        return f"Identity(provider={self.provider!r})"  # claims are personal data


class _KeepsNothing(dict[Any, Any]):
    """The cache of anonymous callers. They share one object, which would keep what belongs to settings of long ago."""

    __slots__ = ()

    def __setitem__(self, name: Any, value: Any) -> None:
        pass


ANONYMOUS = Identity()


@dataclass(frozen=True, slots=True)
class Target:
    """A model of a backend that may serve a call: `model` is its name there, `backend` the key in the settings.

    `vendor` is `llm.provider` in rules and `gen_ai.provider.name` in records. `max_output_tokens` and
    `context_window` are in tokens. `price` gives the cost of a call in US dollars by its usage and its seconds, None
    where it cannot be known.
    """

    backend: str
    vendor: str
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
    @property
    def request_class(self) -> str: ...


@dataclass(slots=True)
class Call:
    """A request that asks a model: the decoded body, and the targets that may serve it, best first.

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


@dataclass(frozen=True, slots=True, repr=False)
class ToolUse:
    """A tool call of a response, as the client sees it.

    `input` is the JSON text as the model wrote it (may be no JSON).
    """

    id: str
    name: str
    input: bytes

    def __repr__(self) -> str:
        return f"ToolUse({self.name!r})"  # the input is the caller's


MAX_EXPLANATION = 300
"""Characters of the explanation of a verdict."""


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class Verdict:
    """What was decided about one tool call.

    `outcome` is pass, flag, or unavailable: the client decides itself. `explanation` is for the person and the model;
    of `unavailable` it is the reason. It has at most MAX_EXPLANATION characters, and no control characters.
    `decided_by` is rule, classifier, undecided (the setting of that name), or server: the model server's own verdict.
    `rule` is the name of the rule, `model` the classifier's `backend/model`. `dry_run` are the names of rules in mode
    dry_run that would have decided otherwise.
    """

    tool_use: ToolUse
    outcome: Literal["pass", "flag", "unavailable"]
    explanation: str = ""
    decided_by: Literal["rule", "classifier", "undecided", "server"]
    rule: str = ""
    model: str = ""
    milliseconds: float = 0.0
    dry_run: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Verdict({self.outcome}, {self.decided_by})"  # without the input
