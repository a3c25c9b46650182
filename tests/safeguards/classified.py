"""A classifier in front of scripted model servers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from asgi_llmgate import Backend, Exchange, Identity
from asgi_llmgate.exchange_values import Call, Target, ToolUse, Verdict
from asgi_llmgate.net import HTTPClient
from asgi_llmgate.protocol.messages.request import decode_messages
from asgi_llmgate.protocol.servers.dialects import DIALECTS
from asgi_llmgate.safeguards.classifier import Classifier
from asgi_llmgate.testing.model_script import ReceivedRequest, Turn, say
from asgi_llmgate.upstream import Upstream


def verdicts(*outcomes: str) -> str:
    """An answer with these outcomes, in the order of the calls."""
    given = [
        {"id": str(number), "reason": f"{outcome} {number}", "outcome": outcome}
        for number, outcome in enumerate(outcomes, 1)
    ]
    return json.dumps({"verdicts": given})


def says(*outcomes: str) -> Turn:
    return say(verdicts(*outcomes))


def lines_of(request: ReceivedRequest) -> list[dict[str, Any]]:
    """The lines of JSON that a classifier was shown."""
    [asked] = [message for message in request.messages if message["role"] == "user"]
    content = asked["content"]
    texts = [content] if isinstance(content, str) else [part["text"] for part in content]
    return [json.loads(line) for text in texts for line in text.splitlines()]


def bash(command: str, number: int = 1) -> ToolUse:
    return ToolUse(f"toolu_{number}", "Bash", json.dumps({"command": command}).encode())


class Classifying:
    """`urls` are the model servers, each a target `m0/model`, `m1/model`, ...  Use it with `async with`."""

    def __init__(self, *urls: str, dialect: str = "openai", **options: Any) -> None:
        self.records: list[Exchange] = []
        self.client = HTTPClient()
        backends = {
            f"m{index}": Backend(base_url=url + "/v1", dialect=DIALECTS[dialect]) for index, url in enumerate(urls)
        }
        upstreams = {name: Upstream(backend, self.client) for name, backend in backends.items()}
        targets = [Target(name, "vendor", "model") for name in backends]
        self.classifier = Classifier(targets, upstreams, **options)

    async def __aenter__(self) -> Classifying:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.client.aclose()

    async def __call__(self, *uses: ToolUse, agent_id: str = "", **fields: Any) -> Sequence[Verdict]:
        """The verdicts on these calls; `fields` are those of the turn's request."""
        body = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "make it work"}], **fields}
        request = decode_messages(json.dumps(body).encode())
        exchange = Exchange(method="POST", path="/v1/messages", record=self.records.append)
        exchange.identity = Identity("alice", "issuer", "idp")
        exchange.call = Call(request, (), session_id="session", agent_id=agent_id)
        self.exchange = exchange
        return await self.classifier.classify(exchange, request, uses)


def summary(verdict: Verdict) -> tuple[str, str]:
    return verdict.outcome, verdict.explanation


def without_time(verdict: Verdict) -> Verdict:
    return replace(verdict, milliseconds=0.0)
