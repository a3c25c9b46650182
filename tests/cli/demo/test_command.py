"""`llmgate demo` as a newcomer runs it: the command, in a folder of its own."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from asgi_llmgate.cli.demo.lab_folder import FILES
from asgi_llmgate.testing.model_script import say
from asgi_llmgate.testing.model_server import ModelServer
from asgi_llmgate.testing.serving import bind
from tests.cli.demo.conftest import LLMGATE, Demo
from tests.helpers.distribution.project import pyproject


def test_the_scenarios_have_the_expected_results(demo: Demo, lab: Path) -> None:
    done = demo()
    assert done.returncode == 0, done.stdout + done.stderr
    printed = re.findall(r"^  (.+?) {2,}(\d{3})  (.+)$", done.stdout, re.MULTILINE)
    assert [(request, status) for request, status, _ in printed] == [
        ("no token", "401"),
        ("a token of team marketing", "403"),
        ("a token of team data-platform", "200"),
        ("the same, streamed", "200"),
    ]
    assert "no bearer token found" in printed[0][2]
    assert printed[2][2].startswith("gpt-4o-mini-2024-07-18: ")
    lines = re.findall(r'"status":(\d+)', done.stdout)
    assert lines == ["401", "403", "200", "200"]
    assert done.stdout.count('"jwt.sub":"ada"') == 3, "the usage page shows who called"
    assert (lab / ".llmgate" / "private-key.json").stat().st_mode & 0o777 == 0o600
    assert "eyJ" not in done.stdout + done.stderr
    assert "sk-" not in done.stdout + done.stderr


def test_a_taken_port_is_reported_and_another_one_is_used(
    demo: Demo,
) -> None:
    with bind() as taken:
        port = taken.getsockname()[1]
        done = demo("--once", "--port", str(port))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Port {port} is taken; using port " in done.stdout


def test_a_model_server_of_the_users_own_is_used(demo: Demo, serve: Callable[..., str]) -> None:
    server = ModelServer([say("Ours."), say("Ours.")], model="qwen3-coder", api_key="sk-ours")
    done = demo(
        "--once",
        OPENAI_BASE_URL=serve(server) + "/v1",
        OPENAI_API_KEY="sk-ours",
        OPENAI_MODEL="qwen3-coder",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Ours." in done.stdout
    assert [(request.path, request.body.get("model")) for request in server.requests] == [
        ("/v1/models", None),
        ("/v1/chat/completions", "qwen3-coder"),
        ("/v1/chat/completions", "qwen3-coder"),
    ]


@pytest.mark.suites
def test_made_up_traffic_goes_through_the_gateway_into_the_ledger(demo: Demo, lab: Path) -> None:
    done = demo("--once", "--traffic")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"60 made-up calls: \d+ x 200", done.stdout)
    report = [LLMGATE, "usage", "report", "--by", "model,team", "--format", "json"]
    rows = json.loads(subprocess.run(report, cwd=lab, capture_output=True, text=True, check=True).stdout)
    assert sum(row["requests"] for row in rows) == 64
    assert rows[0]["cost_usd"] > 0
    assert {row["model"] for row in rows} == {"gpt-4o-mini", ""}


def test_made_up_traffic_to_a_model_that_costs_money_is_refused(
    demo: Demo,
) -> None:
    done = demo("--once", "--traffic", OPENAI_API_KEY="sk-real")
    assert done.returncode == 1
    assert "which costs money" in done.stderr


def test_the_usage_page_is_opened_by_a_link_that_works_once(lab: Path) -> None:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("OPENAI_")}
    ours, theirs = pty.openpty()
    command = [LLMGATE, "demo", "--dir", str(lab), "--port", "0"]
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
    build = pyproject()["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {f"examples/lab/{name}" for name in FILES} <= set(build["force-include"])
