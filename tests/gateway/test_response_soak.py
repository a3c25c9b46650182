"""600 MB of one answer over real sockets: what has gone out to the client is not kept."""

from __future__ import annotations

import http.client
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any
from urllib.parse import urlsplit

import pytest

Serve = Callable[..., str]
TOTAL = 600 * 2**20
MOST = 100 * 2**20

PROGRAM = """
import sys
from asgi_llmgate import Gateway
from asgi_llmgate.testing.serving import serving

settings = {
    "backends": {"model": {"base_url": sys.argv[1] + "/v1"}},
    "models": [{"match": "*", "use": "model/m"}],
    "auth": {"mode": "off"},
    "policy": {"default": "allow"},
    "usage": {"access_log": {"file": "/dev/null"}},
}
with serving(Gateway.from_settings(settings)) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


def event(**delta: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    return f"data: {json.dumps({'id': 'c1', 'model': 'm', 'choices': [choice]})}\n\n".encode()


TEXT = event(content="all work and no play makes Jack a dull boy, " * 100)
PIECES = {
    "text": (b"", TEXT * 8),
    "arguments": (
        event(tool_calls=[{"index": 0, "id": "1", "function": {"name": "A", "arguments": '{"a":"'}}]),
        event(tool_calls=[{"index": 0, "function": {"arguments": "all work and no play " * 200}}]) * 8,
    ),
}


def endless(before: bytes, piece: bytes) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": before, "more_body": True})
        for _ in range(TOTAL // len(piece)):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})

    return app


def peak_memory(pid: int) -> int:
    """Bytes that a process has had in memory at once."""
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


@pytest.mark.soak
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
@pytest.mark.parametrize(("shape", "stream"), [("text", True), ("text", False), ("arguments", True)])
def test_six_hundred_megabytes_of_deltas_peak_under_a_hundred_above_idle(
    serve: Serve, shape: str, stream: bool
) -> None:
    upstream = serve(endless(*PIECES[shape]))
    with Popen(
        [sys.executable, "-c", PROGRAM, upstream], stdin=PIPE, stdout=PIPE, text=True, env=dict(os.environ)
    ) as gate:
        assert gate.stdout is not None
        url = urlsplit(gate.stdout.readline().strip())
        status, size = asked(url.netloc, stream=True, tokens=1)
        idle = peak_memory(gate.pid)
        status, size = asked(url.netloc, stream=stream, tokens=1_000_000)
        used = peak_memory(gate.pid) - idle
        gate.terminate()
    assert used < MOST
    print(f"{shape}, stream={stream}: {size} bytes, {used / 2**20:.1f} MiB above idle")
    assert status == (200 if stream else 502)
    assert (size > TOTAL // 2) is (stream and shape == "text")


def asked(address: str, *, stream: bool, tokens: int) -> tuple[int, int]:
    """The status, and how long the answer was.  One token only warms up."""
    connection = http.client.HTTPConnection(address, timeout=300)
    body = {"model": "m", "max_tokens": tokens, "stream": stream, "messages": [{"role": "user", "content": "hello"}]}
    connection.request("POST", "/v1/messages", json.dumps(body), {"content-type": "application/json"})
    answer = connection.getresponse()
    size = 0
    while piece := answer.read(2**16):
        size += len(piece)
        if tokens == 1 and size > 1000:
            break
    connection.close()
    return answer.status, size
