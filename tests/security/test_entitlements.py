"""Claims, and what is asked, choose the model that answers; rules say which of the chosen may."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from asgi_llmgate import Gateway, SettingsError
from asgi_llmgate.testing.driver import Reply, call
from asgi_llmgate.testing.idp import MockIdP
from asgi_llmgate.testing.model_server import ModelServer
from asgi_llmgate.testing.serving import serving

IDP = MockIdP()
SMALL, LARGE = "gpt-4o-mini", "qwen3-235b"

MODELS = [
    {"match": "claude-*", "when": 'llm.requestClass == "safety" && llm.maxTokens <= 64', "use": "house/guard"},
    {"match": "claude-*", "when": 'llm.agentId != "" && !llm.streaming', "use": "house/agent"},
    {"match": "claude-opus-*", "when": 'jwt.team == "research"', "use": f"house/{LARGE}", "list": ["claude-opus-5-5"]},
    {"match": "claude-opus-*", "when": '"ml" in jwt.departments', "use": "house/ml"},
    {"match": "claude-*", "use": f"house/{SMALL}", "list": ["claude-haiku-5"], "display_name": "Small"},
    {"match": "only-research", "when": 'jwt.team == "research"', "use": f"house/{LARGE}"},
]

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def house() -> Iterator[tuple[ModelServer, str]]:
    server = ModelServer()
    with serving(server) as url:
        yield server, url + "/v1"


@pytest.fixture
def make(house: tuple[ModelServer, str], tmp_path: Path) -> Callable[..., Gateway]:
    house[0].requests.clear()

    def made(**settings: Any) -> Gateway:
        provider = {"issuer": IDP.issuer, "audiences": [IDP.audience], "jwks": {"inline": IDP.jwks}}
        return Gateway.from_settings(
            {
                "auth": {"providers": [provider]},
                "policy": {"rules": ['jwt.org == "acme"'], "list_claims": ["departments"]},
                "backends": {"house": {"base_url": house[1]}},
                "models": MODELS,
                "usage": {"access_log": {"file": str(tmp_path / "access.log")}},
                **settings,
            }
        )

    return made


@pytest.fixture
async def ask(make: Callable[..., Gateway]) -> AsyncIterator[Ask]:
    """`ask(model, headers, claims=..., settings=..., **body)`: the reply to a call."""
    gateways: list[Gateway] = []

    async def asked(
        model: str,
        headers: dict[str, str] | None = None,
        *,
        claims: dict[str, Any] | None = None,
        settings: dict[str, Any] | None = None,
        **body: Any,
    ) -> Reply:
        gateway = make(**(settings or {}))
        gateways.append(gateway)
        token = IDP.mint(claims or {})
        content = {"model": model, "max_tokens": 500, "messages": [{"role": "user", "content": "hello"}], **body}
        headers = {"authorization": f"Bearer {token}", **(headers or {})}
        return await call(gateway, "POST", "/v1/messages", json=content, headers=headers)

    yield asked
    for gateway in gateways:
        await gateway.shutdown()


SAFETY = {"x-claude-code-request-class": "safety"}
AGENT = {"x-claude-code-agent-id": "a1"}

CHOICES = [
    ("one team has the large model", "claude-opus-5-5", {"team": "research"}, {}, {}, LARGE),
    ("another the small one under the same name", "claude-opus-5-5", {"team": "sales"}, {}, {}, SMALL),
    ("a token without the claim", "claude-opus-5-5", {"team": None}, {}, {}, SMALL),
    ("a list where a text is meant", "claude-opus-5-5", {"team": ["research"]}, {}, {}, SMALL),
    ("another name", "claude-haiku-5", {"team": "research"}, {}, {}, SMALL),
    ("a lone text in a list claim", "claude-opus-5-5", {"team": "x", "departments": "ml"}, {}, {}, "ml"),
    ("a part of a text in a list claim", "claude-opus-5-5", {"team": "x", "departments": "mlops"}, {}, {}, SMALL),
    ("a safety question", "claude-opus-5-5", {"team": "research"}, SAFETY, {"max_tokens": 64}, "guard"),
    ("a long one that says it is one", "claude-opus-5-5", {"team": "research"}, SAFETY, {"max_tokens": 65}, LARGE),
    ("a short one without the hint", "claude-opus-5-5", {"team": "research"}, {}, {"max_tokens": 64}, LARGE),
    ("a sub-agent", "claude-opus-5-5", {"team": "research"}, AGENT, {}, "agent"),
    ("a sub-agent that streams", "claude-opus-5-5", {"team": "research"}, AGENT, {"stream": True}, LARGE),
]


@pytest.mark.parametrize(
    ("model", "claims", "headers", "body", "answers"), [row[1:] for row in CHOICES], ids=[row[0] for row in CHOICES]
)
async def test_the_first_row_whose_condition_holds_chooses(
    ask: Ask,
    house: tuple[ModelServer, str],
    model: str,
    claims: dict[str, Any],
    headers: dict[str, str],
    body: dict[str, Any],
    answers: str,
) -> None:
    assert (await ask(model, headers, claims=claims, **body)).status == 200
    [request] = house[0].requests
    assert request.body["model"] == answers


async def test_a_name_that_no_row_has_for_this_caller_is_not_found(ask: Ask) -> None:
    reply = await ask("only-research", claims={"team": "sales"})
    assert (reply.status, reply.json()["error"]["message"]) == (404, "model: only-research")
    assert (await ask("only-research", claims={"team": "research"})).status == 200


@pytest.mark.parametrize(
    ("team", "listed"),
    [
        ("research", ["claude-opus-5-5", "claude-haiku-5", "only-research"]),
        ("sales", ["claude-opus-5-5", "claude-haiku-5"]),
        ("support", ["claude-haiku-5"]),
    ],
)
async def test_each_caller_sees_the_names_that_have_something_behind_them(
    make: Callable[..., Gateway], team: str, listed: list[str]
) -> None:
    rules = [
        'jwt.team == "research"',
        f'jwt.team == "sales" && llm.model == "{SMALL}"',
        'jwt.team == "support" && llm.requestModel == "claude-haiku-5"',
    ]
    gateway = make(policy={"rules": rules})
    headers = {"authorization": f"Bearer {IDP.mint(team=team)}"}
    page = (await call(gateway, "GET", "/v1/models", headers=headers)).json()
    assert [model["id"] for model in page["data"]] == listed
    await gateway.shutdown()


async def test_the_rules_have_the_last_word_on_what_claims_have_chosen(ask: Ask, tmp_path: Path) -> None:
    rules = [{"name": "entitled", "when": "llm.model in jwt.llms.openai", "reason": "ask for this model"}]
    for claims, status in (({"team": "sales"}, 200), ({"team": "research"}, 403), ({"llms": None}, 403)):
        reply = await ask("claude-opus-5-5", claims=claims, settings={"policy": {"rules": rules}})
        assert reply.status == status
        if status == 403:
            assert reply.json()["error"]["message"] == "ask for this model (model: claude-opus-5-5)"
    allowed, denied, missing = [json.loads(line) for line in (tmp_path / "access.log").read_text().splitlines()]
    assert (allowed["policy.rule"], allowed["gen_ai.request.model"]) == ("entitled", SMALL)
    assert (denied["reason"], denied["policy.rule"]) == ("Authorization", "entitled")
    assert missing["llmgate.detail"] == "rule 'entitled': jwt.llms is missing at 1:18"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"when": "jtw.team == 'x'"}, "models[0].when: 1:1: unknown variable 'jtw', did you mean 'jwt'?"),
        ({"when": "llm.model == 'x'"}, "models[0].when: 1:5: 'llm' has no field 'model'"),
        ({"when": "llm.requestmodel == 'x'"}, "models[0].when: 1:5: 'llm' has no field 'requestmodel', did you mean"),
        ({"prices": {"inputs": 1}}, "models[0].prices.inputs: unknown key (did you mean input?)"),
    ],
)
def test_a_row_that_cannot_work_is_refused_at_start(
    make: Callable[..., Gateway], row: dict[str, Any], said: str
) -> None:
    with pytest.raises(SettingsError) as raised:
        make(models=[{"match": "*", "use": "house/x", **row}])
    assert str(raised.value).startswith(said)
