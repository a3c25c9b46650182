"""The variables of a rule: what a request is and who sends it, each worked out when a rule first reads it.

    jwt        the token's claims; those in `list_claims`, `scope` and `scp` are lists even where the token has a string
    identity   subject, issuer, provider: who calls, as verified
    request    method, path (under the mount), host, scheme, headers (lower-case names), query (the raw string),
               clientIp (the connection's, never a header's), time
    source     address: the same as request.clientIp
    llm        the call: requestModel, streaming, maxTokens, toolNames, messageCount, hasImages,
               inputTokensEstimate, sessionId, agentId, requestClass; and the candidate: model, provider, backend
    env        variables of the environment that the settings allow

A gateway may have further ones, each a function of the host's (`variables=`).

Credentials are not among the headers: no rule needs them, and what a rule sees an `explain` prints.
"""

from __future__ import annotations

import os
import re
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from asgi_llmgate._types import Scope
from asgi_llmgate.asgi import local_path
from asgi_llmgate.cel import EvaluationError, Fields, Timestamp
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.exchange import KEY, Exchange
from asgi_llmgate.exchange_values import Call, Identity, Target

Variable = Callable[[Exchange, Scope], Any]
"""The value of a further rule variable for one request: what JSON can hold.

Called when a rule first reads the variable.  If it raises, the rule cannot be evaluated, and denies.
"""

LIST_CLAIMS = ("groups", "roles")
"""Claims that are lists by meaning; identity providers send a lone member as a string."""

CREDENTIALS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key"})

NO_ENV: Mapping[str, str] = MappingProxyType({})

NO_VARIABLES: Mapping[str, Variable] = MappingProxyType({})

_SCOPES = ("scope", "scp")

_REQUEST: Mapping[str, Callable[[_RequestParts], Any]] = {
    "method": lambda request: request.method,
    "path": lambda request: local_path(request.scope),
    "host": lambda request: request.headers.get("host", "").lower(),
    "scheme": lambda request: request.scope.get("scheme", "http"),
    "headers": lambda request: {k: v for k, v in request.headers.items() if k not in CREDENTIALS},
    "query": lambda request: request.scope.get("query_string", b"").decode("latin-1"),
    "clientIp": lambda request: request.client,
    "time": lambda request: Timestamp(int(request.started_at * 1e9)),
}
_CALL: Mapping[str, Callable[[Call], Any]] = {
    "requestModel": lambda call: call.request.model,
    "streaming": lambda call: call.request.stream,
    "maxTokens": lambda call: call.request.max_tokens,
    "toolNames": lambda call: list(call.request.tool_names),
    "messageCount": lambda call: call.request.message_count,
    "hasImages": lambda call: call.request.has_images,
    "inputTokensEstimate": lambda call: call.request.input_tokens_estimate,
    "sessionId": lambda call: call.session_id,
    "agentId": lambda call: call.agent_id,
    "requestClass": lambda call: call.request.request_class or call.request_class,
}
_CANDIDATE: Mapping[str, Callable[[Target], Any]] = {
    "model": lambda target: target.model,
    "provider": lambda target: target.vendor,
    "backend": lambda target: target.backend,
}

CANDIDATE = frozenset(f"llm.{name}" for name in _CANDIDATE)
"""References that differ between the targets of one call."""


class Reading(Protocol):
    """An expression: `references` are the dotted names that it reads."""

    @property
    def references(self) -> frozenset[str]: ...


CALLER = frozenset({"jwt", "identity", "env"})
"""Variables that are the same in all requests of one caller, as long as the token is cached."""


def reads_only(variables: Set[str], *expressions: Reading, candidate: bool = False) -> bool:
    """Whether the expressions read no other variables; with `candidate`, none but these and the target."""
    names = frozenset[str]().union(*(expression.references for expression in expressions))
    rest = names - CANDIDATE if candidate else names
    return all(name.partition(".")[0] in variables for name in rest)


def reads_call(*expressions: Reading) -> bool:
    """Whether any of the expressions reads `llm.*`, which only the body of a call tells."""
    return any(name.partition(".")[0] == "llm" for expression in expressions for name in expression.references)


