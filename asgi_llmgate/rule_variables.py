"""The variables of a rule: what a request is and who sends it, each worked out when a rule first reads it.

    jwt        the token's claims; those in `list_claims`, `scope` and `scp` are lists even where the token has a string
    identity   subject, issuer, provider: who calls, as verified
    request    method, path (under the mount), host, scheme, headers (lower-case names), query (the raw string),
               clientIp (the connection's, never a header's), time
    source     address: the same as request.clientIp
    llm        what is asked: requestModel, streaming, maxTokens, toolNames, messageCount, hasImages,
               inputTokensEstimate, sessionId, agentId, requestClass; and who may answer: model, provider, backend
    env        variables of the environment that the settings allow

Credentials are not among the headers: no rule needs them, and what a rule sees an `explain` prints.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

from asgi_llmgate._types import Scope
from asgi_llmgate.asgi import local_path
from asgi_llmgate.cel import EvaluationError, Fields, Timestamp
from asgi_llmgate.exchange import Call, Exchange, Target

Variable = Callable[[Exchange, Scope], Any]
"""The value of a further rule variable for one request: what JSON can hold."""

LIST_CLAIMS = ("groups", "roles")
"""Claims that are lists by meaning; identity providers send a lone member as a string."""

CREDENTIALS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key"})

_SCOPES = ("scope", "scp")

_REQUEST: Mapping[str, Callable[[Exchange, Scope], Any]] = {
    "method": lambda exchange, scope: exchange.method,
    "path": lambda exchange, scope: local_path(scope),
    "host": lambda exchange, scope: exchange.headers.get("host", "").lower(),
    "scheme": lambda exchange, scope: scope.get("scheme", "http"),
    "headers": lambda exchange, scope: {k: v for k, v in exchange.headers.items() if k not in CREDENTIALS},
    "query": lambda exchange, scope: scope.get("query_string", b"").decode("latin-1"),
    "clientIp": lambda exchange, scope: exchange.client,
    "time": lambda exchange, scope: Timestamp(int(exchange.started_at * 1e9)),
}
_ASKED: Mapping[str, Callable[[Call], Any]] = {
    "requestModel": lambda call: call.asked.model,
    "streaming": lambda call: call.asked.stream,
    "maxTokens": lambda call: call.asked.max_tokens,
    "toolNames": lambda call: list(call.asked.tool_names),
    "messageCount": lambda call: call.asked.message_count,
    "hasImages": lambda call: call.asked.has_images,
    "inputTokensEstimate": lambda call: call.asked.input_tokens_estimate,
    "sessionId": lambda call: call.session_id,
    "agentId": lambda call: call.agent_id,
    "requestClass": lambda call: call.request_class,
}
_CANDIDATE: Mapping[str, Callable[[Target], Any]] = {
    "model": lambda target: target.model,
    "provider": lambda target: target.provider,
    "backend": lambda target: target.backend,
}

CANDIDATE = frozenset(f"llm.{name}" for name in _CANDIDATE)
"""References that differ between the targets of one call."""


class Reading(Protocol):
    """An expression: `references` are the dotted names that it reads."""

    @property
    def references(self) -> frozenset[str]: ...


def reads_call(*expressions: Reading) -> bool:
    """Whether any of the expressions reads `llm.*`, which only the body of a call tells."""
    return any(name.partition(".")[0] == "llm" for expression in expressions for name in expression.references)


def fields_of(env: Iterable[str] = (), *, candidate: bool = True) -> Fields:
    """The variables with their fields, for `cel.compile_rule`.  Without `candidate`: before a target is chosen."""
    llm = [*_ASKED, *_CANDIDATE] if candidate else [*_ASKED]
    return {
        "jwt": None,
        "identity": dict.fromkeys(("subject", "issuer", "provider")),
        "request": dict.fromkeys(_REQUEST),
        "source": {"address": None},
        "llm": dict.fromkeys(llm),
        "env": dict.fromkeys(env),
    }


class _Computed(dict[str, Any]):
    """A dict whose missing members are worked out by `_compute` and kept."""

    __slots__ = ()

    def _compute(self, name: str) -> Any:
        raise NotImplementedError

    def __missing__(self, name: str) -> Any:
        value = self[name] = self._compute(name)
        return value


class _Request(_Computed):
    __slots__ = ("_exchange", "_scope")

    def __init__(self, exchange: Exchange, scope: Scope) -> None:
        self._exchange, self._scope = exchange, scope

    def _compute(self, name: str) -> Any:
        return _REQUEST[name](self._exchange, self._scope)

    def __contains__(self, name: object) -> bool:
        return name in _REQUEST


class _LLM(_Computed):
    """What is not known (no call, no target) is neither there nor missing: reading it says so."""

    __slots__ = ("_call", "_name", "_target")

    def __init__(self, call: Call | None, target: Target | None, name: str = "") -> None:
        self._call, self._target, self._name = call, target, name

    def _compute(self, name: str) -> Any:
        if name in _CANDIDATE:
            if self._target is not None and (value := _CANDIDATE[name](self._target)):
                return value  # of a passthrough nobody may know the model
        elif self._call is not None:
            return _ASKED[name](self._call)
        elif name == "requestModel" and self._name:
            return self._name
        raise EvaluationError("unknown", f"llm.{name} is not known here", missing=f"llm.{name}")

    def __contains__(self, name: object) -> bool:
        return name in _ASKED or name in _CANDIDATE


class Facts(_Computed):
    """The variables of one request."""

    __slots__ = ("_env", "_exchange", "_list_claims", "_scope")

    def __init__(
        self,
        scope: Scope,
        exchange: Exchange,
        list_claims: Sequence[str] = LIST_CLAIMS,
        env: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._scope, self._exchange, self._list_claims, self._env = scope, exchange, list_claims, env

    def _compute(self, name: str) -> Any:
        exchange = self._exchange
        match name:
            case "jwt":
                return listed(exchange.identity.claims, self._list_claims)
            case "llm":
                return _LLM(exchange.call, None)
            case "request":
                return _Request(exchange, self._scope)
            case "identity":
                identity = exchange.identity
                return {"subject": identity.subject, "issuer": identity.issuer, "provider": identity.provider}
            case "source":
                return {"address": exchange.client}
            case "env":
                return self._env
        raise KeyError(name)

    def about(self, target: Target | None, *, name: str = "") -> Facts:
        """The same with this target as the candidate; what is known already is shared.

        `name` is what a call would ask for, where there is none yet.
        """
        facts = Facts(self._scope, self._exchange, self._list_claims, self._env)
        facts.update(self)
        facts["llm"] = _LLM(self._exchange.call, target, name)
        return facts


def facts(scope: Scope, exchange: Exchange, list_claims: Sequence[str] = LIST_CLAIMS) -> Facts:
    """The variables of a request for which no target is chosen yet."""
    return Facts(scope, exchange, list_claims)


def listed(claims: Mapping[str, Any], names: Sequence[str]) -> Mapping[str, Any]:
    """The claims, with a string in one of `names` as a list of one, and scopes split at spaces (RFC 8693 4.2).

    A claim that is not there stays absent: an identity provider that left a person's groups out for their number
    (Entra's overage) has not said that there are none.
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
