"""Made-up traffic for the lab's usage page: people with real tokens, who call the gateway over HTTP.

Nothing is written into the ledger by hand.  What is made up is who calls, what they ask, and how long the embedded
model takes for how long an answer.
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
_WORKERS = 5
_PEOPLE = ("ada", "grace", "linus", "margaret", "ken", "barbara", "dennis", "frances", "guido", "radia")
_WEIGHTS = (9, 7, 6, 4, 4, 3, 2, 2, 1, 1)
_ASKED = ("claude-opus-5-5", "claude-sonnet-5", "claude-haiku-5")
_TOOLS = {"Read": 9, "Bash": 8, "Edit": 6, "Grep": 4, "mcp__jira__get_issue": 1}
_MARK = "[made-up traffic]"
_WORDS = (
    "the",
    "test",
    "fails",
    "because",
    "a",
    "file",
    "is",
    "read",
    "before",
    "it",
    "has",
    "been",
    "written",
    "so",
    "wait",
)


class Traffic:
    """Calls through the gateway at `base`: most are answered, some refused, some broken off."""

    def __init__(self, base: str, idp: MockIdP, model: str, *, seed: int | None = None) -> None:
        self._url = f"{base}/v1/messages"
        self._chance = random.Random(seed)  # noqa: S311
        self._tokens = {name: idp.mint(sub=name, llms={"openai": [model]}) for name in _PEOPLE}
        self._denied = {name: idp.mint(sub=name, team="marketing") for name in ("mark", "mary")}
        self._expired = idp.mint(sub="ada", exp=int(time.time()) - 3600)

    def start(self, *, then: Callable[[], None]) -> None:
        """Go on for some minutes in threads of its own, then call `then`."""
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
        """So many calls, some at once; says how they ended."""
        with httpx.Client(timeout=60, trust_env=False) as client, ThreadPoolExecutor(_WORKERS) as workers:
            seen = Counter(workers.map(lambda _: self._call(client), range(calls)))
        counted = ", ".join(f"{number} x {status}" for status, number in sorted(seen.items()))
        return f"{calls} made-up calls: {counted}"

    def _work(self, until: float) -> None:
        with httpx.Client(timeout=60, trust_env=False) as client:
            while time.monotonic() < until:
                try:
                    self._call(client)
                except httpx.HTTPError:  # the gateway is going down
                    return
                time.sleep(self._chance.expovariate(0.6))

    def _call(self, client: httpx.Client) -> int:
        chance = self._chance
        headers = {"anthropic-version": "2023-06-01"} | self._login()
        body = self._body()
        with client.stream("POST", self._url, json=body, headers=headers) as answer:
            for _ in answer.iter_bytes():
                if body["stream"] and chance.random() < 0.0004:
                    break  # somebody has pressed Escape
            return answer.status_code

    def _login(self) -> dict[str, str]:
        dice = self._chance.random()
        if dice < 0.02:
            return {}
        token = self._tokens[self._chance.choices(_PEOPLE, _WEIGHTS)[0]]
        if dice < 0.05:
            token = self._expired
        elif dice < 0.1:
            token = self._chance.choice(list(self._denied.values()))
        return {"authorization": f"Bearer {token}"}

    def _body(self) -> dict[str, Any]:
        words = self._chance.choices(_WORDS, k=int(self._chance.lognormvariate(6, 1)))
        return {
            "model": self._chance.choice(_ASKED),
            "max_tokens": 4096,
            "stream": self._chance.random() < 0.8,
            "messages": [{"role": "user", "content": f"{_MARK} {' '.join(words)}"}],
            "tools": [{"name": name, "input_schema": {"type": "object"}} for name in _TOOLS],
        }


def busy_model(name: str) -> ASGIApp:
    """The embedded model, for made-up questions with answers of all lengths, and as slow as one that thinks."""
    chance = random.Random()  # noqa: S311

    def answer(request: ReceivedRequest) -> Turn:
        if _MARK not in request.prompt:
            return small_model.answer(request)
        if chance.random() < 0.02:
            return refuse(500, "The server had an error while processing your request.")
        words = " ".join(chance.choices(_WORDS, k=5 + int(chance.lognormvariate(3.5, 0.8))))
        tools = chance.choices(list(_TOOLS), list(_TOOLS.values()), k=chance.choice((0, 1, 1, 2)))
        return sum((call(tool, about=words[:20]) for tool in tools), say(words))

    return unhurried(ModelServer(model=name, otherwise=answer), chance)


def unhurried(app: ASGIApp, chance: random.Random) -> ASGIApp:
    """The app, thinking before it begins to answer and pausing between the pieces."""

    async def thinking(scope: Scope, receive: Receive, send: Send) -> None:
        async def slowly(message: Message) -> None:
            first = message["type"] == "http.response.start"
            await asyncio.sleep(chance.lognormvariate(-1.6, 0.5) if first else 0.01)
            await send(message)

        await app(scope, receive, slowly)

    return thinking
