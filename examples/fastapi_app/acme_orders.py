"""Acme's orders, an API for the company's tools.  The gateway is at /llm.

    ./run.sh

`/orders` needs the same tokens as the gateway.  JWTAuthMiddleware is in front of the whole app; with mode "optional",
requests without a token reach the pages that need none.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI
from llmgate_starlette import combine, require_identity
from pydantic import BaseModel

from asgi_llmgate import Gateway, Identity, JWTAuthMiddleware, JWTProvider
from asgi_llmgate.auth import File

FOLDER = Path(__file__).parent

Caller = Annotated[Identity, Depends(require_identity)]


class Order(BaseModel):
    number: int
    item: str
    team: str


ORDERS = [Order(number=1, item="paper", team="data-platform"), Order(number=2, item="flowers", team="marketing")]


@asynccontextmanager
async def warehouse(app: FastAPI) -> AsyncIterator[None]:
    """Stands for a pool of database connections."""
    yield


gateway = Gateway.from_file(FOLDER / "llmgate.yaml")
company = JWTProvider(
    issuers=["claude-code-lab"], audiences=["anthropic-api"], jwks=File(FOLDER / ".llmgate" / "jwks.json")
)

app = FastAPI(title="Acme's orders", lifespan=combine(warehouse, gateway.lifespan))
app.add_middleware(JWTAuthMiddleware, providers=[company], mode="optional")
app.mount("/llm", gateway)


@app.get("/")
def home() -> dict[str, str]:
    return {"orders": "/orders", "documentation": "/docs", "gateway": "/llm"}


@app.get("/orders")
def orders(caller: Caller) -> list[Order]:
    """The orders of the caller's team."""
    return [order for order in ORDERS if order.team == caller.claims.get("team")]
