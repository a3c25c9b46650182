"""A server that imports the app once and then forks its workers (gunicorn --preload)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

from asgi_llmgate.testing.idp import MockIdP

PRELOADED = """
import asyncio, os, sys
from asgi_llmgate.auth import JWTAuthMiddleware, JWTProvider
from asgi_llmgate.testing.driver import call

issuer, *tokens = sys.argv[1:]

async def inner(scope, receive, send):
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})

app = JWTAuthMiddleware(inner, providers=[JWTProvider(issuers=[issuer], audiences=["llm"])])

async def ask():
    headers = [{"authorization": f"Bearer {token}"} for token in tokens]
    statuses = [(await call(app, "GET", "/", headers=each, timeout=60)).status for each in headers]
    await app.aclose()
    return statuses

before = asyncio.run(ask()) if os.environ["WARM"] else [204, 401]
workers = []
for _ in range(3):
    worker = os.fork()
    if worker == 0:
        os._exit(0 if asyncio.run(ask()) == [204, 401] else 1)
    workers.append(worker)
print(before, [os.waitpid(worker, 0)[1] for worker in workers])
"""


def test_workers_forked_after_the_import_each_verify_tokens(serve: Callable[..., str]) -> None:
    for warm in ("", "yes"):
        idp = MockIdP(audience="llm")
        idp.issuer = serve(idp)
        bad = MockIdP(issuer=idp.issuer, audience="llm").mint()
        done = subprocess.run(
            [sys.executable, "-c", PRELOADED, idp.issuer, idp.mint(), bad],
            env={**os.environ, "WARM": warm, "NO_PROXY": "127.0.0.1"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.stdout == "[204, 401] [0, 0, 0]\n", done.stderr
        fetches = idp.requests.count("/jwks.json")
        assert fetches == (1 if warm else 3)  # what the parent fetched its workers know
