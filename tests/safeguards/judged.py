from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from asgi_llmgate import Exchange, Identity
from asgi_llmgate.exchange_values import Call, Target, ToolUse, Verdict
from asgi_llmgate.protocol.messages.request import decode_messages
from asgi_llmgate.safeguards.judging import Safeguards
from asgi_llmgate.safeguards.rules import SafeguardRule
from asgi_llmgate.testing.driver import http_scope

REQUEST = decode_messages(b'{"model":"claude-opus-5-5","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}')


def use(name: str = "Bash", arguments: Any = None, *, text: bytes | None = None) -> ToolUse:
    """A tool call; `text` is its input as the model wrote it."""
    return ToolUse("toolu_1", name, msgspec.json.encode(arguments or {}) if text is None else text)


def bash(command: str) -> ToolUse:
    return use("Bash", {"command": command})


def rule(name: str, outcome: Any, when: str, **more: Any) -> SafeguardRule:
    return SafeguardRule(name, outcome, when, **more)


class Judging:
    """Safeguards with the parts of one request."""

    def __init__(self, *rules: SafeguardRule, claims: dict[str, Any] | None = None, **options: Any) -> None:
        self.safeguards = Safeguards(rules, **options)
        self.scope, self.exchange = Exchange.enter(http_scope("POST", "/v1/messages"))
        self.exchange.identity = Identity("alice", "i", "idp", claims or {"team": "data"})
        self.exchange.call = Call(REQUEST, (Target("vllm", "on-prem", "qwen3"),))
        self.exchange.target = Target("vllm", "on-prem", "qwen3")

    async def all(self, *uses: ToolUse, by_server: Sequence[Verdict] = ()) -> Sequence[Verdict]:
        told = {verdict.tool_use.id: verdict for verdict in by_server}
        return await self.safeguards.judge(self.scope, self.exchange, REQUEST, uses, told)

    async def one(self, tool_use: ToolUse, **options: Any) -> Verdict:
        (verdict,) = await self.all(tool_use, **options)
        return verdict
