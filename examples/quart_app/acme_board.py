"""Acme's notice board, with a feed over a websocket.  The gateway is at /llm.

./run.sh
"""

from __future__ import annotations

import os
from html import escape

from llmgate_quart import LLMGate
from quart import Quart, ResponseReturnValue, redirect, request, websocket

NOTICES = ["The coffee machine is back."]

llmgate = LLMGate()


def create_app() -> Quart:
    app = Quart(__name__)
    app.config["LLMGATE"] = {
        "auth": {
            "providers": [
                {
                    "issuer": "claude-code-lab",
                    "audiences": ["anthropic-api"],
                    "jwks": {"file": ".llmgate/jwks.json"},
                }
            ]
        },
        "policy": {
            "rules": [
                {
                    "name": "team",
                    "when": 'jwt.org == "acme" && jwt.team == "data-platform"',
                    "reason": "only the team data-platform may use this gateway; ask the platform team for access",
                }
            ]
        },
        "backends": {
            "openai": {
                "base_url": os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1"),
                "api_key": "env:OPENAI_API_KEY",
            }
        },
        "models": [
            {
                "match": "*",
                "use": "openai/" + os.environ.get("OPENAI_MODEL", "gpt-4o-mini"),
                "max_output_tokens": 16384,
            }
        ],
    }
    llmgate.init_app(app)

    @app.get("/")
    async def board() -> str:
        rows = "".join(f"<li>{escape(notice)}</li>" for notice in NOTICES)
        form = '<form method="post"><input name="notice"><button>Post</button></form>'
        return f"<!doctype html><title>Notice board</title><ul>{rows}</ul>{form}"

    @app.post("/")
    async def post() -> ResponseReturnValue:
        NOTICES.append((await request.form)["notice"])
        return redirect("/")

    @app.websocket("/feed")
    async def feed() -> None:
        for notice in NOTICES:
            await websocket.send(notice)

    return app
