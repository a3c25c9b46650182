"""How the blocks of docs/how-to/deploy.md are run: they are parts of the files in examples/deploy, which are run."""

from __future__ import annotations

import shutil
import signal
import textwrap
from collections.abc import Callable
from typing import Any

import httpx
import yaml

from tests.docs.shell import BASH
from tests.helpers.installation import ROOT
from tests.helpers.server_processes import running, wait_for_output

DEPLOY = ROOT / "examples" / "deploy"


def part_of(name: str) -> Callable[[str, Any], None]:
    """The runner of a block that shows lines of a file."""

    def check(text: str, place: Any) -> None:
        lines = [line.strip() for line in (DEPLOY / name).read_text().splitlines()]
        shown = [line.strip() for line in text.strip().splitlines()]
        if name.endswith((".service", ".yaml")):
            assert set(shown) <= set(lines)
        else:
            assert "\n".join(shown) in "\n".join(lines)

    return check


def settings(text: str, place: Any) -> None:
    assert textwrap.dedent(text).strip() in (DEPLOY / "llmgate.yaml").read_text()


def idle_timeout(text: str, place: Any) -> None:
    (ingress,) = yaml.safe_load_all(text)
    said = ingress["metadata"]["annotations"]["alb.ingress.kubernetes.io/load-balancer-attributes"]
    assert int(said.removeprefix("idle_timeout.timeout_seconds=")) > 600


def gunicorn(text: str, place: Any) -> None:
    """Starts what is deployed, on another port, asks it, and stops it."""
    for file in DEPLOY.iterdir():
        shutil.copy(file, place.folder)
    (place.folder / "keys").mkdir()
    (place.folder / "keys" / "openai").write_text("sk-lab")
    conf = place.folder / "gunicorn.conf.py"
    changed = conf.read_text().replace('bind = "127.0.0.1:8000"', 'bind = "127.0.0.1:0"')
    conf.write_text(changed)
    output = place.folder / "output.txt"
    words = [*BASH, text.replace("\ngunicorn", "\nexec gunicorn")]
    with running(words, output, place.folder) as process:
        url = wait_for_output(r"(?s)Listening at: (http://\S+).*startup complete", output, process)
        assert httpx.get(f"{url}/").text.startswith("The company's own app")
        assert [httpx.get(f"{url}/llm/{name}").status_code for name in ("healthz", "readyz")] == [200, 200]
        assert httpx.post(f"{url}/llm/v1/messages", json={}).status_code == 401
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


RUNNERS: dict[str, Callable[[str, Any], None]] = {
    "deploy gunicorn": part_of("gunicorn.conf.py"),
    "deploy run": gunicorn,
    "deploy settings": settings,
    "deploy systemd": part_of("llmgate.service"),
    "deploy nginx": part_of("nginx.conf"),
    "deploy caddy": part_of("Caddyfile"),
    "deploy probes": part_of("kubernetes.yaml"),
    "deploy alb": idle_timeout,
}
