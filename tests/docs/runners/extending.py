"""Runners for docs/how-to/extend.md: each example runs in a gateway.  tests/library/test_extending.py checks types."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any

import yaml

from asgi_llmgate import Gateway
from asgi_llmgate.testing.driver import Reply, call
from tests.docs.code_blocks import NAMED
from tests.docs.lab_folder import Place, Runners

RUNNERS = Runners()

ASK = {"model": "claude-opus-5-5", "max_tokens": 9, "messages": [{"role": "user", "content": "Say hello."}]}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}


def module(block: str, place: Place) -> str:
    """Make the module of a block importable; its first line is its name."""
    text = NAMED[block].text
    name = text.splitlines()[0].removeprefix("# ").removesuffix(".py")
    (place.folder / f"{name}.py").write_text(text)
    if str(place.folder) not in sys.path:
        sys.path.insert(0, str(place.folder))
        place.stack.callback(sys.path.remove, str(place.folder))
    place.stack.callback(sys.modules.pop, name, None)
    return name


def gateway_with(place: Place, **changed: Any) -> Gateway:
    """The lab's gateway for every caller, with some sections of its settings replaced."""
    write(place, policy={"default": "allow"}, **changed)
    return Gateway.from_file("llmgate.yaml")


def write(place: Place, **changed: Any) -> None:
    (place.folder / "llmgate.yaml").write_text(yaml.safe_dump(place.settings(**changed)))


async def ask(gateway: Gateway, place: Place, body: Mapping[str, Any] = ASK, **claims: Any) -> Reply:
    headers = {"authorization": f"Bearer {place.idp.mint(**claims)}"}
    return await call(gateway, "POST", "/v1/messages", headers=headers, json=body)


@RUNNERS.runs("extend sink", "extend sink settings")
async def a_sink(text: str, place: Place) -> None:
    module("extend sink", place)
    printed = place.request.getfixturevalue("capsys")
    usage = yaml.safe_load(NAMED["extend sink settings"].text)["usage"]
    models = [{**row, "prices": {"input": 1e9, "output": 1e9}} for row in place.settings()["models"]]
    async with gateway_with(place, usage=usage, models=models) as gateway:
        assert gateway.health().limping == ()
        assert (await ask(gateway, place, team="data")).status == 200
        assert gateway.health().limping == ("budget",)
    assert "{'data': " in printed.readouterr().out  # printed by aclose


@RUNNERS.runs("extend credential", "extend credential settings")
async def a_credential(text: str, place: Place) -> None:
    module("extend credential", place)
    described = yaml.safe_load(NAMED["extend credential settings"].text)["backends"]["openai"]
    backends = {name: {**each, "api_key": described["api_key"]} for name, each in place.settings()["backends"].items()}
    async with gateway_with(place, backends=backends) as gateway:
        for team in ("research", "data"):
            assert (await ask(gateway, place, team=team)).status == 502  # the lab's model server wants another key
    sent = [request.authorization for request in place.model.requests]
    assert sent == ["Bearer sk-research", "Bearer sk-everybody"]


@RUNNERS.runs("extend variable", "extend variable settings")
async def a_variable(text: str, place: Place) -> None:
    found = importlib.import_module(module("extend variable", place))
    write(place, policy=yaml.safe_load(NAMED["extend variable settings"].text)["policy"])
    async with found.gateway() as gateway:
        assert (await ask(gateway, place)).status == 200
        found.OFFICES.clear()
        refused = await ask(gateway, place)
    assert (refused.status, refused.json()["error"]["message"]) == (403, "only in the office")


@RUNNERS.runs("extend middleware", "extend middleware host")
async def a_middleware(text: str, place: Place) -> None:
    module("extend middleware", place)
    write(place, policy={"default": "allow"})
    found: dict[str, Any] = {}
    exec(NAMED["extend middleware host"].text, found)
    picture = {**ASK, "messages": [{"role": "user", "content": [IMAGE]}]}
    async with found["gateway"] as gateway:
        assert (await ask(gateway, place)).status == 200
        refused = await ask(gateway, place, picture)
    assert (refused.status, refused.headers["retry-after"]) == (429, "300")
    assert refused.json()["error"]["type"] == "rate_limit_error"
