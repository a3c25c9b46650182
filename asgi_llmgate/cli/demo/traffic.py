"""Made-up traffic for the lab's usage page: people with valid tokens who call the gateway over HTTP.

Nothing is written to the ledger directly.  Made up are the callers, their questions, and how long the embedded model
takes for a response of a certain length.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from asgi_llmgate._types import ASGIApp, Message, Receive, Scope, Send
from asgi_llmgate.testing import small_model
from asgi_llmgate.testing.idp import MockIdP
from asgi_llmgate.testing.model_script import ReceivedRequest, Turn, call, refuse, say
from asgi_llmgate.testing.model_server import ModelServer

MINUTES = 3
"""Duration of the traffic."""

_WORKERS = 5
"""Requests at the same time."""

_PEOPLE = ("ada", "grace", "linus", "margaret", "ken", "barbara", "dennis", "frances", "guido", "radia")
# How often each of them calls, relative to the others.
_WEIGHTS = (9, 7, 6, 4, 4, 3, 2, 2, 1, 1)
_MODELS = ("claude-opus-5-5", "claude-sonnet-5", "claude-haiku-5")
_TOOLS = {"Read": 9, "Bash": 8, "Edit": 6, "Grep": 4, "mcp__jira__get_issue": 1}
_MARK = "[made-up traffic]"
"""In the prompts, so that the embedded model gives other requests its usual responses."""

_WORDS = (
    "the", "test", "fails", "because", "a", "file", "is", "read",
    "before", "it", "has", "been", "written", "so", "wait",
)  # fmt: skip


class Traffic:
    """Calls to the gateway at `base`.  Most succeed, some are refused, some are ended by the client."""

    def __init__(self, base: str, idp: MockIdP, model: str, *, seed: int | None = None) -> None:
        self._url = f"{base}/v1/messages"
        self._random = random.Random(seed)  # noqa: S311
        self._tokens = {name: idp.mint(sub=name, llms={"openai": [model]}) for name in _PEOPLE}
        self._denied = {name: idp.mint(sub=name, team="marketing") for name in ("mark", "mary")}
        self._expired = idp.mint(sub="ada", exp=int(time.time()) - 3600)

    def start(self, *, then: Callable[[], None]) -> None:
        """Send calls for MINUTES in background threads, then call `then`."""
        until = time.monotonic() + MINUTES * 60
        threads = [threading.Thread(target=self._work, args=(until,), daemon=True) for _ in range(_WORKERS)]

        def wait() -> None:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            then()

        threading.Thread(target=wait, daemon=True).start()

    def run(self, calls: int) -> str:
        """Send this number of calls, some at the same time.  Returns a line with their statuses."""
        with httpx.Client(timeout=60, trust_env=False) as client, ThreadPoolExecutor(_WORKERS) as workers:
            statuses = Counter(workers.map(lambda _: self._call(client), range(calls)))
        counts = ", ".join(f"{number} x {status}" for status, number in sorted(statuses.items()))
        return f"{calls} made-up calls: {counts}"

    def _work(self, until: float) -> None:
        with httpx.Client(timeout=60, trust_env=False) as client:
            while time.monotonic() < until:
                try:
                    self._call(client)
                except httpx.HTTPError:  # the gateway has stopped
                    return
                time.sleep(self._random.expovariate(0.6))  # 1.7 seconds on average

    def _call(self, client: httpx.Client) -> int:
        rng = self._random
        headers = {"anthropic-version": "2023-06-01"} | self._credentials()
        body = self._body()
        with client.stream("POST", self._url, json=body, headers=headers) as response:
            for _ in response.iter_bytes():
                if body["stream"] and rng.random() < 0.0004:
                    break  # as when a user presses Escape
            return response.status_code

    def _credentials(self) -> dict[str, str]:
        # 2% without a token, 3% with an expired one, 5% of a team that is not allowed.
        dice = self._random.random()
        if dice < 0.02:
            return {}
        token = self._tokens[self._random.choices(_PEOPLE, _WEIGHTS)[0]]
        if dice < 0.05:
            token = self._expired
        elif dice < 0.1:
            token = self._random.choice(list(self._denied.values()))
        return {"authorization": f"Bearer {token}"}

    def _body(self) -> dict[str, Any]:
        words = self._random.choices(_WORDS, k=int(self._random.lognormvariate(6, 1)))
        return {
            "model": self._random.choice(_MODELS),
            "max_tokens": 4096,
            "stream": self._random.random() < 0.8,
            "messages": [{"role": "user", "content": f"{_MARK} {' '.join(words)}"}],
            "tools": [{"name": name, "input_schema": {"type": "object"}} for name in _TOOLS],
        }


def busy_model(name: str) -> ASGIApp:
    """The embedded model.  Made-up questions get responses of various lengths, at the speed of a real model."""
    rng = random.Random()  # noqa: S311

    def respond(request: ReceivedRequest) -> Turn:
        if _MARK not in request.prompt:
            return small_model.respond(request)
        if rng.random() < 0.02:
            return refuse(500, "The server had an error while processing your request.")
        words = " ".join(rng.choices(_WORDS, k=5 + int(rng.lognormvariate(3.5, 0.8))))
        tools = rng.choices(list(_TOOLS), list(_TOOLS.values()), k=rng.choice((0, 1, 1, 2)))
        return sum((call(tool, about=words[:20]) for tool in tools), say(words))

    return slowed(ModelServer(model=name, otherwise=respond), rng)


def slowed(app: ASGIApp, rng: random.Random) -> ASGIApp:
    """The app with a delay before the response starts (0.2 s on average) and 10 ms before each message of the body."""

    async def delayed(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_later(message: Message) -> None:
            first = message["type"] == "http.response.start"
            await asyncio.sleep(rng.lognormvariate(-1.6, 0.5) if first else 0.01)
            await send(message)

        await app(scope, receive, send_later)

    return delayed
