"""The reverse proxies of examples/deploy before a real server: they hold nothing back, and hide no client's leaving."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers.installation import ROOT, debian_packages, run
from tests.helpers.server_processes import PATIENCE, free_port, running, wait_for
from tests.servers.conftest import Gate, Start, is_ready
from tests.servers.server_table import SERVERS

pytestmark = pytest.mark.servers

DEPLOY = ROOT / "examples" / "deploy"

NGINX = """
daemon off;
user root;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


def changed(file: str, **changes: str) -> str:
    """A file of examples/deploy with other addresses, each of which has to be there."""
    text = (DEPLOY / file).read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return text


def nginx(folder: Path, port: int, behind: int) -> list[str]:
    changes = {"listen 443 ssl;": f"listen 127.0.0.1:{port};", "127.0.0.1:8000": f"127.0.0.1:{behind}"}
    site = changed("nginx.conf", **changes)
    site = "\n".join(line for line in site.splitlines() if "ssl_certificate" not in line)
    (folder / "site.conf").write_text(site)
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder))
    return [program("nginx"), "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"]


def caddy(folder: Path, port: int, behind: int) -> list[str]:
    site = changed(
        "Caddyfile", **{"gate.example.com": f"http://127.0.0.1:{port}", "127.0.0.1:8000": f"127.0.0.1:{behind}"}
    )
    assert site.startswith("{\n")
    (folder / "Caddyfile").write_text("{\n\tadmin off\n" + site.removeprefix("{\n"))
    return [program("caddy"), "run", "--adapter", "caddyfile", "--config", f"{folder}/Caddyfile"]


def program(name: str) -> str:
    path = f"{os.environ['PATH']}:/usr/sbin"
    if shutil.which(name, path=path) is None:
        debian_packages(name)
    found = shutil.which(name, path=path)
    assert found is not None
    return found


Proxy = Callable[[Path, int, int], list[str]]


@pytest.fixture(scope="module", params=[nginx, caddy], ids=["nginx", "caddy"])
def gate(request: pytest.FixtureRequest, start: Start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    proxy: Proxy = request.param
    with start(SERVERS[0], "starlette_app") as behind:
        folder, port = tmp_path_factory.mktemp("proxy"), free_port()
        command = proxy(folder, port, behind.port)
        with running(command, folder / "output", HOME=str(folder)):
            gate = behind.through(port)
            wait_for(lambda: is_ready(gate), f"an answer through {command[0]}")
            yield gate


def test_the_hosts_own_pages_are_there(gate: Gate) -> None:
    assert gate.get("/pid")[0] == 200


def test_events_arrive_one_by_one(gate: Gate) -> None:
    stepped = gate.behind.stepped
    stepped.restart()
    stream = gate.ask("hello", model="stepped")
    for word in ("one", "two", "three", "four", "five"):
        stepped.step()
        assert stream.until("content_block_delta")["delta"]["text"].strip() == word
    assert stream.rest()[-1] == "message_stop"
    stream.leave()


def test_a_client_that_leaves_ends_the_call_to_the_model(gate: Gate) -> None:
    gate.behind.model.requests.clear()
    stream = gate.ask("hang")
    stream.until("content_block_delta")
    stream.leave()
    assert gate.behind.model.requests[0].gone.wait(PATIENCE)
    assert gate.record(stream.request_id)["outcome"] == "client_disconnect"


def test_nodes_fetch_can_read_why_an_upload_was_refused(gate: Gate) -> None:
    url = f"http://127.0.0.1:{gate.port}{gate.prefix}/v1/messages"
    seen = json.loads(run("node", Path(__file__).parent / "upload.mjs", url, "5", timeout=PATIENCE))
    assert seen == [[401, "authentication failure: no bearer token found"]] * 5
