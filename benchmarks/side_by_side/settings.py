"""The gateway's settings: all of what most companies use, and what a variant adds to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

VARIANTS = ("gateway", "ledger", "otel", "otel_sdk")
"""Everything on; and that with the ledger in SQLite, with OpenTelemetry's API alone, with its SDK."""


def settings(folder: Path, model_port: int, keys: Path, variant: str = "gateway") -> dict[str, object]:
    """JWT, rules, prices, records, an access log as JSON in a file; the files lie beside `folder`."""
    usage: dict[str, Any] = {
        "access_log": {"format": "json", "file": f"{folder}.log"},
        "prices": "genai-prices",
        "fields": {"team": "jwt.team"},
    }
    if variant == "ledger":
        usage["ledger"] = {"url": f"sqlite:///{folder}.db", "journal": f"{folder}.journal"}
    if variant.startswith("otel"):
        usage["otel"] = True
    return {
        "auth": {"providers": [{"issuer": "bench", "audiences": ["bench"], "jwks": {"file": str(keys)}}]},
        "policy": {"rules": [{"name": "entitled", "allow": 'jwt.team == "bench" && llm.model in jwt.llms.openai'}]},
        "backends": {
            "openai": {
                "dialect": "openai",
                "base_url": f"http://127.0.0.1:{model_port}/v1",
                "api_key": "env:MODEL_PORT",
            }
        },
        "models": [{"match": "*", "use": "openai/gpt-4o-mini"}],
        "usage": usage,
    }
