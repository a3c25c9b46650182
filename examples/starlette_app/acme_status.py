"""Acme's status page: the state of services, and a count of visits.  The gateway is at /llm.

./run.sh
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from llmgate_starlette import combine, from_config
from starlette.applications import Starlette
from starlette.config import Config
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

config = Config()


@asynccontextmanager
async def services(app: Starlette) -> AsyncIterator[Mapping[str, Any]]:
    """Stands for a connection to the monitoring system."""
    yield {"services": {"mail": "up", "build": "up", "wiki": "down"}}


async def home(request: Request) -> HTMLResponse:
    request.session["visits"] = visits = request.session.get("visits", 0) + 1
    rows = "".join(f"<li>{name}: {state}</li>" for name, state in request.state.services.items())
    return HTMLResponse(f"<!doctype html><title>Status</title><ul>{rows}</ul><p>Your visit no. {visits}</p>")


async def as_json(request: Request) -> JSONResponse:
    return JSONResponse(request.state.services)


async def feed(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_json(websocket.state.services)
    await websocket.close()


gateway = from_config(config)

app = Starlette(
    routes=[
        Route("/", home),
        Route("/api/services", as_json),
        WebSocketRoute("/feed", feed),
        Mount("/llm", app=gateway),
    ],
    middleware=[Middleware(SessionMiddleware, secret_key=config("SESSION_KEY", default="only for this example"))],
    lifespan=combine(services, gateway.lifespan),
)
