"""Real Keycloak, with the realm of examples/keycloak."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from joserfc.util import urlsafe_b64decode

from asgi_llmgate import Gateway
from asgi_llmgate import JWTProvider as Provider
from asgi_llmgate.auth import TokenRefused, Verifier
from asgi_llmgate.auth import keycloak as described_keycloak
from asgi_llmgate.net import HTTPClient
from asgi_llmgate.testing.driver import call
from asgi_llmgate.testing.model_script import say
from asgi_llmgate.testing.model_server import ModelServer
from tests.helpers.installation import ROOT

if TYPE_CHECKING:
    from tests.idp.conftest import Keycloak

pytestmark = pytest.mark.idp

BODY = {"model": "claude-opus-5", "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]}
UNKNOWN = "authentication failure: token uses an unknown key"
COOLDOWN = 30.0


def described(idp: Keycloak, **options: Any) -> dict[str, Any]:
    return {"preset": "keycloak", "issuer": idp.issuer, "audiences": ["gateway"], **options}


def header_of(token: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(urlsafe_b64decode(token.partition(".")[0].encode()))
    return found


def claims_of(token: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(urlsafe_b64decode(token.split(".")[1].encode()))
    return found


async def answer(gateway: Gateway, token: str) -> tuple[int, str]:
    reply = await call(gateway, "POST", "/v1/messages", json=BODY, headers={"authorization": f"Bearer {token}"})
    # Behind the reason is what a developer can do.
    return reply.status, reply.json().get("error", {}).get("message", "").partition("; ")[0]


async def test_a_persons_roles_and_attributes_decide(keycloak: Keycloak, gateway: Callable[..., Any]) -> None:
    rule = {"name": "role", "action": "require", "when": '"llm-user" in jwt.roles', "reason": "ask for llm-user"}
    app, _ = gateway(described(keycloak), policy={"rules": [rule, 'jwt.org == "acme"']})
    async with app:
        assert await answer(app, keycloak.person("alice")["access_token"]) == (200, "")
        assert await answer(app, keycloak.person("bob")["access_token"]) == (403, "ask for llm-user")


async def test_a_job_signs_in_by_itself(keycloak: Keycloak, gateway: Callable[..., Any]) -> None:
    app, _ = gateway(described(keycloak, client_ids=["batch"]))
    async with app:
        assert await answer(app, keycloak.token("batch", "batch-secret")) == (200, "")
        assert await answer(app, keycloak.person()["access_token"]) == (401, "authentication failure: wrong client")


@pytest.mark.parametrize(
    ("kind", "text"),
    [("id_token", "authentication failure: wrong audience"), ("refresh_token", "authentication failure: algorithm")],
)
async def test_the_other_tokens_open_nothing(
    keycloak: Keycloak, gateway: Callable[..., Any], kind: str, text: str
) -> None:
    app, _ = gateway(described(keycloak))
    async with app:
        status, told = await answer(app, keycloak.person(scope="openid")[kind])
    assert (status, told.startswith(text)) == (401, True)


async def test_an_id_token_is_none_even_for_its_audience(keycloak: Keycloak, gateway: Callable[..., Any]) -> None:
    app, _ = gateway(described(keycloak, audiences=["claude-code"]))
    async with app:
        told = await answer(app, keycloak.person(scope="openid")["id_token"])
    assert told == (401, "authentication failure: not an access token")


async def test_without_the_audience_mapper_the_log_says_what_is_missing(
    keycloak: Keycloak, gateway: Callable[..., Any], tmp_path: Path
) -> None:
    log = tmp_path / "access.log"
    app, _ = gateway(described(keycloak, audiences=["llm"]), usage={"access_log": {"file": str(log)}})
    async with app:
        assert (await answer(app, keycloak.person()["access_token"]))[1] == "authentication failure: wrong audience"
    assert 'aud is \\"account\\" until the client has an audience mapper' in log.read_text()


@pytest.fixture
def signing(keycloak: Keycloak) -> Iterator[Callable[[str], str]]:
    """`signing(algorithm) -> token`: a batch token signed so, by a key made for the purpose."""
    made: list[str] = []
    kinds = {
        "ES256": ("ecdsa-generated", {"ecdsaEllipticCurveKey": "P-256"}),
        "EdDSA": ("eddsa-generated", {"eddsaEllipticCurveKey": "Ed25519"}),
        "PS256": ("rsa-generated", {"algorithm": "PS256", "keySize": "2048"}),
    }

    def sign(algorithm: str) -> str:
        kind, config = kinds[algorithm]
        made.append(keycloak.add_key(kind, 50, **config))
        keycloak.sign_with("batch", algorithm)
        return keycloak.token("batch", "batch-secret")

    yield sign
    keycloak.sign_with("batch", "")
    for component in made:
        keycloak.admin("DELETE", f"/components/{component}")


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "PS256"])
async def test_tokens_of_other_algorithms(
    keycloak: Keycloak, gateway: Callable[..., Any], signing: Callable[[str], str], algorithm: str
) -> None:
    token = signing(algorithm)
    assert header_of(token)["alg"] == algorithm
    app, _ = gateway(described(keycloak))
    async with app:
        assert await answer(app, token) == (200, "")


@pytest.fixture
def rotate(keycloak: Keycloak) -> Iterator[Callable[[], str]]:
    """Makes a new RSA key that signs at once; the newest goes last, the realm's first key stays."""
    made: list[str] = []

    def rotated() -> str:
        made.append(keycloak.add_key("rsa-generated", 1000 + len(made), algorithm="RS256", keySize="2048"))
        return made[-1]

    yield rotated
    listed = {each["id"] for each in keycloak.admin("GET", "/components?type=org.keycloak.keys.KeyProvider").json()}
    for component in listed.intersection(made):
        keycloak.admin("DELETE", f"/components/{component}")


