"""Every command that listens, where it cannot: what a person reads."""

from __future__ import annotations

import errno
import socket
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from asgi_llmgate.cli import main
from asgi_llmgate.cli.address import listen
from asgi_llmgate.testing.serving import bind

LLMGATE = Path(sys.executable).with_name("llmgate")

SETTINGS = """
auth: {providers: [{issuer: "https://idp.test", audiences: [llm]}]}
policy: {rules: ["true"]}
backends: {main: {base_url: "http://127.0.0.1:9/v1"}}
models: [{match: "*", use: main}]
"""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        *(
            (f"{command} --port {port}", "0<=x<=65535")
            for command in ("serve", "model", "demo")
            for port in (99999, -1)
        ),
        *((f"{command} --port http", "not a valid integer") for command in ("serve", "model", "demo")),
        *((f"serve --workers {number}", "1<=x<=512") for number in (0, -2, 100_000)),
        *((f"serve --graceful-timeout {number}", "1<=x<=86400") for number in (0, -1, 10**9)),
        ("usage tail --lines 0", "1<=x<=1000"),
        ("model --context-window 0", "x>=1"),
    ],
)
def test_a_number_that_cannot_be_meant_is_refused_with_its_range(arguments: str, says: str) -> None:
    result = CliRunner().invoke(main, arguments.split())
    assert result.exit_code == 2, result.output
    assert says in result.stderr
    assert next(word for word in arguments.split() if word.startswith("--")) in result.stderr


@pytest.mark.parametrize("command", ["serve", "model"])
def test_a_taken_port_is_named_with_another_one(command: str, tmp_path: Path) -> None:
    (tmp_path / "llmgate.yaml").write_text(SETTINGS)
    with bind() as taken:
        port = taken.getsockname()[1]
        words = [LLMGATE, command, "--port", str(port)]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: port {port} is taken: another program listens on 127.0.0.1:{port}.")
    assert done.stderr.count("\n") == 1
    assert "--port" in done.stderr


@pytest.mark.parametrize(
    ("host", "says"),
    [("host.invalid", "host.invalid is no address of this machine"), ("192.0.2.1", "192.0.2.1 is no address of")],
)
def test_a_host_that_is_not_this_machine_is_named(host: str, says: str) -> None:
    with pytest.raises(click.ClickException, match=says):
        listen(host, 0)


def test_a_port_for_root_alone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> socket.socket:
        raise PermissionError(errno.EACCES, "Permission denied")  # what Linux says to all but root

    monkeypatch.setattr("asgi_llmgate.cli.address.bind", refused)
    with pytest.raises(click.ClickException, match="port 80 is only for root"):
        listen("127.0.0.1", 80)


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_an_address_of_ipv6_is_one_too() -> None:
    try:
        with bind("::1"):
            pass
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error.strerror}")
    with listen("::1", 0) as listener:
        assert listener.family == socket.AF_INET6
