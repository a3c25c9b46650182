"""`llmgate model` as a process, asked as a gateway or an SDK asks it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from asgi_llmgate.cli.model import NOTE
from tests.helpers.server_processes import running, wait_for, wait_for_output

LLMGATE = Path(sys.executable).with_name("llmgate")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "output.txt"


@pytest.fixture
def base_url(output: Path) -> Iterator[str]:
    words = [LLMGATE, "model", "--port", "0", "--model", "mine", "--api-key", "sk-trial", "--context-window", "5000"]
    with running(words, output, graceful=False) as process:
        yield wait_for_output(r"base_url +(http://127\.0\.0\.1:\d+/v1)\n", output, process)


def ask(base_url: str, text: str = "Say hello.", key: str = "sk-trial", **more: object) -> httpx.Response:
    body = {"model": "mine", "messages": [{"role": "user", "content": text}], **more}
    headers = {"authorization": f"Bearer {key}"}
    return httpx.post(f"{base_url}/chat/completions", json=body, headers=headers, trust_env=False)


def test_it_answers_and_prints_a_line_without_the_prompt(base_url: str, output: Path) -> None:
    answer = ask(base_url).json()
    text = answer["choices"][0]["message"]["content"]
    assert text == f"You said: Say hello.{NOTE}"
    assert "base_url" in NOTE
    models = httpx.get(f"{base_url}/models", headers={"authorization": "Bearer sk-trial"}, trust_env=False).json()
    assert [row["id"] for row in models["data"]] == ["mine"]
    assert ask(base_url, key="sk-other").status_code == 401
    assert ask(base_url, max_tokens=5000).status_code == 400
    assert ask(base_url, model="other\x1b[31m").status_code == 200
    wait_for(lambda: output.read_text().count("  POST ") == 4, "four lines")
    printed = output.read_text()
    assert re.findall(r"^  (?:GET|POST) .*", printed, re.MULTILINE) == [
        "  POST /v1/chat/completions 200  mine  1 messages, 0 tools",
        "  GET /v1/models 200",
        "  POST /v1/chat/completions 401  mine  1 messages, 0 tools",
        "  POST /v1/chat/completions 400  mine  1 messages, 0 tools",
        "  POST /v1/chat/completions 200  other?[31m  1 messages, 0 tools",
    ]
    assert "hello" not in printed
    assert "sk-" not in printed


def test_it_uses_the_tools_that_the_client_offers(base_url: str) -> None:
    tool = {"type": "function", "function": {"name": "Write", "parameters": {"type": "object"}}}
    choice = ask(base_url, "Write hello.txt.", tools=[tool]).json()["choices"][0]
    assert choice["message"]["tool_calls"][0]["function"]["name"] == "Write"
    assert choice["finish_reason"] == "tool_calls"


NO_REQUESTS = [
    b"",
    b"[]",
    b"nonsense",
    b'{"model": "mine"}',
    b'{"model": "mine", "messages": "x"}',
    b'{"model": "mine", "messages": [1]}',
    b'{"model": 1, "messages": [{"role": "user", "content": "x"}]}',
]


def test_a_body_that_is_no_request_is_refused_and_it_goes_on(base_url: str) -> None:
    headers = {"authorization": "Bearer sk-trial"}
    for body in NO_REQUESTS:
        answer = httpx.post(f"{base_url}/chat/completions", content=body, headers=headers, trust_env=False)
        assert answer.status_code == 400, body
    assert ask(base_url).status_code == 200


def test_ctrl_c_ends_it_without_a_traceback(output: Path) -> None:
    # what a shell starts in the background ignores SIGINT, and so do its children: a test run, for example
    listening = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    )
    words = [sys.executable, "-c", listening, str(LLMGATE), "model", "--port", "0"]
    with running(words, output, graceful=False) as process:
        wait_for_output(r"base_url +(\S+)", output, process)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert "Traceback" not in output.read_text()


def test_it_answers_when_nobody_reads_its_output_any_more(tmp_path: Path) -> None:
    """`llmgate model | head -3`: the pipe is closed, the answers go on."""
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    words = [LLMGATE, "model", "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment) as process:
        try:
            assert process.stdout is not None
            printed = b""
            while b"Requests:" not in printed:
                printed += os.read(process.stdout.fileno(), 4096)
            process.stdout.close()
            url = re.search(rb"base_url +(\S+)", printed)
            assert url is not None
            assert ask(url[1].decode()).status_code == 200
        finally:
            process.kill()
