"""`llmgate demo`: runs the lab on this machine.

It starts a model server (the embedded one, which plays a script, unless OPENAI_API_KEY or OPENAI_BASE_URL names a real
one), a mock identity provider, and the gateway mounted in a small Starlette app.  Then it sends the lab's requests over
HTTP, checks the responses, and goes on serving.  The app and its settings are files in the lab's folder, to be read and
changed.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import logging
import os
import shlex
import shutil
import socket
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from asgi_llmgate.cli.scenarios import SCENARIOS, Result, run
from asgi_llmgate.cli.traffic import Traffic, busy_model
from asgi_llmgate.testing.idp import MockIdP
from asgi_llmgate.testing.model_server import ModelServer
from asgi_llmgate.testing.serving import bind, serving

if TYPE_CHECKING:
    from asgi_llmgate.page import OneTimeLink

# Copied into the lab's folder.
FILES = ("llmgate.yaml", "app.py", "policy-tests.yaml", "README.md")
# Where they are in the installed package.
_PACKAGED = Path(__file__).parents[1] / "_lab"


@click.command()
@click.option(
    "--dir",
    "folder",
    default="llmgate-lab",
    show_default=True,
    help="Folder of the lab's files; they are created if missing.",
)
@click.option("--port", default=8080, show_default=True, help="Port of the app; a free port if it is taken.")
@click.option("--once", is_flag=True, help="Stop after the scenarios.")
@click.option(
    "--traffic", is_flag=True, help="Fill the usage page: send made-up calls to the embedded model for some minutes."
)
def demo(folder: str, port: int, once: bool, traffic: bool) -> None:
    """Run the lab on this machine: model server, gateway, scenarios.

    The exit code is 0 if every scenario had the expected result.
    """
    llmgate = str(Path(sys.argv[0]).absolute())
    _enter_folder(Path(folder))
    idp = MockIdP.in_folder(".llmgate")
    listener = _listen(port)
    if traffic and _is_real_model():
        raise click.ClickException(
            "--traffic would send made-up calls to a real model, which costs money: "
            "unset OPENAI_API_KEY and OPENAI_BASE_URL"
        )
    with contextlib.ExitStack() as running:
        model, where = running.enter_context(_model(traffic))
        log = running.enter_context(_captured_log())
        app, link = _load_app()
        url = running.enter_context(serving(app, listener))
        base = f"{url}/llm"
        click.echo(f"model    {model} ({where})\ngateway  {base}\n")
        results = [run(scenario, base, idp, model) for scenario in SCENARIOS]
        _print_results(results)
        click.echo("\nThe access log of these requests:")
        for line in log.lines:
            click.echo(f"  {line}")
        if not all(result.as_expected for result in results):
            raise SystemExit(1)
        if traffic and once:
            click.echo(f"\n{Traffic(base, idp, model).run(calls=60)}")
        elif traffic:
            Traffic(base, idp, model).start(then=log.echo)
        # Not in a script or in CI, where it would serve for ever.
        if not once and sys.stdout.isatty():
            if not traffic:
                log.echo()
            _print_invitation(base, model, llmgate, None if link is None else f"{url}/llm-usage{link.path()}&range=1h")
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait()


def _enter_folder(folder: Path) -> None:
    """Change to the lab's folder; create it from the packaged files if it does not exist."""
    if not (folder / FILES[0]).exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            shutil.copy(_PACKAGED / name, folder / name)
        click.echo(f"Created the lab's files in {folder}.")
    os.chdir(folder)


def _listen(port: int) -> socket.socket:
    """A listening socket on `port`, or on a free port if that one is taken."""
    try:
        return bind(port=port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
    listener = bind()
    click.echo(f"Port {port} is taken; using port {listener.getsockname()[1]} instead.")
    return listener


def _is_real_model() -> bool:
    return bool(os.environ.get("OPENAI_API_KEY") or os.environ.get("OPENAI_BASE_URL"))


@contextlib.contextmanager
def _model(traffic: bool) -> Iterator[tuple[str, str]]:
    """The model's name and a description of its server.  Sets the variables that the lab's llmgate.yaml reads."""
    name = os.environ.setdefault("OPENAI_MODEL", "gpt-4o-mini")
    if _is_real_model():
        os.environ.setdefault("OPENAI_API_KEY", "none")  # a server of one's own may need no key
        yield name, os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1")
        return
    with serving(busy_model(name) if traffic else ModelServer(model=name)) as url:
        os.environ["OPENAI_BASE_URL"], os.environ["OPENAI_API_KEY"] = f"{url}/v1", "sk-embedded"
        yield name, "embedded, plays a script; set OPENAI_API_KEY or OPENAI_BASE_URL for a real one"


def _load_app() -> tuple[Any, OneTimeLink | None]:
    """The lab's app, and the login link of its usage page; None if the user has removed it from app.py."""
    spec = importlib.util.spec_from_file_location("llmgate_lab_app", Path("app.py").absolute())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.app, getattr(module, "usage_link", None)


class _AccessLog(logging.Handler):
    """Keeps the lines of the access log, and prints them from `echo` on."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._echo = False

    def echo(self) -> None:
        self._echo = True

    def emit(self, record: logging.LogRecord) -> None:
        if self._echo:
            click.echo(self.format(record))
        else:
            self.lines.append(self.format(record))


@contextlib.contextmanager
def _captured_log() -> Iterator[_AccessLog]:
    logger, lines = logging.getLogger("llmgate.access"), _AccessLog()
    logger.addHandler(lines)
    logger.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        logger.removeHandler(lines)


def _print_results(results: list[Result]) -> None:
    click.echo(f"  {'request':32} status  response")
    for result in results:
        text = textwrap.shorten(result.text, 72, placeholder=" ...")
        click.echo(f"  {result.request:32} {result.status:6}  {text}")
        if not result.as_expected:
            click.echo("  ^ not the expected result", err=True)


def _print_invitation(base: str, model: str, llmgate: str, page: str | None) -> None:
    # The lab's policy allows a model only to tokens that name it, and the default token names gpt-4o-mini.
    command = shlex.join([llmgate, "mint", "--dir", str(Path(".llmgate").absolute())])
    claims = "" if model == "gpt-4o-mini" else " " + shlex.join(["--claim", f'llms={{"openai": ["{model}"]}}'])
    if page is not None:
        click.echo(f"\nThe usage page, by a link that works once:\n\n  {page}")
    click.echo(
        f"""
Point Claude Code at it, in another terminal:

  export ANTHROPIC_BASE_URL={base}
  export ANTHROPIC_AUTH_TOKEN=$({command}{claims})
  claude

Serving until Ctrl-C."""
    )
