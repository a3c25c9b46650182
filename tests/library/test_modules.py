"""What is imported, and when: each is counted in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

GATEWAY = """
gateway = asgi_llmgate.Gateway.from_settings(
    {
        "auth": {"providers": [{"name": "idp", "issuer": "https://idp.test", "audiences": ["llm"]}]},
        "backends": {"openai": {"base_url": "https://api.openai.com/v1"}},
        "models": [{"match": "*", "use": "openai/gpt-4o-mini", "prices": {"input": 1, "output": 2}}],
        "policy": {"rules": [{"name": "engineers", "allow": "'eng' in jwt.groups && llm.model == 'gpt-4o-mini'"}]},
        "limits": [{"name": "each", "key": "jwt.sub", "requests": "10/minute"}],
    }
)
"""

FETCH = """
import asyncio
from asgi_llmgate.errors import NotSent
from asgi_llmgate.net import HTTPClient

async def fetch(client):
    try:
        await client.fetch("http://127.0.0.1:9/")
    except NotSent:
        await client.aclose()

asyncio.run(fetch({}))
"""

MIDDLEWARE = """
from asgi_llmgate import JWTAuthMiddleware, JWTProvider

async def view(scope, receive, send):
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})

app = JWTAuthMiddleware(view, providers=[JWTProvider(issuers=[idp.issuer], audiences=["llm"], jwks=Inline(idp.jwks))])
reply = asyncio.run(call(app, "GET", "/", headers={"authorization": f"Bearer {idp.mint()}"}))
assert reply.status == 204, reply
"""


NEEDED_BY_AN_ERROR = {
    "asgi_llmgate.protocol.servers.errors.reading",
    "asgi_llmgate.protocol.servers.corrections.table",
    "asgi_llmgate.protocol.servers.wordings.overflow",
}


def modules_after(code: str) -> set[str]:
    code = f"import sys, json, asgi_llmgate\n{code}\nprint(json.dumps([*sys.modules]))"
    # isolated: the clock of `make test SHIFT=...` (tests/clock) brings modules of its own by PYTHONPATH
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_the_package_imports_nothing_heavy() -> None:
    modules = modules_after("")
    assert modules.isdisjoint({"httpx", "celpy", "joserfc", "msgspec", "yaml"})
    assert sorted(name for name in modules if name.startswith("asgi_llmgate")) == [
        "asgi_llmgate",
        "asgi_llmgate._version",
    ]


def test_a_built_gateway_has_fewer_than_512_modules() -> None:
    modules = modules_after(GATEWAY)
    most = Counter(name.partition(".")[0] for name in modules).most_common(12)
    assert len(modules) < 512, f"{len(modules)} modules, most of them {most}"
    assert "asgi_llmgate.policy.middleware" in modules
    assert modules.isdisjoint(NEEDED_BY_AN_ERROR)
    assert modules.isdisjoint(
        {"celpy", "aiohttp", "httpx", "cryptography", "sqlalchemy", "opentelemetry", "jinja2", "re2"}
    )


def test_its_startup_imports_what_the_first_request_needs() -> None:
    """Where there is a lifespan; otherwise the first request does."""
    modules = modules_after(GATEWAY + "import asyncio; asyncio.run(gateway.startup())")
    assert modules >= {"httptools", "cryptography"}
    assert modules.isdisjoint(
        {"aiohttp", "httpx", "httpx_aiohttp", "httpcore", "celpy", "sqlalchemy", "opentelemetry", "jinja2"}
    )


def test_the_catalogue_of_prices_is_loaded_when_it_is_made_and_not_by_a_call() -> None:
    modules_after(
        "from asgi_llmgate.exchange_values import Usage\n"
        "from asgi_llmgate.usage.costs import genai_prices\n"
        "catalogue, before = genai_prices(), {*sys.modules}\n"
        "assert catalogue('anthropic', 'claude-sonnet-4-5', Usage(1000, 1000)) == 0.018\n"
        "assert {*sys.modules} == before, {*sys.modules} - before"
    )


def test_its_first_request_to_a_server_brings_no_transport_but_its_own() -> None:
    modules = modules_after(FETCH.format("HTTPClient(proxy='none')"))
    assert "asgi_llmgate.net.native.transport" in modules
    assert modules.isdisjoint({"aiohttp", "httpx", "httpx_aiohttp", "httpcore", "anyio"})
    assert "asgi_llmgate.net.over_httpx" not in modules


def test_aiohttp_is_imported_where_it_is_asked_for() -> None:
    modules = modules_after(FETCH.format("HTTPClient(transport='aiohttp', proxy='none')"))
    assert "aiohttp" in modules
    assert "asgi_llmgate.net.native.transport" not in modules


def test_the_jwt_middleware_alone_needs_no_http_client_no_rules_and_no_database() -> None:
    modules = modules_after(
        "import asyncio\n"
        "from asgi_llmgate.auth import Inline\n"
        "from asgi_llmgate.testing.driver import call\n"
        "from asgi_llmgate.testing.idp import MockIdP\n"
        "idp = MockIdP(audience='llm')\n" + MIDDLEWARE
    )
    assert modules.isdisjoint({"aiohttp", "httpx", "celpy", "lark", "re2", "sqlalchemy", "yaml"})
    assert not [name for name in modules if name.startswith(("asgi_llmgate.protocol.translation", "asgi_llmgate.cel"))]