def fields_of(env: Iterable[str] = (), *, candidate: bool = True, further: Iterable[str] = ()) -> Fields:
    """The variables with their fields, for `cel.compile_rule`.  Without `candidate`: before a target is chosen.

    `further` are the names of the host's own variables.  Raises SettingsError for one that cannot be used.
    """
    llm = [*_CALL, *_CANDIDATE] if candidate else [*_CALL]
    fields: dict[str, Mapping[str, Any] | None] = {
        "jwt": None,
        "identity": dict.fromkeys(("subject", "issuer", "provider")),
        "request": dict.fromkeys(_REQUEST),
        "source": {"address": None},
        "llm": dict.fromkeys(llm),
        "env": dict.fromkeys(env),
    }
    for name in further:
        if name in fields:
            raise SettingsError("this is a variable of the gateway's own", path=f"variables.{name}")
        if not _NAME.fullmatch(name) or name in _RESERVED:
            hint = "letters, digits and underscores, and no reserved word of CEL"
            raise SettingsError("not a name that CEL can read", path=f"variables.{name}", hint=hint)
        fields[name] = None
    return fields


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = frozenset(
    {"true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import"}
    | {"let", "loop", "package", "namespace", "return", "var", "void", "while"}
)
"""https://github.com/google/cel-spec/blob/master/doc/langdef.md#syntax"""


class Computed(dict[str, Any]):
    """A map for rules, whose missing members are worked out by `_compute` and kept."""

    __slots__ = ()

    def _compute(self, name: str) -> Any:
        raise NotImplementedError

    def __missing__(self, name: str) -> Any:
        value = self[name] = self._compute(name)
        return value

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"


class _RequestParts(NamedTuple):
    """What `request` is computed from. `scope` is a copy without the exchange, which holds the variables: a reference
    cycle would keep the body of each request until the garbage collector runs."""

    method: str
    headers: Mapping[str, str]
    client: str
    started_at: float
    scope: Scope

    def __repr__(self) -> str:
        return "_RequestParts(...)"  # headers hold tokens, and a traceback may show variables


class _Request(Computed):
    __slots__ = ("_parts",)

    def __init__(self, parts: _RequestParts) -> None:
        self._parts = parts

    def _compute(self, name: str) -> Any:
        return _REQUEST[name](self._parts)

    def __contains__(self, name: object) -> bool:
        return name in _REQUEST


class _LLM(Computed):
    """What is not known (no call, no target) is neither present nor missing: reading it raises EvaluationError."""

    __slots__ = ("_call", "_name", "_target")

    def __init__(self, call: Call | None, target: Target | None, name: str = "") -> None:
        self._call, self._target, self._name = call, target, name

    def _compute(self, name: str) -> Any:
        if name in _CANDIDATE:
            if self._target is not None and (value := _CANDIDATE[name](self._target)):
                return value  # a passthrough may have no model name
        elif self._call is not None:
            return _CALL[name](self._call)
        elif name == "requestModel" and self._name:
            return self._name
        raise EvaluationError("unknown", f"llm.{name} is not known here", missing=f"llm.{name}")

    def __contains__(self, name: object) -> bool:
        return name in _CALL or name in _CANDIDATE


class CallerVariables(Computed):
    """The variables in CALLER: what rules may read of a caller, whatever the request is.

    `list_claims` are claims that are lists even where the token has a single string; `env` are variables of the
    environment.
    """

    __slots__ = ("_env", "_identity", "_list_claims")

    def __init__(
        self, identity: Identity, list_claims: Sequence[str] = LIST_CLAIMS, env: Mapping[str, str] = NO_ENV
    ) -> None:
        self._identity, self._list_claims, self._env = identity, list_claims, env

    @property
    def cache(self) -> dict[Any, Any]:
        """For what is worked out from these variables alone; see Identity."""
        return self._identity.cache

    def _compute(self, name: str) -> Any:
        match name:
            case "jwt":
                return claims_of(self._identity, self._list_claims)
            case "identity":
                identity = self._identity
                return {"subject": identity.subject, "issuer": identity.issuer, "provider": identity.provider}
            case "env":
                return self._env
        raise KeyError(name)

    def about(self, target: Target | None, *, name: str = "") -> CallerVariables:
        """The same with this target as the candidate. What has been computed is shared.

        `name` is the model that a call would ask for, where there is no call.
        """
        variables = CallerVariables(self._identity, self._list_claims, self._env)
        variables.update(self)
        variables["llm"] = _LLM(None, target, name)
        return variables


