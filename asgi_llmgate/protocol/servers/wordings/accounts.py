"""One request is more than the account at the model server allows, however long the client waits."""

from __future__ import annotations

import re

from asgi_llmgate.protocol.servers.wordings.flags import FLAGS

OVER_RATE = re.compile(
    r"tokens per min(?:ute)? \(tpm\): limit (?P<limit>\d{1,9}), requested (?P<prompt>\d{1,9})", FLAGS
)
"""`corrections`, `errors.actionable`: one request has more tokens, those of `max_tokens` counted, than the account may
use in a minute (OpenAI, Groq).  A request that is only too early has "Used" between the two numbers."""

AFFORDABLE = re.compile(r"fewer max_tokens.{0,80}?can only afford (?P<telling>\d{1,9})", FLAGS)
"""`corrections`: the output tokens that the credit is enough for (OpenRouter)."""