async def test_a_key_rotated_while_requests_run_signs_nobody_out(
    keycloak: Keycloak, gateway: Callable[..., Any], rotate: Callable[[], str]
) -> None:
    app, _ = gateway(described(keycloak))
    old = await asyncio.to_thread(keycloak.token, "batch", "batch-secret")
    newest, kids, answers, done = old, set[str](), list[tuple[int, str]](), asyncio.Event()

    async def work() -> None:
        while not done.is_set():
            for token in (old, newest):
                kids.add(header_of(token)["kid"])
                answers.append(await answer(app, token))
            await asyncio.sleep(0)

    async with app:
        workers = [asyncio.create_task(work()) for _ in range(4)]
        await asyncio.to_thread(rotate)
        for _ in range(3):
            newest = await asyncio.to_thread(keycloak.token, "batch", "batch-secret")
        seen = len(answers)
        while len(answers) < seen + 20:
            await asyncio.sleep(0.01)
        done.set()
        await asyncio.gather(*workers)
    assert len(kids) == 2
    assert set(answers) == {(200, "")}


class Clock:
    time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
async def client() -> AsyncIterator[HTTPClient]:
    client = HTTPClient()
    yield client
    await client.aclose()


async def refusal(verifier: Verifier, token: str) -> str:
    try:
        await verifier.verify(token)
    except TokenRefused as error:
        return error.message
    return ""


async def test_a_second_rotation_signs_out_for_the_cooldown_and_no_longer(
    keycloak: Keycloak, client: HTTPClient, rotate: Callable[[], str]
) -> None:
    clock = Clock()
    provider: Provider = described_keycloak(keycloak.base, realm="acme", audiences=["gateway"], cooldown=COOLDOWN)
    verifier = Verifier([provider], fetch=client.fetch, clock=clock)
    token = lambda: keycloak.token("batch", "batch-secret")  # noqa: E731
    await verifier.verify(token())
    clock.time += 1
    first = rotate()
    between = token()
    assert (await verifier.verify(between)).subject  # one fetch, at once
    clock.time += 1
    rotate()
    latest = token()
    for _ in range(3):
        with pytest.raises(TokenRefused) as caught:
            await verifier.verify(latest)
        assert (caught.value.message, caught.value.renewable) == (UNKNOWN, True)
    clock.time += COOLDOWN
    assert (await verifier.verify(latest)).subject
    keycloak.admin("DELETE", f"/components/{first}")
    clock.time += 300 + 1
    await verifier.verify(latest)  # the keys are older than their soft limit: a fetch runs behind this one
    while (told := await refusal(verifier, between)) == "":
        await asyncio.sleep(0.01)
    assert told == UNKNOWN


