"""LimitMiddleware: how often, and how many at once.  After policy: whoever is refused uses up nobody's share.

But a slot is only lent: where its key needs nothing of the body it is taken before the body is read, so that it bounds
uploads, too.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec

from asgi_llmgate._types import ASGIApp, Message, Receive, Scope, Send
from asgi_llmgate.asgi import refuse
from asgi_llmgate.cel import CompileError, EvaluationError, Expression, Fields, compile_rule
from asgi_llmgate.errors import RateLimited, SettingsError
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.limits.rates import Rate
from asgi_llmgate.limits.store import Claim, MemoryStore, Quota, Shortage, Store
from asgi_llmgate.rule_variables import (
    LIST_CLAIMS,
    NO_VARIABLES,
    RuleVariables,
    Variable,
    fields_of,
    reads_call,
    variables_of,
)
from asgi_llmgate.running_state import RunningState

log = logging.getLogger("llmgate")

PATIENCE = 60.0
"""Seconds that Anthropic's clients wait at the most; beyond them `x-should-retry: false` says that it is no use."""

_LONGEST_KEY = 256
_NOBODY = ""


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rate (`requests: "60/minute"`), or a number of requests at once (`concurrency`), or both.

    They are counted per value of the CEL expression `key` (`jwt.team`); callers for whom it has no value share one
    count.  `when` says which requests count; those for which it cannot be evaluated do.
    """

    name: str
    key: str
    requests: str | None = None
    concurrency: int | None = None
    when: str | None = None


class LimitMiddleware:
    """Answers 429 with a `retry-after` that is true: who waits so long, and is alone, gets in.

    Counts in `store`, by default in the memory of this worker process.  Answers, refusals and others, carry
    `anthropic-ratelimit-requests-limit`, `-remaining` and `-reset` of the rate that has least left.  `list_claims` and
    `variables` as in PolicyMiddleware.  Raises SettingsError (`limits[0].requests`).
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limits: Sequence[Limit],
        store: Store | None = None,
        state: RunningState | None = None,
        list_claims: Sequence[str] = LIST_CLAIMS,
        variables: Mapping[str, Variable] = NO_VARIABLES,
    ) -> None:
        self.app = app
        self._variables = variables
        fields = fields_of(further=variables)
        self._limits = [
            part for index, limit in enumerate(limits) for part in _compiled(limit, fields, f"limits[{index}]")
        ]
        names = [limit.name for limit in limits]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise SettingsError(f"two limits are named {name!r}", path=f"limits[{index}].name")
        if store is None:
            state = RunningState() if state is None else state
            self._store: Store = state.keep("limits", "", None, MemoryStore)
        else:
            self._store = store
        self._list_claims = tuple(list_claims)
        if limits and store is None:
            log.warning("limits are counted per worker process: n workers admit n times %s", ", ".join(names))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._admit(self._limits, self.app, scope, receive, send)

    def before_body(self, app: ASGIApp) -> ASGIApp:
        """A layer around `app` that takes the slots (`concurrency`) for which nothing of the body is needed.

        This layer then takes them no more.  Gateway puts it in front of the ResolveMiddleware.
        """
        slots = [limit for limit in self._limits if limit.before_body]
        self._limits = [limit for limit in self._limits if not limit.before_body]
        return partial(self._admit, slots, app)

    async def _admit(
        self, limits: Sequence[_Compiled], app: ASGIApp, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if not limits or scope["type"] not in ("http", "websocket"):
            await app(scope, receive, send)
            return
        scope, exchange = Exchange.enter(scope)
        claims = self._claims(limits, scope, exchange)
        admission = await self._store.admit(claims)
        if admission.quota is not None:
            send = _telling(send, admission.quota, exchange)
        if admission.shortage is not None:
            await refuse(scope, receive, send, _too_much(admission.shortage))
            return
        try:
            await app(scope, receive, send)
        finally:
            self._store.release(claims)

    def _claims(self, limits: Sequence[_Compiled], scope: Scope, exchange: Exchange) -> list[Claim]:
        if self._variables:
            exchange.further_variables = self._variables
        variables = variables_of(scope, exchange, self._list_claims)
        if exchange.call is not None and exchange.call.candidates:
            variables = variables.about(exchange.call.candidates[0])
        found = (limit.claim(variables) for limit in limits)
        return [claim for claim in found if claim is not None]


def _compiled(limit: Limit, fields: Fields, path: str) -> Iterator[_Compiled]:
    """The limit's slots and its rate, each by itself."""
    if limit.requests is None and limit.concurrency is None:
        raise SettingsError("say how much: requests or concurrency", path=path)
    if limit.concurrency is not None and limit.concurrency < 1:
        raise SettingsError("at least 1", path=f"{path}.concurrency")
    rate = None if limit.requests is None else _rate(limit.requests, f"{path}.requests")
    key = _compile(limit.key, fields, f"{path}.key")
    when = None if limit.when is None else _compile(limit.when, fields, f"{path}.when")
    if limit.concurrency is not None:
        yield _Compiled(limit.name, key, when, concurrency=limit.concurrency)
    if rate is not None:
        yield _Compiled(limit.name, key, when, rate=rate)


class _Compiled:
    def __init__(
        self,
        name: str,
        key: Expression,
        when: Expression | None,
        *,
        rate: Rate | None = None,
        concurrency: int | None = None,
    ) -> None:
        self._name, self._key, self._when = name, key, when
        self._rate, self._concurrency = rate, concurrency
        self.before_body = concurrency is not None and not reads_call(*([key] if when is None else [key, when]))

    def claim(self, variables: RuleVariables) -> Claim | None:
        """What the request wants of this limit; None where it does not count.

        What reads `llm.*` has nothing to say of a request that is no call.
        """
        try:
            if self._when is not None and _value(self._when, variables, default=True) is False:
                return None
            key = _value(self._key, variables, default=_NOBODY)
        except EvaluationError:
            return None
        return Claim(self._name, _bucket(key), self._rate, self._concurrency)


def _value(expression: Expression, variables: RuleVariables, *, default: Any) -> Any:
    """The value; `default` where it has none.  Raises EvaluationError for what is not known of this request."""
    try:
        return expression.evaluate(variables)
    except EvaluationError as error:
        if error.kind == "unknown":
            raise
        return default


def _bucket(value: Any) -> Hashable:
    """Texts and whole numbers have buckets of their own, a long text by its hash; anything else shares nobody's."""
    if isinstance(value, str):
        return value if len(value) <= _LONGEST_KEY else hash(value)
    return value if isinstance(value, int) else _NOBODY


def _rate(text: str, path: str) -> Rate:
    try:
        return Rate.parse(text)
    except ValueError as error:
        raise SettingsError(str(error), path=path, hint="such as 60/minute") from None


def _compile(source: str, fields: Fields, path: str) -> Expression:
    try:
        return compile_rule(source, variables=fields)
    except CompileError as error:
        raise SettingsError(error.message, path=path) from None


def _telling(send: Send, quota: Quota, exchange: Exchange) -> Send:
    """Adds what is left to an answer's headers: https://platform.claude.com/docs/en/api/rate-limits#response-headers."""
    reset = datetime.fromtimestamp(math.ceil(exchange.started_at + quota.reset), UTC)
    headers = [
        (b"anthropic-ratelimit-requests-limit", b"%d" % quota.limit),
        (b"anthropic-ratelimit-requests-remaining", b"%d" % quota.remaining),
        (b"anthropic-ratelimit-requests-reset", reset.strftime("%Y-%m-%dT%H:%M:%SZ").encode("ascii")),
    ]

    async def telling(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *headers]}
        await send(message)

    return telling


def _too_much(shortage: Shortage) -> RateLimited:
    error = RateLimited(
        f"too many requests: {shortage.claim.limit!r} is limited to {shortage.limited_to}", retry_after=shortage.wait
    )
    if shortage.wait > PATIENCE:
        error.should_retry = False
    return error
