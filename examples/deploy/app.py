"""The company's web app, and the gateway mounted in it at /llm."""

from __future__ import annotations

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from asgi_llmgate import Gateway, mount


async def home(request: Request) -> PlainTextResponse:
    return PlainTextResponse("The company's own app. The gateway is at /llm.\n")


gateway = Gateway.from_file(os.environ.get("LLMGATE_CONFIG", "llmgate.yaml"))
app = mount(Starlette(routes=[Route("/", home)]), "/llm", gateway)
