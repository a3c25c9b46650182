"""LangChain's own tests of its chat model for Anthropic: it cannot tell the gateway from Anthropic's API."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from tests.e2e.suites.obliging_model import respond
from tests.helpers.installation import python_environment

if TYPE_CHECKING:
    from tests.e2e.conftest import Lab

pytestmark = pytest.mark.suites

PROGRAM = Path(__file__).parents[1] / "programs" / "langchain_suite.py"
LANGCHAIN = ("langchain-anthropic==1.7.10", "langchain-tests==1.1.9")


def test_langchains_standard_tests_pass(lab: Callable[..., Lab], tmp_path: Path) -> None:
    python = python_environment("langchain", *LANGCHAIN)
    gate = lab(
        otherwise=respond,
        auth={"token_sources": ["authorization", "x-api-key"]},
        models=[{"match": name, "use": f"openai/{name}"} for name in ("claude-sonnet-4-5", "claude-haiku-4-5")],
    )
    report = tmp_path / "report.xml"
    options = ["-q", "--noconftest", "-c", os.devnull, "--rootdir", tmp_path, "-o", "asyncio_mode=auto"]
    done = subprocess.run(
        [python, "-m", "pytest", *options, f"--junit-xml={report}", PROGRAM],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "GATE": gate.url,
            "TOKEN": gate.token(),
            "LANGSMITH_TRACING": "false",
            "NO_PROXY": "127.0.0.1",
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    cases = list(ElementTree.parse(report).iter("testcase"))
    assert {case.get("name") for case in cases if case.find("skipped") is not None} == SKIPPED
    assert Counter(str(case.get("classname")).rpartition(".")[2] for case in cases) == COLLECTED
    records = gate.records()
    assert {record["status"] for record in records} == {200}
    dropped = {name for record in records for name in record.get("llmgate.dropped", ())}
    assert dropped == {"messages[].content[].cache_control", "messages[].content[].thinking", "tools[].cache_control"}


COLLECTED = {"TestChatAnthropic": 50, "TestStructuredOutputBySchema": 7}
SKIPPED = {
    "test_audio_inputs",  # the Messages API has none
    "test_json_mode",  # nor that
    "test_stream_time",  # a benchmark of recorded responses
}
