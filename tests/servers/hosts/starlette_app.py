from __future__ import annotations

from gate import gateway, pid
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from asgi_llmgate import mount


async def page(request: Request) -> PlainTextResponse:
    return PlainTextResponse(pid())


app = mount(Starlette(routes=[Route("/pid", page)]), "/llm", gateway())
