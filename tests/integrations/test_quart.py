"""The extension: configuration, Quart's own hooks, and that its limits on views are none on the gateway."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml
from llmgate_quart import LLMGate, identity
from quart import Quart

from asgi_llmgate import Gateway, JWTAuthMiddleware, SettingsError
from asgi_llmgate.testing.driver import call
from asgi_llmgate.testing.idp import MockIdP
from asgi_llmgate.testing.model_script import say
from asgi_llmgate.testing.model_server import ModelServer
from tests.integrations.conftest import ASK

if TYPE_CHECKING:
    from tests.integrations.conftest import Company


def site(**config: Any) -> Quart:
    app = Quart(__name__)
    app.config.update(config)

    @app.get("/whoami")
    async def whoami() -> dict[str, Any]:
        return {"sub": identity().subject, "team": identity().claims.get("team")}

    return app


def test_one_line_is_enough(company: Company, serve: Callable[..., str]) -> None:
    app = site(LLMGATE=company.settings())
    LLMGate(app)
    url = serve(app)
    answer = httpx.post(f"{url}/llm/v1/messages", json=ASK, headers=company.bearer())
    assert answer.json()["content"][0]["text"] == "Hi."
    assert httpx.post(f"{url}/llm/v1/messages", json=ASK).status_code == 401


def test_an_application_factory_calls_init_app(company: Company, serve: Callable[..., str]) -> None:
    llmgate = LLMGate(prefix="/ai")
    for _ in range(2):  # one extension object, several apps
        app = site(LLMGATE=company.settings())
        llmgate.init_app(app)
        assert isinstance(app.extensions["llmgate"], Gateway)
        assert httpx.post(f"{serve(app)}/ai/v1/messages", json=ASK, headers=company.bearer()).status_code == 200


def test_the_setting_may_be_a_file_beside_the_app(company: Company, tmp_path: Path, serve: Callable[..., str]) -> None:
    (tmp_path / "llmgate.yaml").write_text(yaml.safe_dump(company.settings()))
    app = Quart(__name__, root_path=str(tmp_path))
    app.config["LLMGATE"] = "llmgate.yaml"
    LLMGate(app)
    assert httpx.post(f"{serve(app)}/llm/v1/messages", json=ASK, headers=company.bearer()).status_code == 200


def test_a_gateway_that_was_made_already_is_taken(company: Company, serve: Callable[..., str]) -> None:
    app = site()
    LLMGate(app, gateway=Gateway.from_settings(company.settings()))
    assert httpx.post(f"{serve(app)}/llm/v1/messages", json=ASK, headers=company.bearer()).status_code == 200


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        (None, r'app.config\["LLMGATE"\] is missing or not a dict'),
        ([], "is missing or not a dict"),
        ("none.yaml", "none.yaml cannot be read"),
        ({"modells": []}, "modells: unknown key"),
    ],
)
def test_a_wrong_setting_is_an_error_at_once(company: Company, setting: Any, says: str) -> None:
    setting = company.settings(**setting) if isinstance(setting, dict) else setting
    with pytest.raises(SettingsError, match=says):
        LLMGate(site(LLMGATE=setting))


def test_one_app_has_one_gateway(company: Company) -> None:
    app = site(LLMGATE=company.settings())
    LLMGate(app)
    with pytest.raises(SettingsError, match="this app has a gateway already"):
        LLMGate(app, prefix="/other")


class Diary(Gateway):
    def write(self, entries: list[str]) -> Diary:
        self.entries = entries
        return self

    async def startup(self) -> None:
        self.entries.append("gateway up")

    async def shutdown(self) -> None:
        self.entries.append("gateway down")


async def in_a_test(app: Quart) -> None:
    async with app.test_app():
        pass


async def by_a_server(app: Quart) -> None:
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent: list[str] = []

    async def receive() -> Any:
        return next(messages, None) or await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await app({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)  # type: ignore[arg-type, typeddict-item]
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


@pytest.mark.parametrize("run", [in_a_test, by_a_server])
async def test_it_starts_and_stops_once_with_quarts_own_hooks(company: Company, run: Any) -> None:
    entries: list[str] = []
    app = site()

    @app.while_serving
    async def host() -> AsyncIterator[None]:
        entries.append("host up")
        yield
        entries.append("host down")

    gateway = Diary.from_settings(company.settings())
    assert isinstance(gateway, Diary)
    LLMGate(app, gateway=gateway.write(entries))
    await run(app)
    assert sorted(entries) == ["gateway down", "gateway up", "host down", "host up"]


def test_quarts_limits_on_views_are_none_on_the_gateway(idp: MockIdP, serve: Callable[..., str]) -> None:
    """A view that streams is cut by RESPONSE_TIMEOUT; the gateway's stream, open since before, goes on to its end."""
    go_on = threading.Event()
    model = ModelServer([say("one two three four five six seven")])

    class Gated:
        """Lets the answer's second half out when the test says so."""

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            count = 0

            async def slow_send(message: Any) -> None:
                nonlocal count
                if message["type"] == "http.response.body" and message.get("body"):
                    count += 1
                    if count == 3:
                        await asyncio.to_thread(go_on.wait, 30)
                await send(message)

            await model(scope, receive, slow_send)

    app = site(
        RESPONSE_TIMEOUT=0.05,
        BODY_TIMEOUT=0.05,
        MAX_CONTENT_LENGTH=1000,
        LLMGATE={
            "auth": {"mode": "off"},
            "policy": {"default": "allow"},
            "backends": {"openai": {"base_url": serve(Gated()) + "/v1"}},
            "models": [{"match": "*", "use": "openai/m"}],
        },
    )

    @app.get("/stream")
    async def stream() -> Any:
        async def lines() -> AsyncIterator[bytes]:
            yield b"first\n"
            await asyncio.Event().wait()

        return lines()

    LLMGate(app)
    large = {**ASK, "stream": True, "messages": [{"role": "user", "content": "x" * 5000}]}
    url = serve(app)
    with httpx.stream("POST", f"{url}/llm/v1/messages", json=large, timeout=30) as told:
        lines = told.iter_lines()
        assert next(lines) == "event: message_start"
        with httpx.stream("GET", f"{url}/stream", timeout=30) as cut, pytest.raises(httpx.RemoteProtocolError):
            cut.read()
        go_on.set()
        assert "event: message_stop" in list(lines)


async def test_a_view_knows_who_asks_behind_our_layer_alone(company: Company, idp: MockIdP) -> None:
    app = site()
    app.asgi_app = JWTAuthMiddleware(app.asgi_app, providers=[idp.provider()])  # type: ignore[method-assign, arg-type]
    reply = await call(app.asgi_app, "GET", "/whoami", headers=company.bearer(sub="ada"))
    assert reply.json() == {"sub": "ada", "team": "data-platform"}
    assert (await call(app.asgi_app, "GET", "/whoami")).status == 401


async def test_a_view_without_a_layer_gets_an_error_that_names_it() -> None:
    app = site()
    app.config["PROPAGATE_EXCEPTIONS"] = True
    with pytest.raises(LookupError, match="put a layer of asgi_llmgate before"):
        await app.test_client().get("/whoami")
