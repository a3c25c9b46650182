"""The company's web app, with the gateway at /llm and the usage page at /llm-usage.

Run it with any ASGI server: `uvicorn app:app --port 8080`
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from asgi_llmgate import Gateway, OneTimeLink, UsagePage, mount


async def home(request: Request) -> PlainTextResponse:
    return PlainTextResponse("The company's own app. The gateway is at /llm.\n")


gateway = Gateway.from_file("llmgate.yaml")
usage_link = OneTimeLink()  # `llmgate demo` prints it; in production `page_auth` uses your login
page = UsagePage.from_file("llmgate.yaml", page_auth=usage_link)
app = mount(Starlette(routes=[Route("/", home)]), "/llm", gateway)
app = mount(app, "/llm-usage", page)
