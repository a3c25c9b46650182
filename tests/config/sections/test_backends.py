from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from asgi_llmgate import Gateway
from asgi_llmgate.config.sections.backends import NetSettings, make_client
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.net.native.transport import NativeTransport
from asgi_llmgate.net.over_httpx.adapter import HTTPXAdapter


@pytest.mark.parametrize(
    ("net", "transport"),
    [({}, NativeTransport), ({"transport": "native"}, NativeTransport), ({"transport": "aiohttp"}, HTTPXAdapter)],
)
def test_net_names_the_transport(net: dict[str, str], transport: type[object]) -> None:
    async def made() -> object:
        return make_client(msgspec.convert(net, NetSettings), Path())._transports.get()

    assert type(asyncio.run(made())) is transport


def test_a_transport_that_does_not_exist_is_refused_by_its_place() -> None:
    with pytest.raises(SettingsError) as failure:
        Gateway.from_settings({"net": {"transport": "curl"}})
    assert "net.transport" in str(failure.value)
