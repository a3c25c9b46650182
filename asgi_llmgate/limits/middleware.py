"""LimitMiddleware: how often requests are admitted, and how many at once.

It comes after policy, so that a refused request is not counted.  Slots (`concurrency`) are given back at the end, so
those whose `key` and `when` read no `llm.*` are taken before the body is read, and limit uploads too.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Hashable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec

from asgi_llmgate._types import ASGIApp, Message, Receive, Scope, Send
from asgi_llmgate.asgi import refuse
from asgi_llmgate.cel import EvaluationError, Expression, Fields, compile_rule
from asgi_llmgate.errors import RateLimited, SettingsError
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.exchange_values import Identity
from asgi_llmgate.limits.rates import Rate, in_words
from asgi_llmgate.limits.store import Claim, MemoryStore, Quota, Shortage, Store
from asgi_llmgate.mistakes import Mistakes
from asgi_llmgate.rule_variables import (
    CALLER,
    LIST_CLAIMS,
    NO_VARIABLES,
    CallerVariables,
    RuleVariables,
    Variable,
    fields_of,
    reads_call,
    reads_only,
    variables_of,
)
from asgi_llmgate.running_state import RunningState

log = logging.getLogger("llmgate")

MAX_CLIENT_WAIT = 60.0
"""Seconds that Anthropic's clients wait at most before a retry.  A longer wait is sent with `x-should-retry: false`."""

_LONGEST_KEY = 256  # characters; a longer text is kept as its hash
_SHARED_BUCKET = ""  # of all callers for whom the key has no value


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
    """Responds with 429 and an exact `retry-after`: a request after that time is admitted, unless another one with the
    same key came first.

    Counts in `store`; by default in the memory of this worker process, where `state` keeps the counts.  All responses
    carry `anthropic-ratelimit-requests-limit`, `-remaining` and `-reset` of the rate with the fewest requests left.
    `list_claims` and `variables` as in PolicyMiddleware.  Raises SettingsError (`limits[0].requests`).
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
        mistakes = Mistakes()
        self._limits: list[_Compiled] = []
        names = [limit.name for limit in limits]
        for index, limit in enumerate(limits):
            with mistakes.under(f"limits[{index}]"):
                self._limits += _compiled(limit, fields)
            if limit.name in names[:index]:
                mistakes.add(SettingsError(f"two limits are named {limit.name!r}", path=f"limits[{index}].name"))
        mistakes.raise_if_any()
        if store is None:
            state = RunningState() if state is None else state
            self._store: Store = state.keep("limits", "", None, MemoryStore)
        else:
            self._store = store
        self._list_claims = tuple(list_claims)
        if limits and store is None:
            log.warning("limits are counted per worker process: n workers admit n times %s", ", ".join(names))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._limits:
            await self._admit(self._limits, self.app, scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def before_body(self, app: ASGIApp) -> ASGIApp:
        """A layer around `app` that takes the slots (`concurrency`) for which the body is not needed.

        From then on this layer does not take them.  Gateway puts it in front of the ResolveMiddleware.
        """
        # Each limit is in one of the two lists only: otherwise a request would take two of its slots.
        slots = [limit for limit in self._limits if limit.before_body]
        self._limits = [limit for limit in self._limits if not limit.before_body]
        return partial(self._admit, slots, app) if slots else app

    async def _admit(
        self, limits: Sequence[_Compiled], app: ASGIApp, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if scope["type"] not in ("http", "websocket"):
            await app(scope, receive, send)
            return
        scope, exchange = Exchange.enter(scope)
        claims = self._claims(limits, scope, exchange)
        admission = await self._store.admit(claims)
        if admission.quota is not None:
            send = _with_quota_headers(send, admission.quota, exchange)
        if admission.shortage is not None:
            await refuse(scope, receive, send, _rate_limited(admission.shortage))
            return
        try:
            await app(scope, receive, send)
        finally:  # also where the client leaves or the server cancels: a slot that is kept would never be free again
            self._store.release(claims)

    def _claims(self, limits: Sequence[_Compiled], scope: Scope, exchange: Exchange) -> list[Claim]:
        found = []
        variables: RuleVariables | None = None
        for limit in limits:
            if limit.by_caller:
                claim = limit.claim_of(exchange.identity, self._list_claims)
            else:
                variables = variables or self._variables_of(scope, exchange)
                claim = limit.claim(variables)
            if claim is not None:
                found.append(claim)
        return found

    def _variables_of(self, scope: Scope, exchange: Exchange) -> RuleVariables:
        variables = variables_of(scope, exchange, self._list_claims, further=self._variables)
        if exchange.call is not None and exchange.call.candidates:
            return variables.about(exchange.call.candidates[0])
        return variables


def _compiled(limit: Limit, fields: Fields) -> list[_Compiled]:
    """The limit's concurrency and its rate, as two.  Raises SettingsError."""
    mistakes = Mistakes()
    parts: list[_Compiled] = []
    if limit.requests is None and limit.concurrency is None:
        hint = 'such as requests: "60/minute"'
        about = ("requests", "concurrency")
        mistakes.add(SettingsError("a limit needs requests or concurrency", hint=hint, rests_on=about))
    if limit.concurrency is not None and limit.concurrency < 1:
        mistakes.add(SettingsError("must be at least 1", path="concurrency"))
    rate = key = when = None
    with mistakes.under("requests"):
        rate = None if limit.requests is None else _parse_rate(limit.requests)
    with mistakes.under("key"):
        key = compile_rule(limit.key, variables=fields)
    with mistakes.under("when"):
        when = None if limit.when is None else compile_rule(limit.when, variables=fields)
    mistakes.raise_if_any()
    assert key is not None
    if limit.concurrency is not None:
        parts.append(_Compiled(limit.name, key, when, concurrency=limit.concurrency))
    if rate is not None:
        parts.append(_Compiled(limit.name, key, when, rate=rate))
    return parts


