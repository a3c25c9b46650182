"""What a developer's Claude Code would show: calls through the whole gateway, with the rules and limits in force.

The gateway is built in this process, without the sinks: the doctor's calls are in no ledger and no access log.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from asgi_llmgate.auth.providers.jwt_provider import TENANT, JWTProvider
from asgi_llmgate.cli.doctor.asking import Answer, ask
from asgi_llmgate.cli.doctor.model_servers.calls import TOOL
from asgi_llmgate.cli.doctor.steps import Step, Steps
from asgi_llmgate.gateway import Gateway
from asgi_llmgate.secret_values import Secret

_OUTPUT = 32_000
"""`max_tokens` of Claude Code for names that it does not know."""

_SHOWN = 60
"""Characters of a response that are printed."""

_FAR = 4_102_444_800
"""`exp` of a made-up token: 2100. Its signature is none, so nobody accepts it."""

_HINTS = {
    401: "`llmgate check --token -` tells which check of the token fails",
    403: "`llmgate policy explain` tells which rule decides",
}


@dataclass(frozen=True, slots=True)
class Developer:
    """A developer who asks for the models `names`, with a `token` or without one. `seconds` is the time for a call.

    `needs_token`: the gateway refuses who has none.
    """

    gateway: Gateway
    names: Sequence[str]
    seconds: float
    token: Secret | None = None
    needs_token: bool = True

    async def run(self, broken: Sequence[tuple[str, JWTProvider]] = (), *, with_calls: bool = True) -> Steps:
        """`broken` are the providers that do not work, with their places in the settings."""
        if self.needs_token:
            answer = await self._ask(self.names[0], None)
            message = f"who has no token is refused with {answer.status}"
            yield Step(path="auth", message=message, shown=answer.shown(self.names[0]))
        for path, provider in broken:
            answer = await self._ask(self.names[0], made_up_token(provider))
            if answer.status >= 500:  # else the token itself is judged
                message = "no token of this provider can be verified"
                yield Step(state="error", path=path, message=message, shown=answer.shown(self.names[0]))
        if self.needs_token and self.token is None:
            message = "no call with a token: --token - reads one from standard input"
            yield Step(state="skipped", path="models", message=message)
            return
        if not with_calls:
            return
        for name in self.names:
            yield about_developers_call(name, await self._ask(name, self.token))

    async def _ask(self, model: str, token: Secret | None) -> Answer:
        body = {
            "model": model,
            "max_tokens": _OUTPUT,
            "stream": True,
            "system": [{"type": "text", "text": "You are Claude Code. This is a check of the connection."}],
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Answer with the word: works"}]}],
            "tools": [TOOL],
            "metadata": {"user_id": json.dumps({"session_id": "llmgate-doctor"})},
        }
        return await ask(self.gateway, body, seconds=self.seconds, token=token)


def about_developers_call(name: str, answer: Answer) -> Step:
    """The step for a call through the whole gateway."""
    if answer.is_good:
        text = " ".join(answer.text.split())
        shown = repr(text[:_SHOWN] + ("..." if len(text) > _SHOWN else "")) if text else "no text"
        return Step(path="models", message=f"{name} through the whole gateway: 200, {shown}")
    message = f"{name} through the whole gateway: {answer.status or 'no response'}, {answer.error}"
    return Step(
        state="error", path="models", message=message, hint=_HINTS.get(answer.status, ""), shown=answer.shown(name)
    )


def made_up_token(provider: JWTProvider) -> Secret:
    """A token that names the provider and has no valid signature, so that the gateway has to look for its keys."""
    issuer = provider.issuers[0].replace(TENANT, "00000000-0000-0000-0000-000000000000")
    header = {"alg": provider.algorithms[0], "kid": "llmgate-doctor", "typ": "JWT"}
    claims: dict[str, Any] = {"iss": issuer, "sub": "llmgate-doctor", "exp": _FAR}
    if provider.audiences != "none":
        claims["aud"] = provider.audiences[0]
    if TENANT in provider.issuers[0]:
        claims["tid"] = "00000000-0000-0000-0000-000000000000"
    parts = [json.dumps(part).encode() for part in (header, claims)]
    return Secret(".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (*parts, b"no signature")))
