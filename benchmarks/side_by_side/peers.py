"""Other gateways, by the same load: each in an environment of its own, or not at all, with the reason."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import yaml

from benchmarks.side_by_side import bodies
from benchmarks.side_by_side.bench import HERE, Bench
from benchmarks.side_by_side.clients import Load, make_calls
from benchmarks.side_by_side.processes import NotStarted, Server, free_port, running

LITELLM = "litellm[proxy]==1.108.7"
ROUTER = "@musistudio/claude-code-router@2.0.0"

CACHE = HERE / ".cache" / "peers"
INSTALLING = 900.0
"""Seconds."""


class Unavailable(Exception):
    """The peer cannot be had here; the text says why."""


@contextmanager
def litellm(bench: Bench) -> Iterator[Server]:
    """LiteLLM's proxy without a database, without keys, without logs; one worker."""
    environment = CACHE / "litellm"
    if not (environment / "installed").exists():
        _install(sys.executable, "-m", "venv", str(environment))
        _install(str(environment / "bin/python"), "-m", "pip", "install", "--quiet", LITELLM)
        (environment / "installed").touch()
    config, port = bench.folder / "litellm.yaml", free_port()
    model = {"model": "openai/gpt-4o-mini", "api_base": f"http://127.0.0.1:{bench.model_port}/v1", "api_key": "key"}
    # without this it asks the model server for OpenAI's Responses
    options = {"telemetry": False, "use_chat_completions_url_for_anthropic_messages": True}
    models = [{"model_name": "*", "litellm_params": model}]
    config.write_text(yaml.safe_dump({"model_list": models, "litellm_settings": options}))
    command = [str(environment / "bin/litellm"), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    quiet = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "PYTHONPATH": "", "PYTHONSAFEPATH": ""}
    quiet["LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY"] = "true"
    with running("LiteLLM", command, port, quiet) as server:
        yield server


@contextmanager
def claude_code_router(bench: Bench) -> Iterator[Server]:
    """claude-code-router without logs and without its key."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        raise Unavailable("node or npm is not installed")
    package = CACHE / "router"
    program = package / "node_modules/@musistudio/claude-code-router/dist/cli.js"
    if not program.exists():
        _install("npm", "install", "--prefix", str(package), "--no-audit", "--no-fund", "--ignore-scripts", ROUTER)
    port, home = free_port(), bench.folder / "router"
    address = f"http://127.0.0.1:{bench.model_port}/v1/chat/completions"
    provider = {"name": "model", "api_base_url": address, "api_key": "key", "models": ["gpt-4o-mini"]}
    options = {"PORT": port, "LOG": False, "NON_INTERACTIVE_MODE": True, "Router": {"default": "model,gpt-4o-mini"}}
    (home / ".claude-code-router").mkdir(parents=True)
    (home / ".claude-code-router/config.json").write_text(json.dumps({**options, "Providers": [provider]}))
    with running("claude-code-router", [node, str(program), "start"], port, {"HOME": str(home)}) as server:
        yield server


@contextmanager
def agentgateway(bench: Bench) -> Iterator[Server]:
    """agentgateway with JWT, a rule and a log line, if its binary is there."""
    binary = shutil.which("agentgateway")
    if binary is None:
        raise Unavailable("agentgateway is not on the PATH")
    port, config = free_port(), bench.folder / "agentgateway.yaml"
    model = {
        "name": "model",
        "hostOverride": f"127.0.0.1:{bench.model_port}",
        "provider": {"openAI": {"model": "gpt-4o-mini"}},
    }
    policies = {
        "ai": {"routes": {"/v1/messages": "messages"}},
        "backendAuth": {"key": "key"},
        "jwtAuth": {"issuer": "bench", "audiences": ["bench"], "jwks": {"file": str(bench.folder / "jwks.json")}},
        "authorization": {"rules": ['jwt.team == "bench"']},
    }
    route = {"backends": [{"ai": model}], "policies": policies}
    config.write_text(yaml.safe_dump({"binds": [{"port": port, "listeners": [{"routes": [route]}]}]}))
    with running("agentgateway", [binary, "-f", str(config)], port, {}, headers=bench.headers) as server:
        yield server


PEERS: Sequence[tuple[str, Callable[[Bench], AbstractContextManager[Server]]]] = (
    ("LiteLLM", litellm),
    ("claude-code-router", claude_code_router),
    ("agentgateway", agentgateway),
)


LEFT_OUT = (
    "Anthropic's gateway (claude gateway): it gives out its tokens itself, after a sign-in at an OpenID provider, "
    "wants PostgreSQL, and translates nothing",
)


def start(bench: Bench, open_ones: ExitStack, skip: Callable[[str], object]) -> list[Server]:
    """Those that can be had; `skip` is told why the others cannot."""
    servers = []
    for reason in LEFT_OUT:
        skip(reason)
    for name, peer in PEERS:
        try:
            servers.append(open_ones.enter_context(peer(bench)))
        except (Unavailable, NotStarted) as error:
            skip(f"{name}: {error}")
    return servers


async def those_that_respond(servers: Iterable[Server], skip: Callable[[str], object]) -> list[Server]:
    """Those that respond to a call and a stream with a 200."""
    found = []
    for server in servers:
        try:
            for content in (bodies.small(), bodies.small(stream=True)):
                await make_calls(server.port, server.request(content), Load(most=1))
        except RuntimeError as error:
            skip(f"{server.name}: {str(error)[:300]}")
        else:
            found.append(server)
    return found


def _install(*command: str) -> None:
    """Raises Unavailable."""
    Path(CACHE).mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run(command, capture_output=True, text=True, check=True, timeout=INSTALLING)
    except subprocess.CalledProcessError as error:
        raise Unavailable(f"{' '.join(command[:3])}: {error.stderr.strip()[-300:]}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(str(error)) from None