class _Compiled:
    """A rate or a concurrency, with its expressions.

    `before_body`: it can be claimed before the body is read.  `by_caller`: its claims depend on the caller alone.
    """

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
        expressions = [key] if when is None else [key, when]
        self.before_body = concurrency is not None and not reads_call(*expressions)
        self.by_caller = reads_only(CALLER, *expressions)

    def claim_of(self, identity: Identity, list_claims: Sequence[str]) -> Claim | None:
        """The claim of this caller, worked out once for each token."""
        if self in identity.cache:
            kept: Claim | None = identity.cache[self]
            return kept
        claim = identity.cache[self] = self.claim(CallerVariables(identity, list_claims))
        return claim

    def claim(self, variables: CallerVariables) -> Claim | None:
        """The claim of this request on the limit; None if the limit does not count it.

        A limit that reads `llm.*` does not count requests that are no calls.
        """
        try:
            if self._when is not None and _evaluate(self._when, variables, default=True) is False:
                return None
            key = _evaluate(self._key, variables, default=_SHARED_BUCKET)
        except EvaluationError:
            return None
        return Claim(self._name, _bucket(key), self._rate, self._concurrency)


def _evaluate(expression: Expression, variables: CallerVariables, *, default: Any) -> Any:
    """The value; `default` where there is none.  Raises EvaluationError for what is not known of this request."""
    try:
        return expression.evaluate(variables)
    except EvaluationError as error:
        if error.kind == "unknown":
            raise
        return default


def _bucket(value: Any) -> Hashable:
    """The name of the bucket for a value of `key`.  Strings and integers have their own; values of other types share
    one bucket."""
    if isinstance(value, str):
        # A long key is hashed, because the store keeps up to 100,000 keys.  Python's hash is keyed per process, so a
        # caller cannot construct a value that has another caller's hash.
        return value if len(value) <= _LONGEST_KEY else hash(value)
    return value if isinstance(value, int) else _SHARED_BUCKET


def _parse_rate(text: str) -> Rate:
    try:
        return Rate.parse(text)
    except ValueError as error:
        raise SettingsError(str(error), hint="such as 60/minute") from None


def _with_quota_headers(send: Send, quota: Quota, exchange: Exchange) -> Send:
    """`send` with the headers of https://platform.claude.com/docs/en/api/rate-limits#response-headers."""
    reset = datetime.fromtimestamp(math.ceil(exchange.started_at + quota.reset), UTC)
    headers = [
        (b"anthropic-ratelimit-requests-limit", b"%d" % quota.limit),
        (b"anthropic-ratelimit-requests-remaining", b"%d" % quota.remaining),
        (b"anthropic-ratelimit-requests-reset", reset.strftime("%Y-%m-%dT%H:%M:%SZ").encode("ascii")),
    ]

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *headers]}
        await send(message)

    return send_with_headers


def _rate_limited(shortage: Shortage) -> RateLimited:
    message = f"too many requests: {shortage.claim.limit!r} is limited to {shortage.limited_to}"
    told = f"{message}; try again in {in_words(shortage.wait)}"
    error = RateLimited(message, client_message=told, retry_after=shortage.wait)
    if shortage.wait > MAX_CLIENT_WAIT:
        error.should_retry = False
    return error
