from __future__ import annotations

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
from gate import gateway, pid

from asgi_llmgate import mount

site = FastAPI()


@site.get("/pid")
async def page() -> PlainTextResponse:
    return PlainTextResponse(pid())


app = mount(site, "/llm", gateway())
