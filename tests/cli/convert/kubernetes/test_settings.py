"""Which policies apply to what: namespaces, sections, labels, and files that lack what a policy is attached to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.convert.kubernetes.resources import authorization, backend, policy, resource, route, to
from tests.cli.convert.kubernetes.test_authorization import allowed
from tests.cli.convert.lab import convert_text

GATEWAY = resource("Gateway", "gw", {"gatewayClassName": "agentgateway", "listeners": [{"name": "http", "port": 80}]})


def in_namespace(document: str, namespace: str) -> str:
    return document.replace("\nspec:", f"\n  namespace: {namespace}\nspec:", 1)


def test_a_policy_is_about_the_resources_of_its_namespace(tmp_path: Path) -> None:
    """Two teams have a route and a backend of the same name each."""
    team = [
        in_namespace(document, name)
        for name in ("a", "b")
        for document in (
            backend({"openai": {"model": f"m{name}"}}, "llm"),
            route("chat", to("llm", path=f"/{name}")),
            policy("rules", ("HTTPRoute", "chat"), traffic=authorization(f'jwt.team == "{name}"')),
            policy("key", ("AgentgatewayBackend", "llm"), backend={"auth": {"secretRef": {"name": f"{name}-secret"}}}),
        )
    ]
    found = convert_text(tmp_path, *team)
    assert found.code == 0, found
    ways = {(path, name): allowed(found, f"/{path}/v1/messages", team=name) for path in "ab" for name in "ab"}
    assert ways == {("a", "a"): True, ("a", "b"): False, ("b", "a"): False, ("b", "b"): True}
    keys = {name: each["api_key"] for name, each in found.settings["backends"].items()}
    assert keys == {"llm": "env:A_API_KEY", "llm-b": "env:B_API_KEY"}


def test_a_rule_of_one_part_of_a_route(tmp_path: Path) -> None:
    rules = [to("openai", path="/one", name="first"), to("openai", path="/two", name="second")]
    part = policy(target=("HTTPRoute", "r"), section="second", traffic=authorization('jwt.team == "a"'))
    found = convert_text(tmp_path, backend(), route("r", *rules), part)
    ways = {(path, team): allowed(found, path, team=team) for path in ("/one/x", "/two/x") for team in "ab"}
    assert ways == {("/one/x", "a"): True, ("/one/x", "b"): True, ("/two/x", "a"): True, ("/two/x", "b"): False}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"target": ("Gateway", "gw")}, {"target": ("Gateway", "other")}),
        ({"target": ("Gateway", "gw"), "section": "a"}, {"target": ("Gateway", "gw"), "section": "b"}),
        ({"target": ("Gateway", "gw")}, {"target": ("Gateway", "gw"), "section": "b"}),
        ({"target": ("Gateway", "gw")}, {"target": ("ListenerSet", "set")}),
    ],
)
def test_rules_of_two_entrances_are_not_joined(first: dict, second: dict, tmp_path: Path) -> None:  # type: ignore[type-arg]
    rules = [authorization('jwt.team == "a"'), authorization('jwt.team == "b"')]
    found = convert_text(
        tmp_path, backend(), policy("p", **first, traffic=rules[0]), policy("q", **second, traffic=rules[1])
    )
    assert (found.code, found.text) == (1, "")
    assert "2.yaml:" in found.said
    assert "rules for two entrances" in found.said
    limits = {"rateLimit": {"local": [{"requests": 1, "unit": "Seconds"}]}}
    assert (
        convert_text(
            tmp_path, backend(), policy("p", **first, traffic=limits), policy("q", **second, traffic=limits)
        ).code
        == 0
    )


def test_a_gateway_that_is_not_in_the_files(tmp_path: Path) -> None:
    """Without any gateway the policy is meant for the one that was left out; else it is attached to nothing."""
    rule = policy("p", ("Gateway", "elsewhere"), traffic=authorization('jwt.team == "a"'))
    assert not allowed(convert_text(tmp_path, backend(), rule), team="b")
    found = convert_text(tmp_path, backend(), rule, GATEWAY)
    assert "the files have no Gateway 'elsewhere', so AgentgatewayPolicy p is not attached to it" in found.said
    assert "spec.traffic: AgentgatewayPolicy p is attached to nothing that is converted" in found.said


def test_a_policy_for_a_route_without_any_route(tmp_path: Path) -> None:
    found = convert_text(tmp_path, backend(), policy("p", ("HTTPRoute", "r"), traffic=authorization('jwt.team == "a"')))
    assert [allowed(found, team=team) for team in "ab"] == [True, False]


def test_issuers_of_one_route_are_kept_out_of_another(tmp_path: Path) -> None:
    def tokens(issuer: str) -> dict:  # type: ignore[type-arg]
        keys = {"remote": {"url": f"{issuer}/keys"}}
        return {"jwtAuthentication": {"providers": [{"issuer": issuer, "audiences": ["m"], "jwks": keys}]}}

    one, two = "https://one.test", "https://two.test"
    found = convert_text(
        tmp_path,
        backend(),
        route("r", to("openai", path="/one")),
        route("s", to("openai", path="/two")),
        policy("p", traffic=tokens(one)),
        policy("q", ("HTTPRoute", "s"), traffic=tokens(two)),
    )
    assert found.code == 0, found
    assert [each["issuer"] for each in found.settings["auth"]["providers"]] == [one, two]
    whens = [rule["when"] for rule in found.settings["policy"]["rules"]]
    assert whens == [
        f'((request.path + "/").startsWith("/two/")) || identity.issuer in ["{one}"]',
        f'!((request.path + "/").startsWith("/two/")) || identity.issuer in ["{two}"]',
    ]
