"""HTTPRoutes become rows and routes: the row that a request gets is the backend that agentgateway would choose."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from asgi_llmgate.cli.convert.kubernetes.matches import Match
from asgi_llmgate.cli.convert.kubernetes.routes import joined
from asgi_llmgate.errors import NotFound
from asgi_llmgate.policy import condition
from asgi_llmgate.routing import ModelRow, ModelTable
from tests.cli.convert.kubernetes.resources import backend, policy, resource, route, to
from tests.cli.convert.lab import Conversion, convert_text


def chosen(
    found: Conversion,
    path: str,
    headers: Mapping[str, str] | None = None,
    *,
    model: str = "claude",
    host: str = "gw:8080",
    method: str = "POST",
    query: str = "",
) -> str:
    """The first target of a request, by the real model table; "" where no row fits."""
    rows = found.settings["models"]
    table = ModelTable(
        [
            ModelRow(
                match=row["match"],
                use=(row["use"],) if isinstance(row["use"], str) else tuple(row["use"]),
                when=condition(row["when"]) if "when" in row else None,
            )
            for row in rows
        ],
        dict.fromkeys(found.settings["backends"], "x"),
    )
    request = {"path": path, "headers": headers or {}, "host": host, "method": method, "query": query}
    try:
        target = table.resolve(model, {"request": request, "jwt": {}})[0]
    except NotFound:
        return ""
    return f"{target.backend}/{target.model}"


BACKENDS = [backend({"openai": {"model": f"m{name}"}}, name) for name in "abc"]


def test_the_longest_prefix_wins_whatever_the_order(tmp_path: Path) -> None:
    rules = [to("a", path="/"), to("b", path="/team"), to("c", path="/team/x")]
    for number, order in enumerate([rules, rules[::-1], [rules[1], rules[2], rules[0]]]):
        folder = tmp_path / str(number)
        folder.mkdir()
        found = convert_text(folder, *BACKENDS, *(route(f"r{index}", rule) for index, rule in enumerate(order)))
        assert found.code == 0, found
        paths = {"/v1/messages": "a/ma", "/team/v1/messages": "b/mb", "/team/x/v1/messages": "c/mc", "/teams": "a/ma"}
        assert {path: chosen(found, path) for path in paths} == paths


def matched(**match: Any) -> dict[str, Any]:
    return {"matches": [{"path": {"type": "PathPrefix", "value": "/"}} | match]}


@pytest.mark.parametrize(
    ("match", "fits", "fits_not"),
    [
        (matched(path={"type": "Exact", "value": "/x"}), {"path": "/x"}, {"path": "/x/y"}),
        (matched(path={"type": "RegularExpression", "value": "/[a-c]+"}), {"path": "/abc"}, {"path": "/abcd"}),
        (matched(method="GET"), {"path": "/", "method": "GET"}, {"path": "/"}),
        (
            matched(headers=[{"name": "X-Tier", "value": "gold"}]),
            {"path": "/", "headers": {"x-tier": "gold"}},
            {"path": "/", "headers": {"x-tier": "golden"}},
        ),
        (
            matched(headers=[{"name": "x-tier", "type": "RegularExpression", "value": "g.*"}]),
            {"path": "/", "headers": {"x-tier": "gold"}},
            {"path": "/"},
        ),
        (
            matched(headers=[{"name": "authorization", "value": "Bearer x"}]),
            None,
            {"path": "/", "headers": {"authorization": "Bearer x"}},
        ),
        (
            matched(queryParams=[{"name": "v", "value": "1.0 a"}]),
            {"path": "/", "query": "a=b&v=1.0+a"},
            {"path": "/", "query": "v=1x0+a"},
        ),
    ],
    ids=["exact", "regex", "method", "header", "header regex", "credential", "query"],
)
def test_what_a_match_asks_for(match: Any, fits: Any, fits_not: Any, tmp_path: Path) -> None:
    path = "/abcd" if "RegularExpression" in str(match["matches"][0]["path"]) else "/"  # a prefix comes before a regex
    found = convert_text(tmp_path, *BACKENDS, route("special", to("b", **match)), route("rest", to("a", path=path)))
    assert found.code == 0, found
    assert fits is None or chosen(found, **fits) == "b/mb"
    assert chosen(found, **fits_not) == "a/ma"


def test_hosts(tmp_path: Path) -> None:
    found = convert_text(
        tmp_path,
        *BACKENDS,
        route("one", to("b", path="/"), hostnames=["llm.acme.test", "*.team.acme.test"]),
        route("rest", to("a", path="/v")),
    )
    hosts = {"llm.acme.test": "b/mb", "llm.acme.test:80": "b/mb", "x.team.acme.test": "b/mb", "llmxacme.test": ""}
    assert {host: chosen(found, "/x", host=host) for host in hosts} == hosts


def test_weights_become_an_order(tmp_path: Path) -> None:
    rule = to("a", "b", "c")
    for ref, weight in zip(rule["backendRefs"], (10, 90, 0), strict=True):
        ref["weight"] = weight
    found = convert_text(tmp_path, *BACKENDS, route("r", rule))
    assert found.settings["models"] == [{"match": "*", "use": ["b/mb", "a/ma"]}]
    assert "spec.rules[0].backendRefs: calls are not spread by weight" in found.said
    assert "spec.rules[0].backendRefs[2]: weight 0" in found.said


@pytest.mark.parametrize(
    ("kind", "path", "suffix", "whole"),
    [
        ("PathPrefix", "/v1/messages", "/v1/messages", "/v1/messages"),
        ("PathPrefix", "/", "/v1/messages", "/v1/messages"),
        ("PathPrefix", "/v1", "/v1/messages", "/v1/messages"),
        ("PathPrefix", "/openai", "/v1/messages", "/openai/v1/messages"),
        ("PathPrefix", "/openai/", "/v1/messages", "/openai/v1/messages"),
        ("PathPrefix", "/openai/v1", "/v1/messages", "/openai/v1/messages"),
        ("PathPrefix", "/v1/chat/completions", "/v1/messages", ""),
        ("Exact", "/openai", "/v1/messages", ""),
        ("Exact", "/openai/v1/messages", "/v1/messages", "/openai/v1/messages"),
    ],
)
def test_the_path_of_a_match_and_a_suffix(kind: str, path: str, suffix: str, whole: str) -> None:
    assert joined(Match(path, kind, "", ()), suffix) == whole


def test_routes_beside_the_default_ones(tmp_path: Path) -> None:
    formats = {"/v1/messages": "Messages", "/v1/chat/completions": "Completions", "/v1/embeddings": "Embeddings"}
    found = convert_text(
        tmp_path, backend(ai={"routes": formats | {"*": "Passthrough"}}), route("r", to("openai", path="/ai"))
    )
    assert found.code == 0, found
    assert found.settings["routes"] == {
        "/ai/v1/messages": "messages",
        "/ai/v1/messages/count_tokens": "count_tokens",
        "/ai/v1/models": "models",
        "/ai/v1/chat/completions": "completions",
        "/ai/v1/embeddings": {"passthrough": "openai"},
    }
    assert "spec.policies.ai.routes.*: Passthrough for *" in found.said


def test_aliases_and_overrides(tmp_path: Path) -> None:
    """agentgateway sets the provider's model first, then looks for an alias of it."""
    ai = {"modelAliases": {"fast": "gpt-5-nano", "claude-*": "gpt-4o", "claude-haiku-*": "gpt-5-mini"}}
    found = convert_text(tmp_path, backend({"openai": {}}, ai=ai))
    names = {"fast": "gpt-5-nano", "claude-haiku-4-5": "gpt-5-mini", "claude-opus-5": "gpt-4o", "other": "other"}
    assert {name: chosen(found, "/", model=name) for name in names} == {n: f"openai/{m}" for n, m in names.items()}

    fixed = convert_text(tmp_path, backend({"openai": {"model": "fast"}}, ai=ai))
    assert fixed.settings["models"] == [{"match": "*", "use": "openai/gpt-5-nano"}]

    body = {"overrides": [{"field": "model", "value": "m"}, {"field": "temperature", "value": 0.5}]}
    changed = convert_text(tmp_path, backend({"openai": {}}, ai=body))
    assert changed.settings["models"] == [{"match": "*", "use": "openai/m"}]
    assert changed.settings["backends"]["openai"]["extra_body"] == {"temperature": 0.5}


