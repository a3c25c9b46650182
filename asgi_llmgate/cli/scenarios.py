"""The lab's scenarios: what is asked, and what has to come back."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from asgi_llmgate.testing.idp import MockIdP

QUESTION = "In one sentence, what is an API gateway?"


@dataclass(frozen=True, slots=True)
class Scenario:
    """`team` is whose token goes along, None for no token; `stated` judges the status and the text that comes back."""

    request: str
    team: str | None
    stated: Callable[[int, str], bool]
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    request: str
    status: int
    told: str
    as_stated: bool


SCENARIOS = (
    Scenario("no token", None, lambda status, told: status == 401 and "no bearer token found" in told),
    Scenario(
        "a token of team marketing", "marketing", lambda status, told: status == 403 and "authorization failed" in told
    ),
    Scenario("a token of team data-platform", "data-platform", lambda status, told: status == 200 and bool(told)),
    Scenario("the same, streamed", "data-platform", lambda status, told: status == 200 and bool(told), stream=True),
)


def run(scenario: Scenario, base: str, idp: MockIdP, model: str) -> Seen:
    """Send the same Anthropic Messages body that Claude Code would send, and look at what comes back.

    The token is minted for `model`, as the lab's entitlement has it.
    """
    headers = {"anthropic-version": "2023-06-01"}
    if scenario.team is not None:
        headers["authorization"] = f"Bearer {idp.mint(team=scenario.team, llms={'openai': [model]})}"
    body = {
        "model": "claude-3-5-sonnet-20241022",
        "max_tokens": 128,
        "stream": scenario.stream,
        "messages": [{"role": "user", "content": QUESTION}],
    }
    answer = httpx.post(f"{base}/v1/messages", json=body, headers=headers, timeout=120, trust_env=False)
    try:
        told = _streamed(answer.text) if scenario.stream and answer.status_code == 200 else _whole(answer.json())
    except (ValueError, KeyError, TypeError, IndexError):
        told = ""
    return Seen(scenario.request, answer.status_code, told, scenario.stated(answer.status_code, told))


def _whole(message: Any) -> str:
    if message["type"] == "error":
        return str(message["error"]["message"])
    text = " ".join(block["text"] for block in message["content"] if block["type"] == "text")
    return f"{message['model']}: {text}" if text else ""


def _streamed(text: str) -> str:
    events = [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]
    if events[-1]["type"] != "message_stop":
        return ""
    words = "".join(event["delta"].get("text", "") for event in events if event["type"] == "content_block_delta")
    return f"{events[0]['message']['model']}: {words}" if words else ""