class RuleVariables(CallerVariables):
    """The variables of one request, as they are when this is made: for a later identity or call make them anew.

    `list_claims` and `env` as in CallerVariables.
    """

    __slots__ = ("_call", "_exchange", "_parts")

    def __init__(
        self,
        scope: Scope,
        exchange: Exchange,
        list_claims: Sequence[str] = LIST_CLAIMS,
        env: Mapping[str, str] = NO_ENV,
    ) -> None:
        super().__init__(exchange.identity, list_claims, env)
        self._call = exchange.call
        # For further variables alone.  A strong reference would be a cycle, see _RequestParts.
        self._exchange = weakref.ref(exchange)
        without_exchange = dict(scope)
        without_exchange.pop(KEY, None)
        self._parts = _RequestParts(
            exchange.method, exchange.headers, exchange.client, exchange.started_at, without_exchange
        )

    def _compute(self, name: str) -> Any:
        match name:
            case "llm":
                return _LLM(self._call, None)
            case "request":
                return _Request(self._parts)
            case "source":
                return {"address": self._parts.client}
        if name in CALLER:
            return super()._compute(name)
        exchange = self._exchange()
        if exchange is None or name not in exchange.further_variables:
            raise KeyError(name)
        return exchange.further_variables[name](exchange, self._parts.scope)

    def about(self, target: Target | None, *, name: str = "") -> RuleVariables:
        variables = RuleVariables.__new__(RuleVariables)
        variables.update(self)
        variables._identity, variables._list_claims, variables._env = self._identity, self._list_claims, self._env
        variables._call, variables._exchange, variables._parts = self._call, self._exchange, self._parts
        variables["llm"] = _LLM(self._call, target, name)
        return variables

    def update_for(self, scope: Scope, exchange: Exchange, list_claims: Sequence[str], env: Mapping[str, str]) -> bool:
        """Whether these variables serve another layer of the same request; if so, they now include its call and env.

        They do not where the caller has been identified since, or the request looks different to that layer (the path
        under a mount).
        """
        if self._identity is not exchange.identity or self._list_claims != list_claims:
            return False
        seen = self._parts.scope
        if scope["path"] != seen["path"] or scope.get("root_path") != seen.get("root_path"):
            return False
        if env and env is not self._env:
            self._env = env
            self.pop("env", None)
        if exchange.call is not self._call:
            self._call = exchange.call
            self.pop("llm", None)
        return True


def variables_of(
    scope: Scope,
    exchange: Exchange,
    list_claims: Sequence[str] = LIST_CLAIMS,
    env: Mapping[str, str] = NO_ENV,
    further: Mapping[str, Variable] = NO_VARIABLES,
) -> RuleVariables:
    """The variables of a request for which no target is chosen yet: built once and shared by its layers.

    `further` are those of the host, for a layer that has them from no gateway.
    """
    if further:
        exchange.further_variables = further
    found = exchange.variables
    if not isinstance(found, RuleVariables) or not found.update_for(scope, exchange, list_claims, env):
        found = exchange.variables = RuleVariables(scope, exchange, list_claims, env)
    return found


def claims_of(identity: Identity, list_claims: Sequence[str]) -> Mapping[str, Any]:
    """`jwt`: the caller's claims, normalized once for each token."""
    key = ("jwt", tuple(list_claims))
    found: Mapping[str, Any] | None = identity.cache.get(key)
    if found is None:
        found = identity.cache[key] = normalize_claims(identity.claims, list_claims)
    return found


def normalize_claims(claims: Mapping[str, Any], names: Sequence[str]) -> Mapping[str, Any]:
    """The claims, with a string in one of `names` as a list of one, and scopes split at spaces (RFC 8693 4.2).

    A claim that is not there stays absent: an identity provider that left a person's groups out for their number
    (Entra's overage) does not mean that there are none.
    """
    changed = {name: [claims[name]] for name in names if type(claims.get(name)) is str}
    changed |= {name: claims[name].split() for name in _SCOPES if type(claims.get(name)) is str}
    return {**claims, **changed} if changed else claims


def read_env(names: Iterable[str]) -> dict[str, str]:
    """The allowed variables of the environment, read once; one that is not set is missing."""
    return dict(_set(names))


def _set(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        if (value := os.environ.get(name)) is not None:
            yield name, value