def test_policies_about_a_backend_are_merged(tmp_path: Path) -> None:
    """A policy < the backend < its provider, field by field."""
    providers = [
        {"name": "p", "openai": {"model": "m"}, "policies": {"auth": {"secretRef": {"name": "inner"}}}},
        {"name": "q", "openai": {"model": "m"}},
    ]
    spec = {"ai": {"groups": [{"providers": providers}]}, "policies": {"http": {"requestTimeout": "1m30s"}}}
    outer = {
        "auth": {"secretRef": {"name": "outer"}},
        "http": {"requestTimeout": "5s"},
        "tcp": {"connectTimeout": "2s"},
    }
    found = convert_text(
        tmp_path,
        resource("AgentgatewayBackend", "pool", spec),
        policy("a", target=("AgentgatewayBackend", "pool"), backend=outer),
    )
    assert found.code == 0, found
    assert {name: (each["api_key"], each["timeouts"]) for name, each in found.settings["backends"].items()} == {
        "pool-p": ("env:INNER_API_KEY", {"total": 90, "connect": 2}),
        "pool-q": ("env:OUTER_API_KEY", {"total": 90, "connect": 2}),
    }


def test_timeouts_of_routes(tmp_path: Path) -> None:
    found = convert_text(tmp_path, backend(), route("r", to("openai", timeouts={"request": "2m"})))
    assert found.settings["backends"]["openai"]["timeouts"] == {"total": 120}
    wrong = convert_text(tmp_path, backend(), route("r", to("openai", timeouts={"request": "2 minutes"})))
    assert "spec.rules[0].timeouts.request: must be a duration such as 30s or 5m" in wrong.said


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        ({"name": "web", "port": 80}, "Service web is no backend with models"),
        ({"name": "gone", "kind": "AgentgatewayBackend"}, "the files have no AgentgatewayBackend 'gone'"),
        ({"name": "mcp", "kind": "AgentgatewayBackend"}, "AgentgatewayBackend mcp has no models"),
    ],
)
def test_what_leads_to_no_model_is_said(ref: Any, words: str, tmp_path: Path) -> None:
    mcp = resource("AgentgatewayBackend", "mcp", {"mcp": {"targets": []}})
    found = convert_text(tmp_path, backend(), mcp, route("r", {"backendRefs": [ref]}, to("openai")))
    assert found.code == 0, found
    assert f"spec.rules[0].backendRefs[0]: {words}" in found.said


def test_a_policy_about_one_provider_of_a_backend(tmp_path: Path) -> None:
    providers = [{"name": name, "openai": {"model": "m"}} for name in "pq"]
    found = convert_text(
        tmp_path,
        resource("AgentgatewayBackend", "pool", {"ai": {"groups": [{"providers": providers}]}}),
        policy(target=("AgentgatewayBackend", "pool"), section="q", backend={"auth": {"secretRef": {"name": "s"}}}),
    )
    keys = {name: each.get("api_key") for name, each in found.settings["backends"].items()}
    assert keys == {"pool-p": None, "pool-q": "env:S_API_KEY"}
