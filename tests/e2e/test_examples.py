"""The example apps, each started by its one command, with the real Claude Code in front of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from asgi_llmgate.testing.idp import MockIdP
from asgi_llmgate.testing.model_script import call, say
from asgi_llmgate.testing.model_server import ModelServer
from tests.e2e.conftest import UPSTREAM_KEY, Lab
from tests.helpers.installation import ROOT
from tests.helpers.server_processes import running, wait_for_output

if TYPE_CHECKING:
    from tests.e2e.claude_code.client import ClaudeCode

pytestmark = pytest.mark.suites

PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"


@contextmanager
def run_example(folder: Path, **environment: str) -> Iterator[str]:
    """The address of the example in this folder, started by its run.sh on a free port."""
    own = {"PATH": PATH, "PORT": "0", "HOME": str(folder), **environment}
    output = folder / "output.txt"
    with running(["sh", "run.sh"], output, folder, whole_environment=own) as process:
        yield wait_for_output(r"Uvicorn running on (http://\S+)", output, process)


@pytest.fixture
def example(tmp_path: Path, serve: Callable[..., str]) -> Iterator[Callable[[str], tuple[str, Lab]]]:
    """Starts a copy of an example: the app's address, and its gateway with the model behind it."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def start(name: str) -> tuple[str, Lab]:
            ignored = shutil.ignore_patterns(".llmgate", "db.sqlite3", "__pycache__")
            folder = shutil.copytree(ROOT / "examples" / name, tmp_path / name, ignore=ignored)
            model = ModelServer(
                [call("Write", file_path="hello.txt", content="hi\n"), say("Done, says Acme.")], api_key=UPSTREAM_KEY
            )
            upstream = {"OPENAI_BASE_URL": serve(model) + "/v1", "OPENAI_API_KEY": UPSTREAM_KEY}
            url = stack.enter_context(run_example(folder, **upstream))
            return url, Lab(f"{url}/llm", [], model, MockIdP.in_folder(folder / ".llmgate"), tmp_path / "none")

        yield start


@pytest.mark.parametrize(
    ("name", "path", "shows"),
    [
        ("starlette_app", "/", "Your visit no. 1"),
        ("fastapi_app", "/", '"gateway":"/llm"'),
        ("quart_app", "/", "The coffee machine is back."),
        ("django_site", "/admin/login/", "Django administration"),
    ],
)
def test_the_app_is_as_it_was_and_claude_code_works_beside_it(
    example: Callable[[str], tuple[str, Lab]], claude: ClaudeCode, name: str, path: str, shows: str
) -> None:
    url, gate = example(name)
    assert shows in httpx.get(url + path).text
    run = claude("Write hello.txt.", "--allowedTools", "Write", gate=gate)
    assert (run.result, run.is_error) == ("Done, says Acme.", False)
    assert (run.folder / "hello.txt").read_text() == "hi\n"
    assert httpx.post(f"{gate.url}/v1/messages", json={}).status_code == 401
    for check in CHECKS.get(name, ()):
        check(url, gate)


def fastapis_own_route_knows_the_same_tokens(url: str, gate: Lab) -> None:
    assert httpx.get(f"{url}/orders").status_code == 401
    (order,) = httpx.get(f"{url}/orders", headers={"authorization": f"Bearer {gate.token()}"}).json()
    assert order["item"] == "paper"


def djangos_commands_know_of_the_calls(url: str, gate: Lab) -> None:
    folder = gate.log.parent / "django_site"
    environment = {"PATH": PATH, "OPENAI_API_KEY": "x"}
    command = [sys.executable, "manage.py", "llmgate_usage", "--by", "outcome", "--format", "json"]
    for _ in range(50):  # rows come a moment after the answer; each start of the command is that moment
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
        requests: dict[str, Any] = {row["outcome"]: row["requests"] for row in json.loads(done.stdout)}
        if requests.get("refused"):
            break
    assert requests["ok"] >= 2


CHECKS: dict[str, list[Callable[[str, Lab], None]]] = {
    "fastapi_app": [fastapis_own_route_knows_the_same_tokens],
    "django_site": [djangos_commands_know_of_the_calls],
}


def test_a_missing_key_is_told_before_anything_starts(tmp_path: Path) -> None:
    folder = shutil.copytree(ROOT / "examples" / "starlette_app", tmp_path / "app")
    done = subprocess.run(["sh", "run.sh"], cwd=folder, env={"PATH": PATH}, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "OPENAI_API_KEY" in done.stderr
    assert "For another OpenAI-compatible server" in done.stderr
