"""`llmgate demo`: the lab, run for real on this machine.

A model server (embedded and scripted, unless OPENAI_API_KEY or OPENAI_BASE_URL names a real one), the gateway mounted
in a small Starlette app, a mock identity provider; then the lab's three scenarios and a stream over HTTP, checked;
then it goes on serving.  The app and its settings are the files of the lab's folder, to be looked at and changed.
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

from asgi_llmgate.cli.scenarios import SCENARIOS, Seen, run
from asgi_llmgate.cli.traffic import Traffic, busy_model
from asgi_llmgate.testing.idp import MockIdP
from asgi_llmgate.testing.model_server import ModelServer
from asgi_llmgate.testing.serving import bind, serving

if TYPE_CHECKING:
    from asgi_llmgate.page import OneTimeLink

FILES = ("llmgate.yaml", "app.py", "policy-tests.yaml", "README.md")
_PACKAGED = Path(__file__).parents[1] / "_lab"


@click.command()
@click.option("--dir", "folder", default="llmgate-lab", show_default=True, help="The lab's files; made if missing.")
@click.option("--port", default=8080, show_default=True)
@click.option("--once", is_flag=True, help="End after the scenarios.")
@click.option(
    "--traffic", is_flag=True, help="Fill the usage page: a few minutes of made-up calls to the embedded model."
)
def demo(folder: str, port: int, once: bool, traffic: bool) -> None:
    """Run the lab on this machine: model, gateway, scenarios.

    The exit code is 0 only when every scenario went as stated.
    """
    llmgate = str(Path(sys.argv[0]).absolute())
    _enter(Path(folder))
    idp = MockIdP.in_folder(".llmgate")
    listener = _listen(port)
    if traffic and _is_real_model():
        raise click.ClickException(
            "made-up traffic to a real model would cost real money: unset OPENAI_API_KEY/_BASE_URL"
        )
    with contextlib.ExitStack() as running:
        model, where = running.enter_context(_model(traffic))
        log = running.enter_context(_captured_log())
        app, link = _load_app()
        url = running.enter_context(serving(app, listener))
        base = f"{url}/llm"
        click.echo(f"model    {model} ({where})\ngateway  {base}\n")
        seen = [run(scenario, base, idp, model) for scenario in SCENARIOS]
        _show(seen)
        click.echo("\nThe access log of these calls:")
        for line in log.lines:
            click.echo(f"  {line}")
        if not all(result.as_stated for result in seen):
            raise SystemExit(1)
        if traffic and once:
            click.echo(f"\n{Traffic(base, idp, model).run(calls=60)}")
        elif traffic:
            Traffic(base, idp, model).start(then=log.pass_on)
        if not once and sys.stdout.isatty():
            if not traffic:
                log.pass_on()
            _invite(base, model, llmgate, None if link is None else f"{url}/llm-usage{link.path()}&range=1h")
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait()


def _enter(folder: Path) -> None:
    """Work in the lab's folder, made from the packaged files where there is none."""
    if not (folder / FILES[0]).exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            shutil.copy(_PACKAGED / name, folder / name)
        click.echo(f"The lab's files are in {folder}.")
    os.chdir(folder)


def _listen(port: int) -> socket.socket:
    try:
        return bind(port=port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
    listener = bind()
    click.echo(f"Port {port} is taken; this is on port {listener.getsockname()[1]} instead.")
    return listener


def _is_real_model() -> bool:
    return bool(os.environ.get("OPENAI_API_KEY") or os.environ.get("OPENAI_BASE_URL"))


@contextlib.contextmanager
def _model(traffic: bool) -> Iterator[tuple[str, str]]:
    """The model's name and where it is; llmgate.yaml of the lab reads the same variables."""
    name = os.environ.setdefault("OPENAI_MODEL", "gpt-4o-mini")
    if _is_real_model():
        os.environ.setdefault("OPENAI_API_KEY", "none")
        yield name, os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1")
        return
    with serving(busy_model(name) if traffic else ModelServer(model=name)) as url:
        os.environ["OPENAI_BASE_URL"], os.environ["OPENAI_API_KEY"] = f"{url}/v1", "sk-embedded"
        yield name, "embedded, scripted; set OPENAI_API_KEY or OPENAI_BASE_URL for a real one"


def _load_app() -> tuple[Any, OneTimeLink | None]:
    """The lab's app, and the login of its usage page, where it still has them."""
    spec = importlib.util.spec_from_file_location("llmgate_lab_app", Path("app.py").absolute())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.app, getattr(module, "usage_link", None)


class _Lines(logging.Handler):
    """Keeps the access log's lines while the scenarios run, then lets them through to standard output."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._live = False

    def pass_on(self) -> None:
        self._live = True

    def emit(self, record: logging.LogRecord) -> None:
        if self._live:
            click.echo(self.format(record))
        else:
            self.lines.append(self.format(record))


@contextlib.contextmanager
def _captured_log() -> Iterator[_Lines]:
    logger, lines = logging.getLogger("llmgate.access"), _Lines()
    logger.addHandler(lines)
    logger.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        logger.removeHandler(lines)


def _show(seen: list[Seen]) -> None:
    click.echo(f"  {'request':32} status  answer")
    for result in seen:
        told = textwrap.shorten(result.told, 72, placeholder=" ...")
        click.echo(f"  {result.request:32} {result.status:6}  {told}")
        if not result.as_stated:
            click.echo("  ^ not as stated", err=True)


def _invite(base: str, model: str, llmgate: str, page: str | None) -> None:
    command = shlex.join([llmgate, "mint", "--dir", str(Path(".llmgate").absolute())])
    entitled = "" if model == "gpt-4o-mini" else " " + shlex.join(["--claim", f'llms={{"openai": ["{model}"]}}'])
    if page is not None:
        click.echo(f"\nLook at the usage, by a link that works once:\n\n  {page}")
    click.echo(
        f"""
Point Claude Code at it, in another terminal:

  export ANTHROPIC_BASE_URL={base}
  export ANTHROPIC_AUTH_TOKEN=$({command}{entitled})
  claude

Serving until Ctrl-C."""
    )
