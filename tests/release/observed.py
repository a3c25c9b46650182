"""Imports all of the package, then serves one call, and prints what it did meanwhile that others could notice.

    python -m tests.release.observed ISSUER MODEL_SERVER     prints one line per event, STAGE EVENT DETAILS

Python reports these events itself (https://docs.python.org/3/library/audit_events.html).
"""

from __future__ import annotations

import asyncio
import importlib
import os
import pkgutil
import sys
from typing import Any

import django
from django.conf import settings

WATCHED = ("socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.system", "urllib.", "pty.")
HARMLESS = {"socket.__new__", "socket.gethostname"}
PACKAGES = ("asgi_llmgate", "llmgate_django", "llmgate_quart", "llmgate_starlette")

stage = "import"


def note(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open":
        path, mode, flags = arguments
        if set(mode or "") & set("wax+") or (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            print(stage, "open", path)
    elif event.startswith(WATCHED) and event not in HARMLESS:
        details = arguments[1] if event == "socket.connect" else arguments[0] if event == "socket.getaddrinfo" else ""
        print(stage, event, details)


def import_everything() -> None:
    for package in PACKAGES:
        found = importlib.import_module(package)
        for module in pkgutil.walk_packages(found.__path__, f"{package}."):
            importlib.import_module(module.name)


async def serve_a_call(issuer: str, model_server: str) -> None:
    from asgi_llmgate import Gateway
    from asgi_llmgate.testing.driver import call

    gateway = Gateway.from_settings(
        {
            "auth": {"providers": [{"issuer": issuer, "audiences": ["anthropic-api"]}]},
            "backends": {"openai": {"base_url": model_server, "api_key": "env:OPENAI_API_KEY"}},
            "policy": {"default": "allow"},
            "models": [{"match": "*", "use": "openai/gpt-4o-mini"}],
        }
    )
    token = sys.stdin.readline().strip()
    body = {"model": "claude-x", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    headers = {"authorization": f"Bearer {token}"}
    reply = await call(gateway, "POST", "/v1/messages", json=body, headers=headers)
    print("served", reply.status)
    await gateway.shutdown()


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    assert not {*PACKAGES} & {*sys.modules}
    sys.addaudithook(note)
    apps = [f"django.contrib.{name}" for name in ("admin", "auth", "contenttypes", "messages", "sessions")]
    settings.configure(INSTALLED_APPS=[*apps, "llmgate_django"])
    django.setup()  # Django's models can be imported only then
    import_everything()
    stage = "call"
    asyncio.run(serve_a_call(*sys.argv[1:]))