async def test_a_session_that_was_ended_is_noticed_by_introspection(
    keycloak: Keycloak, gateway: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_SECRET", "gateway-secret")
    introspection = {
        "url": keycloak.introspection_url,
        "client_id": "gateway",
        "client_secret": "env:GATEWAY_SECRET",
        "tokens": "all",
    }
    auth = {"providers": [described(keycloak, introspection=introspection)], "cache_ttl": 0}
    app, _ = gateway({}, auth=auth)
    token = keycloak.person("alice")["access_token"]
    [user] = keycloak.admin("GET", "/users?username=alice").json()
    async with app:
        assert await answer(app, token) == (200, "")
        keycloak.admin("POST", f"/users/{user['id']}/logout")
        told = await answer(app, token)
    assert told == (401, "authentication failure: the identity provider does not know the token, or no longer")


async def test_the_callers_token_is_exchanged_for_the_model_servers(
    keycloak: Keycloak, gateway: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_SECRET", "gateway-secret")
    exchange = {
        "token_url": keycloak.token_url,
        "client_id": "gateway",
        "client_secret": "env:GATEWAY_SECRET",
        "audience": "model-server",
    }
    app, model = gateway(described(keycloak), api_key={"token_exchange": exchange}, policy={"default": "allow"})
    callers = [keycloak.person(name)["access_token"] for name in ("alice", "alice", "bob")]
    async with app:
        for token in callers:
            assert await answer(app, token) == (200, "")
    shown = [request.authorization.removeprefix("Bearer ") for request in model.chats]
    assert shown[0] == shown[1] != shown[2]
    for token, given in zip(callers, shown, strict=True):
        claims = claims_of(given)
        assert (claims["aud"], claims["azp"]) == ("model-server", "gateway")
        assert claims["sub"] == claims_of(token)["sub"]


async def test_an_exchange_that_is_not_allowed_is_told_as_that(
    keycloak: Keycloak, gateway: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SECRET", "model-server-secret")
    exchange = {"token_url": keycloak.token_url, "client_id": "model-server", "client_secret": "env:SECRET"}
    log = tmp_path / "access.log"
    usage = {"access_log": {"file": str(log)}}
    app, model = gateway(described(keycloak), api_key={"token_exchange": exchange}, usage=usage)
    async with app:
        status, text = await answer(app, keycloak.person()["access_token"])
    assert (status, model.chats) == (403, [])
    assert text == "authorization failed: you have no access to this model"
    assert "Standard token exchange is not enabled for the requested client" in log.read_text()


@pytest.mark.parametrize(
    ("who", "said"),
    [
        ("alice", "Hello, Alice."),
        ("bob", "API Error: 403 you need the role llm-user; ask the IT help desk for it, then sign in again"),
    ],
)
def test_claude_code_signs_in_by_the_examples_helper(
    keycloak: Keycloak,
    serve: Callable[..., str],
    claude_binary: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    who: str,
    said: str,
) -> None:
    model = ModelServer([say("Hello, Alice.").always()], api_key="sk-model")
    monkeypatch.setenv("KEYCLOAK", keycloak.base)
    monkeypatch.setenv("OPENAI_BASE_URL", serve(model) + "/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-model")
    example = ROOT / "examples" / "keycloak"
    url = serve(Gateway.from_file(example / "llmgate.yaml"))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "KEYCLOAK": keycloak.base,
        "KEYCLOAK_USER": who,
        "NO_PROXY": "127.0.0.1",
        "ANTHROPIC_BASE_URL": url,
        "DISABLE_AUTOUPDATER": "1",
        "IS_SANDBOX": "1",
    }
    settings = json.dumps({"apiKeyHelper": str(example / "token")})
    command = [str(claude_binary), "-p", "Say hello.", "--output-format", "json", "--settings", settings]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )
    report = json.loads(done.stdout)
    result = (report[-1] if isinstance(report, list) else report)["result"]
    assert result.endswith(said), done.stdout + done.stderr
