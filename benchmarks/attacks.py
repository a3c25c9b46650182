"""Whether one caller can stop the others: python -m benchmarks.attacks [NAME ...]

A gateway runs in a process of its own, as `llmgate serve` runs it.  While each attack goes on, `/healthz` is asked
every few milliseconds on a connection of its own: the longest wait for it is how long the event loop stood still, and
the growth of the process's largest resident set is what the attack cost in memory.  Attacks are what a caller with a
valid token may send whom the rules deny every model, or what a model server may send.

With --check the exit code is 1 where a wait was longer than 200 ms or the memory grew by more than 600 MB (twice
`server.body_memory` as it is set here, and what a process keeps of it).  Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import yaml

from asgi_llmgate.testing.idp import MockIdP
from benchmarks.attack_shapes import ANSWERS, BODIES

WAIT, GROWTH = 200.0, 600.0
"""Milliseconds, and MB."""

PAUSE = 0.005
PATIENCE = 90.0

RULES = [
    {
        "name": "each fact is read",
        "action": "deny",
        "when": "llm.messageCount + llm.inputTokensEstimate + size(llm.toolNames) < (llm.hasImages ? -1 : -2)",
    },
    {"name": "entitled", "when": 'jwt.team == "data-platform" && llm.model in jwt.llms.openai'},
]
SERVER = {"client_stall": 3}


@dataclass(frozen=True)
class Gate:
    """The gateway under attack: its address and process, tokens of a caller with all models and of one with none."""

    address: tuple[str, int]
    process: int
    entitled: str
    denied: str

    def connect(self, **options: int) -> socket.socket:
        connection = socket.socket()
        for name, value in options.items():
            connection.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
        connection.settimeout(PATIENCE)
        connection.connect(self.address)
        return connection

    def head(self, path: str, length: int, token: str, *more: str) -> bytes:
        lines = [f"POST {path} HTTP/1.1", "host: gate", f"authorization: Bearer {token}", f"content-length: {length}"]
        return "\r\n".join([*lines, "content-type: application/json", *more, "", ""]).encode()

    def post(self, path: str, body: bytes, token: str, *more: str) -> int:
        """The status; 0 where the connection was closed without one.  The rest is read and discarded."""
        with self.connect() as connection, suppress(ConnectionError):
            with suppress(ConnectionError):
                connection.sendall(self.head(path, len(body), token, "connection: close", *more) + body)
            begun = connection.recv(65536)
            while connection.recv(2**20):
                pass
            return int(begun.split()[1]) if begun else 0
        return 0


Attack = Callable[[Gate], str]
"""What the attack got: the statuses, in short."""


def _body(path: str, make: Callable[[], bytes], *, packed: bool) -> Attack:
    def attack(gate: Gate) -> str:
        body = make()
        more = ("content-encoding: gzip",) if packed else ()
        return str(gate.post(path, gzip.compress(body, 6) if packed else body, gate.denied, *more))

    return attack


def _answer(model: str, *, stream: bool, calls: int = 1) -> Attack:
    request = {"model": model, "max_tokens": 100, "stream": stream, "messages": [{"role": "user", "content": "hi"}]}

    def attack(gate: Gate) -> str:
        body = json.dumps(request).encode()
        return " ".join(str(gate.post("/v1/messages", body, gate.entitled)) for _ in range(calls))

    return attack


def _unfinished(gate: Gate) -> str:
    """Thirty bodies without their last bytes."""
    begun = b'{"model":"m","messages":[{"role":"user","content":"' + b"x" * (30 * 2**20)
    with ExitStack() as open_ones:
        connections = [open_ones.enter_context(gate.connect()) for _ in range(30)]
        seen = set()
        for connection in connections:
            with suppress(ConnectionError):
                connection.sendall(gate.head("/v1/messages", len(begun) + 100, gate.entitled) + begun)
        for connection in connections:
            with suppress(ConnectionError):
                seen.add((connection.recv(100).split() or [b"", b"0"])[1].decode())
        return " ".join(sorted(seen))


def _head(more: bytes) -> Attack:
    def attack(gate: Gate) -> str:
        with gate.connect() as connection, suppress(ConnectionError):
            with suppress(ConnectionError):
                connection.sendall(b"GET /v1/models HTTP/1.1\r\nhost: gate\r\n" + more)
            return (connection.recv(100).split() or [b"", b"closed"])[1].decode()
        return "closed"

    return attack


def _path(path: str) -> Attack:
    return lambda gate: str(gate.post(path, b"", gate.denied))


def _stalled(gate: Gate) -> str:
    """Fifty clients that ask for an endless stream and read none of it."""
    request = {"model": "endless", "max_tokens": 100, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    body = json.dumps(request).encode()
    with ExitStack() as open_ones:
        for _ in range(50):
            connection = open_ones.enter_context(gate.connect(SO_RCVBUF=4096))
            connection.sendall(gate.head("/v1/messages", len(body), gate.entitled) + body)
        time.sleep(SERVER["client_stall"] + 5)  # type: ignore[operator]
    return "50 streams"


def _made_up_tokens(gate: Gate) -> str:
    seen = {gate.post("/v1/messages", b"{}", f"opaque-{number:08}") for number in range(300)}
    return " ".join(map(str, sorted(seen)))


ATTACKS: dict[str, Attack] = {
    **{name: _body(path, make, packed=packed) for name, (path, make, packed) in BODIES.items()},
    "30 bodies without their ends": _unfinished,
    "a path of 30,000 parts": _path("/v1/models/" + "a/" * 30_000),
    "a million equal headers": _head(b"a: b\r\n" * 1_000_000 + b"\r\n"),
    "headers without an end": _head(b"a: b\r\n" * 8_000_000),
    **{name: _answer(name, stream=stream, calls=calls) for name, (_, stream, calls) in ANSWERS.items()},
    "50 clients that stop reading": _stalled,
    "300 made-up tokens": _made_up_tokens,
}


def measured(gate: Gate, attack: Attack) -> tuple[float, float, str]:
    """The longest wait for /healthz in ms, the growth of the resident set in MB, and what the attack got."""
    Path(f"/proc/{gate.process}/clear_refs").write_text("5")  # proc(5): the peak begins anew
    before = _resident(gate.process, "VmRSS")
    outcome: list[str] = []
    thread = threading.Thread(target=lambda: outcome.append(attack(gate)), daemon=True)
    longest, ending = 0.0, time.monotonic() + PATIENCE
    with gate.connect() as connection:
        thread.start()
        while thread.is_alive() and time.monotonic() < ending:
            longest = max(longest, _asked(connection))
            time.sleep(PAUSE)
    return longest * 1e3, _resident(gate.process, "VmHWM") - before, outcome[0] if outcome else "still running"


def _asked(connection: socket.socket) -> float:
    begun = time.perf_counter()
    connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: gate\r\n\r\n")
    response = b""
    while not response.endswith(b"ok\n"):
        piece = connection.recv(4096)
        if not piece:
            raise ConnectionError("the gateway closed the connection of its probe")
        response += piece
    return time.perf_counter() - begun


def _resident(process: int, name: str) -> float:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


@contextmanager
def _gate(folder: Path) -> Iterator[Gate]:
    idp = MockIdP.in_folder(folder)
    here, there = _free_port(), _free_port()
    settings = _settings(there)
    (folder / "llmgate.yaml").write_text(yaml.safe_dump(settings))
    with ExitStack() as running:
        running.enter_context(_process(there, sys.executable, "-m", "benchmarks.attack_shapes", str(there)))
        llmgate = Path(sys.executable).with_name("llmgate")
        config = folder / "llmgate.yaml"
        process = running.enter_context(_process(here, llmgate, "serve", "--config", config, "--port", str(here)))
        everything = {"openai": ["m", *ANSWERS, "endless"]}
        yield Gate(("127.0.0.1", here), process, idp.mint(llms=everything), idp.mint(llms={"openai": []}))


def _settings(upstream: int) -> dict[str, object]:
    introspection = {"url": f"http://127.0.0.1:{upstream}/introspect", "client_id": "gate", "client_secret": "env:OURS"}
    provider = {"issuer": "claude-code-lab", "audiences": ["anthropic-api"], "jwks": {"file": "jwks.json"}}
    named = [{"match": name, "use": f"openai/{name}"} for name in (*ANSWERS, "endless")]
    stars = [{"match": "*a*b*c*d*e*f*g*h", "use": "openai/m"}, {"match": "*", "use": "openai/m"}]
    return {
        "auth": {"providers": [{**provider, "introspection": introspection}]},
        "policy": {"rules": RULES},
        "backends": {"openai": {"base_url": f"http://127.0.0.1:{upstream}/v1"}},
        "models": [*named, *stars],
        "routes": {"/v1/chat/completions": "completions", "/v1/embeddings": {"passthrough": "openai"}},
        "server": SERVER,
        "usage": {"access_log": {"file": "access.log"}},
    }


@contextmanager
def _process(port: int, *command: str | Path) -> Iterator[int]:
    """A program that listens on a port."""
    environment = {**os.environ, "OURS": "secret"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(port)
            yield process.pid
        finally:
            process.kill()


def _wait_for(port: int) -> None:
    ending = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > ending:
                raise
            time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="attacks whose names contain one of these texts")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    missed = 0
    print("| attack | /healthz at the most | memory | answers |\n|---|---|---|---|")
    for name, attack in ATTACKS.items():
        if options.names and not any(word in name for word in options.names):
            continue
        with tempfile.TemporaryDirectory() as folder, _gate(Path(folder)) as gate:
            measured(gate, lambda gate: str(gate.post("/v1/messages", b"{}", gate.entitled)))  # its first request
            wait, growth, outcome = measured(gate, attack)
        missed += wait > WAIT or growth > GROWTH
        print(f"| {name} | {wait:.0f} ms | {growth:.0f} MB | {outcome} |", flush=True)
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
