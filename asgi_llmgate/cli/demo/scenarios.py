"""The lab's scenarios: requests and their expected results."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from asgi_llmgate.testing.idp import MockIdP
from asgi_llmgate.testing.minting import person

QUESTION = "In one sentence, what is an API gateway?"

_TIMEOUT = 120
"""Seconds without a byte of the response, after which it is given up."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One request.  `team`: the claim of its token, None for a request without a token.  `expected`: whether a status
    and the text of a response are the expected result."""

    request: str
    team: str | None
    expected: Callable[[int, str], bool]
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a scenario; `text` is the error message, or the model and its text.  `status` is 0 where no
    response came."""

    request: str
    status: int
    text: str
    as_expected: bool


SCENARIOS = (
    Scenario("no token", None, lambda status, text: status == 401 and bool(text)),
    Scenario("a token of team marketing", "marketing", lambda status, text: status == 403 and bool(text)),
    Scenario("a token of team data-platform", "data-platform", lambda status, text: status == 200 and bool(text)),
    Scenario("the same, streamed", "data-platform", lambda status, text: status == 200 and bool(text), stream=True),
)


def run(scenario: Scenario, base: str, idp: MockIdP, model: str) -> Result:
    """Send the request to the gateway at `base`.

    The body is in the Messages format, as Claude Code sends it.  The token allows `model`, as the lab's policy
    requires.
    """
    headers = {"anthropic-version": "2023-06-01"}
    if scenario.team is not None:
        token = idp.mint(person("ada", "acme"), team=scenario.team, llms={"openai": [model]})
        headers["authorization"] = f"Bearer {token}"
    body = {
        "model": "claude-3-5-sonnet-20241022",
        "max_tokens": 128,
        "stream": scenario.stream,
        "messages": [{"role": "user", "content": QUESTION}],
    }
    try:
        # Not through a proxy: the gateway is on this machine.
        response = httpx.post(f"{base}/v1/messages", json=body, headers=headers, timeout=_TIMEOUT, trust_env=False)
    except httpx.TimeoutException:
        return Result(scenario.request, 0, f"no response within {_TIMEOUT} seconds", as_expected=False)
    try:
        text = (
            _text_of_stream(response.text)
            if scenario.stream and response.status_code == 200
            else _text_of_message(response.json())
        )
    except (ValueError, KeyError, TypeError, IndexError):
        text = ""
    return Result(scenario.request, response.status_code, text, scenario.expected(response.status_code, text))


def _text_of_message(message: Any) -> str:
    if message["type"] == "error":
        return str(message["error"]["message"])
    text = " ".join(block["text"] for block in message["content"] if block["type"] == "text")
    return f"{message['model']}: {text}" if text else ""


def _text_of_stream(text: str) -> str:
    events = [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]
    # A stream that was cut off, or ended by `event: error`, is not a result.
    if events[-1]["type"] != "message_stop":
        return ""
    parts = "".join(event["delta"].get("text", "") for event in events if event["type"] == "content_block_delta")
    return f"{events[0]['message']['model']}: {parts}" if parts else ""
