"""The files of examples/deploy agree with each other, with the gateway, and with what Kubernetes accepts."""

from __future__ import annotations

import configparser
import re
import runpy
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from asgi_llmgate import Gateway
from asgi_llmgate.settings import parse_size, read_file, read_settings
from asgi_llmgate.testing.driver import call
from asgi_llmgate.workers import MARGIN
from tests.docs.blocks import NAMED
from tests.installing import ROOT, python_environment, run

DEPLOY = ROOT / "examples" / "deploy"
SILENCE = 600
"""Seconds that Claude Code waits for a call that does not stream."""


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    file = tmp_path / "openai"
    file.write_text("sk-x")
    return file


def text(name: str) -> str:
    return (DEPLOY / name).read_text("utf-8")


def seconds(duration: str) -> int:
    return int(duration[:-1]) * {"s": 1, "m": 60}[duration[-1]]


def manifests() -> dict[str, Any]:
    return {each["kind"]: each for each in yaml.safe_load_all(text("kubernetes.yaml"))}


def unit() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment]
    parser.read_string(text("llmgate.service"))
    return parser["Service"]


def test_each_waits_for_the_one_before_it(key: Path) -> None:
    gunicorn = runpy.run_path(str(DEPLOY / "gunicorn.conf.py"))
    drain = read_settings(read_file(DEPLOY / "llmgate.yaml")).server.drain
    pod = manifests()["Deployment"]["spec"]["template"]["spec"]
    before = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert drain.signal
    assert drain.after < gunicorn["graceful_timeout"] - MARGIN
    assert gunicorn["graceful_timeout"] < int(unit()["TimeoutStopSec"])
    assert before + gunicorn["graceful_timeout"] < pod["terminationGracePeriodSeconds"]
    page = (ROOT / "docs" / "how-to" / "deploy.md").read_text("utf-8")
    told = [int(number) for number in re.findall(r"^\| .* \| (\d+) \|$", page, re.MULTILINE)]
    grace, stop = gunicorn["graceful_timeout"], int(unit()["TimeoutStopSec"])
    assert told == [drain.after, grace - MARGIN, grace, stop, pod["terminationGracePeriodSeconds"]]


def test_proxies_wait_longer_than_a_call_is_silent(key: Path) -> None:
    nginx = dict(re.findall(r"^ +(\w+) +(.*);$", text("nginx.conf"), re.MULTILINE))
    assert seconds(nginx["proxy_read_timeout"]) > SILENCE
    assert seconds(nginx["proxy_send_timeout"]) > SILENCE
    assert (nginx["proxy_buffering"], nginx["gzip"]) == ("off", "off")
    caddy = dict(re.findall(r"^\t+(\w+) ([^\n{]+)$", text("Caddyfile"), re.MULTILINE))
    assert seconds(caddy["response_header_timeout"]) > SILENCE
    assert "flush_interval" not in caddy
    limit = parse_size(read_settings(read_file(DEPLOY / "llmgate.yaml")).server.body_limit, "")
    assert parse_size(f"{nginx['client_max_body_size']}ib", "") == parse_size(caddy["max_size"], "") == limit
    gunicorn = runpy.run_path(str(DEPLOY / "gunicorn.conf.py"))
    assert gunicorn["keepalive"] > seconds(caddy["keepalive"])


def test_the_unit_stops_gunicorn_alone_and_hands_it_the_key() -> None:
    service = unit()
    assert service["KillMode"] == "mixed"
    assert service["LoadCredential"].startswith("openai:/")
    assert service["ExecStart"].endswith("/gunicorn app:app")
    assert service["WorkingDirectory"] == "/srv/llmgate"


def test_the_image_holds_no_key_runs_as_nobody_and_hears_sigterm() -> None:
    lines = [line for line in text("Dockerfile").splitlines() if line and not line.startswith("#")]
    said = [line.split(maxsplit=1) for line in lines]
    (copied,) = (rest for word, rest in said if word == "COPY")
    assert all((DEPLOY / name).is_file() for name in copied.split()[:-1])
    assert ["USER", "65534:65534"] in said
    assert said[-1][0] == "CMD"
    assert yaml.safe_load(said[-1][1])[:2] == ["gunicorn", "app:app"]
    assert "sk-" not in text("Dockerfile")


def test_the_key_comes_from_a_secret_that_is_in_no_file() -> None:
    found = manifests()
    assert "Secret" not in found
    pod = found["Deployment"]["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    environment = {each["name"]: each["value"] for each in pod["containers"][0]["env"]}
    assert volumes["keys"]["secret"]["secretName"] == "llmgate"
    assert mounts["keys"] == environment["CREDENTIALS_DIRECTORY"]
    assert environment["LLMGATE_CONFIG"] == mounts["settings"] + "/llmgate.yaml"


def test_the_names_in_the_manifests_fit() -> None:
    found = manifests()
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert found["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert found["Service"]["spec"]["selector"] == labels
    assert found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    (container,) = found["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert found["Service"]["spec"]["ports"][0]["targetPort"] == container["ports"][0]["name"] == "http"


@pytest.fixture
def sigterm() -> Iterator[None]:
    """The handler of SIGTERM is put back."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


async def test_the_settings_are_good_and_the_probes_ask_what_is_there(key: Path, sigterm: None) -> None:
    settings = yaml.safe_load(text("llmgate.yaml"))
    assert yaml.safe_load(manifests()["ConfigMap"]["data"]["llmgate.yaml"]) == settings
    (container,) = manifests()["Deployment"]["spec"]["template"]["spec"]["containers"]
    async with Gateway.from_file(DEPLOY / "llmgate.yaml") as gateway:
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            path = container[probe]["httpGet"]["path"].removeprefix("/llm")
            assert (await call(gateway, "GET", path)).status == 200


@pytest.mark.servers
def test_kubernetes_accepts_the_manifests(tmp_path: Path) -> None:
    python = python_environment("kubernetes", "kubernetes-validate", constrained=True)
    ingress = tmp_path / "ingress.yaml"
    ingress.write_text(NAMED["deploy alb"].text)
    validate = str(python.parent / "kubernetes-validate")
    told = run(validate, "--strict", "-k", "1.37", str(DEPLOY / "kubernetes.yaml"), str(ingress))
    assert told.count("passed") == 5, told
