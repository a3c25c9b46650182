"""What `safeguards` adds to a response: python -m benchmarks.safeguards [--calls 20] [--rounds 150]

The whole gateway is called in memory, with a request as Claude Code's auto mode sends it. The model server is an httpx
transport that responds at once, so what is measured is the gateway's own work, in processor time. In each round the
gateway without the section and the gateway with it run the same calls, one after the other. Printed are the fastest
rounds, and the median of the ratios. With --check the exit code is 1 where a claim is missed.
"""

from __future__ import annotations

import asyncio
import json
import statistics
from functools import partial
from typing import Any

import click
import httpx

from asgi_llmgate import Backend, Gateway, HTTPClient, ModelRow
from asgi_llmgate.endpoints.app import TranslationApp
from asgi_llmgate.safeguards.judging import Safeguards
from asgi_llmgate.safeguards.rules import SafeguardRule
from benchmarks.usage import HEAD, USAGE, Stream, measure

TOOL = {"name": "Bash", "description": "Run", "input_schema": {"type": "object"}}
COMMAND = "cd service && git fetch --all && kubectl --context staging get pods | grep -v Running > pods.txt"
WORDS, CALLS = 40, 2
"""Words of a response, and tool calls of one that has some."""

CONTEXT = {
    "v": 1,
    "permission_mode": "auto",
    "platform": "linux",
    "live_cwd": "/home/ada/service",
    "home_dir": "/home/ada",
    "trusted_directories": {"primary": {"path": "/home/ada/service", "resolved": ["/home/ada/service"]}},
    "rules": {"allow": [], "deny": [], "ask": []},
    "git_state": {"cwd": "/home/ada/service", "branch": "main", "status": {"porcelain": " M app.py\n" * 60}},
    "prior_turn_context": [{"tool_use_ids": [f"toolu_{n:024}"], "context": {"platform": "linux"}} for n in range(25)],
    "refused_calls": [],
}
"""As Claude Code sends it after some rounds."""

RULES = [
    SafeguardRule(
        name="production",
        outcome="flag",
        when='tool.name == "Bash" && tool.input.command.contains("--context prod")',
        reason="production is changed by the pipeline",
    ),
    SafeguardRule(
        name="downloads",
        outcome="flag",
        when='tool.name == "Bash" && tool.commands.exists(c, c[0] in ["curl", "wget"])',
        reason="downloads go through the company's mirror",
    ),
    SafeguardRule(name="reads", outcome="pass", when='tool.name in ["Read", "Grep", "Glob"]'),
    SafeguardRule(name="shell", outcome="pass", when='tool.name == "Bash"'),
]


def deltas(calls: int) -> list[dict[str, Any]]:
    text = [{"content": f"word{n} "} for n in range(WORDS)]
    arguments = json.dumps({"command": COMMAND, "description": "Look at the pods"})
    pieces: list[dict[str, Any]] = []
    for index in range(calls):
        call = {"index": index, "id": f"call_{index}", "type": "function"}
        pieces.append({"tool_calls": [{**call, "function": {"name": "Bash", "arguments": ""}}]})
        for at in range(0, len(arguments), 12):
            pieces.append({"tool_calls": [{"index": index, "function": {"arguments": arguments[at : at + 12]}}]})
    return [{"role": "assistant"}, *text, *pieces]


class Model(httpx.AsyncBaseTransport):
    """Responds as a stream in one piece, with text and as many calls of a tool as it is made for."""

    def __init__(self, calls: int) -> None:
        events = [{**HEAD, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas(calls)]
        reason = "tool_calls" if calls else "stop"
        events.append({**HEAD, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
        events.append({**HEAD, "choices": [], "usage": USAGE})
        chunks = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in events] + [b"data: [DONE]\n\n"]
        self._stream = b"".join(chunks)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Stream([self._stream]))


def gateway(calls: int, safeguards: Safeguards | None = None) -> Gateway:
    return Gateway(
        backends={"main": Backend(base_url="http://model.test/v1")},
        models=[ModelRow("*", ("main/gpt-4o-mini",))],
        client=HTTPClient(transport=Model(calls)),
        endpoints=partial(TranslationApp, safeguards=safeguards),
    )


async def added(
    rules: list[SafeguardRule], calls: int, body: bytes, *, repeats: int, rounds: int
) -> tuple[float, float, float]:
    """Microseconds of a call without the section, what the section adds, and the ratio of both."""
    without, with_rules = gateway(calls), gateway(calls, Safeguards(rules))
    for each in (without, with_rules):
        await measure(each, body, 20)
    pairs = [(await measure(without, body, repeats), await measure(with_rules, body, repeats)) for _ in range(rounds)]
    base = min(base for base, _ in pairs)
    return base, min(mine for _, mine in pairs) - base, statistics.median(mine / base for base, mine in pairs)


@click.command()
@click.option("--calls", default=20, show_default=True, help="Calls of each gateway in a round.")
@click.option("--rounds", default=150, show_default=True)
@click.option("--check", is_flag=True, help="Exit with 1 where a claim is missed.")
def main(calls: int, rounds: int, check: bool) -> None:
    """Compare."""
    body = json.dumps(
        {
            "model": "claude-opus-5-5",
            "max_tokens": 500,
            "stream": True,
            "tools": [TOOL],
            "messages": [{"role": "user", "content": "hello " * 200}],
            "safeguards": [{"type": "dangerous_tool_use", "classifier_context": CONTEXT}],
        }
    ).encode()
    click.echo(f"{'a stream':44}  µs/call   added   ratio")
    missed = False
    for title, rules, number, limit in (
        ("of text", RULES, 0, 20),
        (f"with {CALLS} calls, decided by rules", RULES[:1] + RULES[2:], CALLS, 300),
        (f"with {CALLS} calls, a rule reads tool.commands", RULES, CALLS, 0),
    ):
        base, more, ratio = asyncio.run(added(rules, number, body, repeats=calls, rounds=rounds))
        missed = missed or 0 < limit <= more
        claim = f"   claimed: under {limit} µs" if limit else ""
        click.echo(f"{title:44}  {base:7.0f} {more:7.1f}   {ratio:5.2f}{claim}")
    if check and missed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
