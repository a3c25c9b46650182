"""`llmgate demo` as a newcomer runs it: the command, in a folder of its own."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from asgi_llmgate.cli.demo import FILES
from asgi_llmgate.testing.model_script import refuse, say
from asgi_llmgate.testing.model_server import ModelServer
from asgi_llmgate.testing.serving import bind

ROOT = Path(__file__).parents[2]
LLMGATE = Path(sys.executable).with_name("llmgate")


@pytest.fixture
def demo(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    for name in FILES:
        (tmp_path / name).write_bytes((ROOT / "examples" / "lab" / name).read_bytes())

    def run(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("OPENAI_")}
        return subprocess.run(
            [LLMGATE, "demo", "--dir", str(tmp_path), *options],
            env=clean | {"NO_PROXY": "127.0.0.1"} | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


def free_port() -> str:
    with bind() as listener:
        return str(listener.getsockname()[1])


def test_the_scenarios_have_the_expected_results(
    demo: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = demo("--port", free_port())
    assert done.returncode == 0, done.stdout + done.stderr
    printed = re.findall(r"^  (.+?) {2,}(\d{3})  (.+)$", done.stdout, re.MULTILINE)
    assert [(request, status) for request, status, _ in printed] == [
        ("no token", "401"),
        ("a token of team marketing", "403"),
        ("a token of team data-platform", "200"),
        ("the same, streamed", "200"),
    ]
    assert "no bearer token found" in printed[0][2]
    assert "authorization failed" in printed[1][2]
    assert printed[2][2].startswith("gpt-4o-mini-2024-07-18: ")
    lines = re.findall(r'"status":(\d+)', done.stdout)
    assert lines == ["401", "403", "200", "200"]
    assert (tmp_path / ".llmgate" / "private-key.json").stat().st_mode & 0o777 == 0o600
    assert "eyJ" not in done.stdout + done.stderr
    assert "sk-" not in done.stdout + done.stderr


def test_a_taken_port_is_reported_and_another_one_is_used(
    demo: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    with bind() as taken:
        port = taken.getsockname()[1]
        done = demo("--once", "--port", str(port))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Port {port} is taken; using port " in done.stdout


def test_a_model_server_of_the_users_own_is_used(
    demo: Callable[..., subprocess.CompletedProcess[str]], serve: Callable[..., str]
) -> None:
    server = ModelServer([say("Ours."), say("Ours.")], model="qwen3-coder", api_key="sk-ours")
    done = demo(
        "--once",
        "--port",
        free_port(),
        OPENAI_BASE_URL=serve(server) + "/v1",
        OPENAI_API_KEY="sk-ours",
        OPENAI_MODEL="qwen3-coder",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Ours." in done.stdout
    assert [request.body["model"] for request in server.requests] == ["qwen3-coder", "qwen3-coder"]


def test_an_unexpected_result_is_exit_code_1(
    demo: Callable[..., subprocess.CompletedProcess[str]], serve: Callable[..., str]
) -> None:
    server = ModelServer([refuse(500, "out of order").always()])
    done = demo("--once", "--port", free_port(), OPENAI_BASE_URL=serve(server) + "/v1")
    assert done.returncode == 1
    assert "not the expected result" in done.stderr


def test_made_up_traffic_goes_through_the_gateway_into_the_ledger(
    demo: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = demo("--once", "--traffic", "--port", free_port())
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"60 made-up calls: \d+ x 200", done.stdout)
    report = [LLMGATE, "usage", "report", "--by", "model,team", "--format", "json"]
    rows = json.loads(subprocess.run(report, cwd=tmp_path, capture_output=True, text=True, check=True).stdout)
    assert sum(row["requests"] for row in rows) == 64
    assert rows[0]["cost_usd"] > 0
    assert {row["model"] for row in rows} == {"gpt-4o-mini", ""}


def test_made_up_traffic_to_a_model_that_costs_money_is_refused(
    demo: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = demo("--once", "--traffic", "--port", free_port(), OPENAI_API_KEY="sk-real")
    assert done.returncode == 1
    assert "which costs money" in done.stderr


def test_the_usage_page_is_opened_by_a_link_that_works_once(tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).write_bytes((ROOT / "examples" / "lab" / name).read_bytes())
    clean = {key: value for key, value in os.environ.items() if not key.startswith("OPENAI_")}
    ours, theirs = pty.openpty()
    command = [LLMGATE, "demo", "--dir", str(tmp_path), "--port", free_port()]
    with subprocess.Popen(
        command, stdout=theirs, stdin=subprocess.DEVNULL, env=clean | {"NO_PROXY": "127.0.0.1"}
    ) as demo:
        try:
            printed = b""
            while b"Serving until Ctrl-C" not in printed:
                printed += os.read(ours, 4096)
            (link,) = re.findall(r"(http://\S+/llm-usage/\?key=\S+)", printed.decode())
            with httpx.Client(trust_env=False, follow_redirects=True) as browser:
                page = browser.get(link)
                assert page.url.path == "/llm-usage/"
                assert "<h1>LLM usage</h1>" in page.text
                assert browser.get(page.url).status_code == 200
            assert httpx.get(link, trust_env=False).status_code == 403
        finally:
            demo.terminate()  # SIGINT is ignored by what a shell has started in the background, and by its children
            os.close(theirs)
            os.close(ours)


def test_the_labs_files_are_in_the_wheel() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {f"examples/lab/{name}" for name in FILES} == set(build["force-include"])
