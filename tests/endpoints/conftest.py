from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from asgi_llmgate import Backend, ModelRow, ModelTable, TranslationApp
from asgi_llmgate.testing.model_script import Turn
from asgi_llmgate.testing.model_server import ModelServer
from tests.endpoints.calling import Spy

Serve = Callable[..., str]


@pytest.fixture
async def gate(serve: Serve) -> Any:
    """`gate(turns...) -> (app, model server)`"""
    apps: list[TranslationApp] = []

    def make(*turns: Turn, **options: Any) -> tuple[Spy, ModelServer]:
        server = ModelServer(turns)
        models = ModelTable([ModelRow("*", ("model/gpt-4o-mini",), max_output_tokens=1000)], {"model": "openai"})
        backends = {"model": Backend(base_url=serve(server) + "/v1")}
        apps.append(TranslationApp(backends, models=models, **options))
        return Spy(apps[-1]), server

    yield make
    for app in apps:
        await app.aclose()
