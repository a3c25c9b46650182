"""Routes of a configuration file: rows with conditions, and policies with the scope of their route."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.convert.kubernetes.test_authorization import allowed
from tests.cli.convert.kubernetes.test_routes import chosen
from tests.cli.convert.lab import convert_text


def ai(name: str, model: str = "", provider: str = "openAI", **more: Any) -> dict[str, Any]:
    return {"ai": {"name": name, "provider": {provider: {"model": model} if model else {}}, **more}}


def file(*routes: Any, in_listener: bool = False, **listener: Any) -> str:
    if in_listener:
        return yaml.safe_dump({"binds": [{"port": 3000, "listeners": [{"routes": list(routes), **listener}]}]})
    return yaml.safe_dump({"routes": list(routes)})


def test_a_route_with_one_backend(tmp_path: Path) -> None:
    formats = {"/v1/messages": "messages", "/v1/chat/completions": "completions", "/v1/embeddings": "embeddings"}
    policies = {"ai": {"routes": formats | {"*": "passthrough"}}, "backendAuth": {"key": "$SPARK_KEY"}}
    backend = ai("spark", "Qwen/Qwen3", hostOverride="10.0.0.7:8000", policies=policies)
    for number, form in enumerate([True, False]):
        folder = tmp_path / str(number)
        folder.mkdir()
        found = convert_text(folder, file({"name": "r", "backends": [backend]}, in_listener=form))
        assert found.code == 0, found
        assert found.settings["backends"] == {
            "spark": {"base_url": "http://10.0.0.7:8000/v1", "dialect": "generic", "api_key": "env:SPARK_KEY"}
        }
        assert found.settings["models"] == [{"match": "*", "use": "spark/Qwen/Qwen3"}]
        assert found.settings["routes"] == {
            "/v1/chat/completions": "completions",
            "/v1/embeddings": {"passthrough": "spark"},
        }
        assert "ai.routes.*: Passthrough for *" in found.said


MATCHES: dict[str, tuple[Any, Any, Any]] = {
    "prefix": ({"path": {"pathPrefix": "/x"}}, {"path": "/x/v1/messages"}, {"path": "/xy"}),
    "exact": ({"path": {"exact": "/x"}}, {"path": "/x"}, {"path": "/x/y"}),
    "method": ({"method": "GET"}, {"path": "/", "method": "GET"}, {"path": "/"}),
    "header": (
        {"headers": [{"name": "x-a", "value": {"exact": "1"}}]},
        {"path": "/", "headers": {"x-a": "1"}},
        {"path": "/", "headers": {"x-a": "11"}},
    ),
    "header regex": (
        {"headers": [{"name": "x-a", "value": {"regex": "test-[0-9]"}}]},
        {"path": "/", "headers": {"x-a": "test-1"}},
        {"path": "/", "headers": {"x-a": "test-12"}},
    ),
    "query": (
        {"query": [{"name": "param", "value": {"exact": "hello"}}]},
        {"path": "/", "query": "param=hello"},
        {"path": "/", "query": "param=hell"},
    ),
}


@pytest.mark.parametrize(("match", "fits", "fits_not"), MATCHES.values(), ids=MATCHES)
def test_what_a_match_asks_for(match: Any, fits: Any, fits_not: Any, tmp_path: Path) -> None:
    routes = [{"backends": [ai("b", "mb")], "matches": [match]}, {"backends": [ai("a", "ma")]}]
    found = convert_text(tmp_path, file(*routes))
    assert found.code == 0, found
    assert chosen(found, **fits) == "b/mb"
    assert chosen(found, **fits_not) == "a/ma"


def test_rules_of_a_route_and_of_its_listener(tmp_path: Path) -> None:
    one = {
        "matches": [{"path": {"pathPrefix": "/one"}}],
        "backends": [ai("a", "m")],
        "policies": {"authorization": {"rules": [{"require": 'jwt.team == "a"'}]}},
    }
    two = {"matches": [{"path": {"pathPrefix": "/two"}}], "backends": [ai("b", "m")]}
    policies = {"authorization": {"rules": [{"deny": 'jwt.sub == "mallory"'}]}}
    found = convert_text(tmp_path, file(one, two, in_listener=True, policies=policies))
    expected = {
        ("/one/x", "a", "alice"): True,
        ("/one/x", "b", "alice"): False,
        ("/two/x", "b", "alice"): True,
        ("/two/x", "b", "mallory"): False,
    }
    assert {way: allowed(found, way[0], team=way[1], sub=way[2]) for way in expected} == expected


def test_groups_aliases_and_tls(tmp_path: Path) -> None:
    providers = [
        {"name": "p", "provider": {"openAI": {}}, "hostOverride": "h:8443", "policies": {"backendTLS": {}}},
        {"name": "q", "provider": {"vertex": {"projectId": "x", "model": "gemini-pro"}}},
    ]
    policies = {"ai": {"modelAliases": {"fast": "m1"}}, "backendAuth": {"gcp": {}}}
    found = convert_text(
        tmp_path, file({"backends": [{"ai": {"groups": [{"providers": providers}]}}], "policies": policies})
    )
    assert found.code == 0, found
    assert found.settings["backends"]["p"]["base_url"] == "https://h:8443/v1"
    assert found.settings["models"] == [
        {"match": "fast", "use": ["p/m1", "q/google/gemini-pro"]},
        {"match": "*", "use": ["p", "q/google/gemini-pro"]},
    ]
    assert "routes[0].policies.backendAuth.gcp: the credential is not converted" in found.said


@pytest.mark.parametrize(
    ("route", "words"),
    [
        ({"backends": [{"host": "web:80"}]}, "no model with a provider that is known here"),
        (
            {"backends": [ai("a")], "matches": [{"path": {"glob": "*"}}]},
            "path: must be one of exact, pathPrefix, regex",
        ),
        ({"backends": [ai("a", hostOverride="nowhere")]}, "hostOverride: must be HOST:PORT"),
    ],
)
def test_a_mistake_has_its_place(route: Any, words: str, tmp_path: Path) -> None:
    found = convert_text(tmp_path, file(route))
    assert found.code == 1
    assert "0.yaml:" in found.said
    assert words in found.said
