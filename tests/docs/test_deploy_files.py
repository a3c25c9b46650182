"""The files of examples/deploy agree with each other, with the gateway, and with what Kubernetes accepts."""

from __future__ import annotations

import configparser
import os
import re
import runpy
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from asgi_llmgate import Gateway
from asgi_llmgate.config.schema import read_file, read_settings
from asgi_llmgate.config.sections.server import DESCRIPTORS_PER_STREAM
from asgi_llmgate.config.units import parse_size
from asgi_llmgate.testing.driver import call
from asgi_llmgate.workers import MARGIN
from tests.docs.code_blocks import NAMED
from tests.helpers.distribution.project import WHEEL, extras
from tests.helpers.installation import CONSTRAINTS, ROOT, debian_packages, python_environment, run

DEPLOY = ROOT / "examples" / "deploy"
SILENCE = 600
"""Seconds that Claude Code waits for a call that does not stream."""


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("LEDGER_URL", f"sqlite:///{tmp_path}/llmgate.db")
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
    parser = configparser.ConfigParser(interpolation=None, strict=False)
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


def test_the_image_has_no_key_no_root_user_and_gets_sigterm() -> None:
    lines = [line for line in text("Dockerfile").splitlines() if line and not line.startswith("#")]
    said = [line.split(maxsplit=1) for line in lines if not line.startswith(" ")]
    pins, copied = (rest for word, rest in said if word == "COPY")
    assert pins.split()[:2] == [CONSTRAINTS.name, WHEEL]
    assert all((DEPLOY / name).is_file() for name in copied.split()[:-1])
    assert ["USER", "65534:65534"] in said
    assert said[-1][0] == "CMD"
    assert yaml.safe_load(said[-1][1])[:2] == ["gunicorn", "app:app"]
    assert "sk-" not in text("Dockerfile")


def test_two_builds_of_the_image_are_the_same() -> None:
    """An exact release of Python, this release of ours, and every package in the version of constraints.txt."""
    file = text("Dockerfile")
    assert re.search(r"^ARG PYTHON=3\.\d+\.\d+-slim-\w+$", file, re.MULTILINE)
    assert "FROM python:${PYTHON}\n" in file
    assert "--constraint /tmp/constraints.txt" in file
    (named,) = re.findall(rf'"/tmp/{re.escape(WHEEL)}\[([\w,]+)\]"', file)
    assert set(named.split(",")) <= extras().keys()


def test_the_journal_is_in_the_folder_that_may_be_written() -> None:
    settings = yaml.safe_load(text("llmgate.yaml"))
    assert settings["usage"]["ledger"]["journal"].startswith("${STATE_DIRECTORY}/")
    service = unit()
    state = "/var/lib/" + service["StateDirectory"]
    assert service["ProtectSystem"] == "strict"
    assert state in service["Environment"]
    pod = manifests()["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    environment = {each["name"]: each.get("value") for each in container["env"]}
    written = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert environment["STATE_DIRECTORY"] in written
    assert f"STATE_DIRECTORY={environment['STATE_DIRECTORY']}" in text("Dockerfile")


def test_a_busy_worker_is_not_killed_by_its_probe() -> None:
    (container,) = manifests()["Deployment"]["spec"]["template"]["spec"]["containers"]
    alive = container["livenessProbe"]
    assert alive["failureThreshold"] * alive["periodSeconds"] >= 60
    assert alive["timeoutSeconds"] >= 5


def test_the_pods_speak_to_whom_they_have_to() -> None:
    found = manifests()
    policy = found["NetworkPolicy"]["spec"]
    assert policy["podSelector"]["matchLabels"] == found["Deployment"]["spec"]["selector"]["matchLabels"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert all(rule["from"] for rule in policy["ingress"])
    ports = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    assert ports == {53, 443, 5432}
    blocks = [to["ipBlock"] for rule in policy["egress"] for to in rule["to"] if "ipBlock" in to]
    assert all("169.254.0.0/16" in block["except"] for block in blocks)


def test_workers_may_open_four_files_for_each_stream(key: Path) -> None:
    streams = read_settings(read_file(DEPLOY / "llmgate.yaml")).server.streams
    assert int(unit()["LimitNOFILE"]) >= DESCRIPTORS_PER_STREAM * streams


def test_connections_and_silence_are_bounded_at_the_proxies() -> None:
    nginx = text("nginx.conf")
    zones = set(re.findall(r"^limit_conn_zone \S+ zone=(\w+):", nginx, re.MULTILINE))
    assert zones == set(re.findall(r"^ +limit_conn (\w+) \d+;", nginx, re.MULTILINE))
    assert seconds(re.search(r"client_body_timeout (\w+);", nginx)[1]) <= 60  # type: ignore[index]
    assert seconds(re.search(r"client_header_timeout (\w+);", nginx)[1]) <= 60  # type: ignore[index]
    caddy = text("Caddyfile")
    assert re.search(r"read_header 10s", caddy)
    assert re.search(r"read_body \w+", caddy)


def test_the_key_comes_from_a_secret_that_is_in_no_file() -> None:
    found = manifests()
    assert "Secret" not in found
    pod = found["Deployment"]["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    environment = {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}
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
    assert told.count("passed") == 6, told


@pytest.mark.servers
def test_nginx_accepts_its_file(tmp_path: Path) -> None:
    debian_packages("nginx-light", "openssl")
    make = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=gate.example.com")
    run(*make, "-keyout", tmp_path / "key", "-out", tmp_path / "certificate")
    here = text("nginx.conf").replace("/etc/ssl/private/gate.example.com.key", str(tmp_path / "key"))
    here = here.replace("/etc/ssl/gate.example.com.pem", str(tmp_path / "certificate"))
    main = tmp_path / "nginx.conf"
    main.write_text(f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ access_log off; {here} }}")
    run("nginx", "-t", "-q", "-p", tmp_path, "-c", main)


@pytest.mark.servers
def test_caddy_accepts_its_file(tmp_path: Path) -> None:
    debian_packages("caddy")
    shutil.copy(DEPLOY / "Caddyfile", tmp_path)
    home = {**os.environ, "HOME": str(tmp_path)}
    run("caddy", "validate", "--adapter", "caddyfile", "--config", tmp_path / "Caddyfile", env=home)


@pytest.mark.servers
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on this machine")
def test_systemd_accepts_its_unit_and_finds_little_exposed(tmp_path: Path) -> None:
    here = tmp_path / "llmgate.service"
    here.write_text(text("llmgate.service").replace("/srv/llmgate/.venv/bin/gunicorn", sys.executable))
    run("systemd-analyze", "verify", "--man=no", here)
    run("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=15", here)


def test_pages_and_examples_name_the_same_gunicorn_worker() -> None:
    """uvicorn's own worker kills open streams when it stops."""
    files = [*(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.py")]
    named = [each for file in files for each in re.findall(r'^worker_class = "(.*)"$', file.read_text("utf-8"), re.M)]
    assert len(named) > 2
    assert set(named) == {"asgi_llmgate.workers.UvicornWorker"}
