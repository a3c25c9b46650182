"""`llmgate demo`: runs the lab on this machine.

It starts a model server (the embedded one, which plays a script, unless OPENAI_API_KEY or OPENAI_BASE_URL names a real
one), a mock identity provider, and the gateway mounted in a small Starlette app.  Then it sends the lab's requests over
HTTP, checks the responses, and goes on serving.  The app and its settings are files in the lab's folder, to be read and
changed.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import json
import logging
import shlex
import socket
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from asgi_llmgate.cli.address import PORT
from asgi_llmgate.cli.demo.lab_folder import enter_folder, load_app
from asgi_llmgate.cli.demo.model_server import UsedServer, advice, is_real, model_server
from asgi_llmgate.cli.demo.scenarios import SCENARIOS, Result, run
from asgi_llmgate.cli.demo.traffic import Traffic
from asgi_llmgate.cli.mint import open_idp
from asgi_llmgate.extras import MODULES, needs_extra
from asgi_llmgate.testing.serving import bind, serving


@click.command()
@click.option(
    "--dir",
    "folder",
    default="llmgate-lab",
    show_default=True,
    help="Folder of the lab's files; they are created if missing.",
)
@click.option("--port", default=8080, show_default=True, type=PORT, help="Port of the app; a free port if it is taken.")
@click.option("--once", is_flag=True, help="Stop after the scenarios.")
@click.option(
    "--traffic", is_flag=True, help="Fill the usage page: send made-up calls to the embedded model for some minutes."
)
@click.option(
    "--model",
    "choice",
    type=click.Choice(["real", "scripted"]),
    help="real: a small language model on this machine. scripted: one that plays a script, whatever OPENAI_* says.",
)
def demo(folder: str, port: int, once: bool, traffic: bool, choice: str | None) -> None:
    """Run the lab on this machine: model server, gateway, scenarios.

    The exit code is 0 if every scenario had the expected result.
    """
    llmgate = str(Path(sys.argv[0]).absolute())
    if traffic and choice == "real":
        raise click.ClickException(
            "--traffic sends made-up calls, which need the scripted model: leave out --model real"
        )
    if traffic and choice is None and is_real():
        raise click.ClickException(
            "--traffic would send made-up calls to a real model, which costs money: "
            "unset OPENAI_API_KEY and OPENAI_BASE_URL"
        )
    with needs_extra("demo", "llmgate demo"):
        for module in MODULES["demo"]:
            importlib.import_module(module)
    enter_folder(Path(folder))
    idp = open_idp(".llmgate")
    with contextlib.ExitStack() as running:
        listener = running.enter_context(_listen(port))
        server = running.enter_context(model_server(choice, traffic))
        log = running.enter_context(_captured_log())
        app, link = load_app()
        url = running.enter_context(serving(app, listener))
        base = f"{url}/llm"
        click.echo(f"model    {server.model} ({server.where})\ngateway  {base}\n")
        results = [run(scenario, base, idp, server.model) for scenario in SCENARIOS]
        _print_results(results)
        click.echo("\nThe access log of these requests:")
        for line in log.lines:
            click.echo(f"  {line}")
        _require_expected(results, server, log)
        if traffic and once:
            click.echo(f"\n{Traffic(base, idp, server.model).run(calls=60)}")
        elif traffic:
            Traffic(base, idp, server.model).start(then=log.echo)
        # Not in a script or in CI, where it would serve for ever.
        if not once and sys.stdout.isatty():
            if not traffic:
                log.echo()
            page = None if link is None else f"{url}/llm-usage{link.path()}&range=1h"
            _print_invitation(base, server, llmgate, page)
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait()


def _listen(port: int) -> socket.socket:
    """A listening socket on `port`, or on a free port if that one is taken."""
    try:
        return bind(port=port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise click.ClickException(
                f"port {port} cannot be used: {error.strerror}; choose one with --port"
            ) from None
    listener = bind()
    click.echo(f"Port {port} is taken; using port {listener.getsockname()[1]} instead.")
    return listener


class _AccessLog(logging.Handler):
    """Keeps the lines of the access log, and prints them from `echo` on."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._echo = False

    def echo(self) -> None:
        self._echo = True

    def records(self) -> list[dict[str, Any]]:
        """The usage records that the kept lines are; none where the lab's settings have another format."""
        try:
            return [json.loads(line) for line in self.lines]
        except ValueError:
            return []

    def emit(self, record: logging.LogRecord) -> None:
        if self._echo:
            click.echo(self.format(record))
        else:
            self.lines.append(self.format(record))


@contextlib.contextmanager
def _captured_log() -> Iterator[_AccessLog]:
    logger, lines = logging.getLogger("llmgate.access"), _AccessLog()
    level = logger.level
    logger.addHandler(lines)
    logger.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        logger.removeHandler(lines)
        logger.setLevel(level)


def _print_results(results: list[Result]) -> None:
    click.echo(f"  {'request':32} status  response")
    for result in results:
        text = textwrap.shorten(result.text, 72, placeholder=" ...")
        click.echo(f"  {result.request:32} {result.status:6}  {text}")
        if not result.as_expected:
            click.echo("  ^ not the expected result", err=True)


def _require_expected(results: list[Result], server: UsedServer, log: _AccessLog) -> None:
    """Raises ClickException with what to do, unless every scenario had the expected result."""
    failed = next((result for result in results if not result.as_expected), None)
    if failed is not None:
        raise click.ClickException(advice(server, failed.status, failed.text, log.records()))


def _print_invitation(base: str, server: UsedServer, llmgate: str, page: str | None) -> None:
    model = server.model
    # The lab's policy allows a model only to tokens that name it, and the default token names gpt-4o-mini.
    command = shlex.join([llmgate, "mint", "--dir", str(Path(".llmgate").absolute())])
    claims = "" if model == "gpt-4o-mini" else " " + shlex.join(["--claim", f'llms={{"openai": ["{model}"]}}'])
    if page is not None:
        click.echo(f"\nThe usage page, by a link that works once:\n\n  {page}")
    if not server.fits_claude_code:
        click.echo(_small_model_invitation(base, f"{command}{claims}"))
        return
    click.echo(
        f"""
Point Claude Code at it, in another terminal:

  export ANTHROPIC_BASE_URL={base}
  export ANTHROPIC_AUTH_TOKEN=$({command}{claims})
  claude

Serving until Ctrl-C."""
    )


def _small_model_invitation(base: str, mint: str) -> str:
    return f"""
The answers above are the model's own. It has 135 million parameters, answers in a few seconds, and is often wrong.
Claude Code cannot work with it: it does not know tools, and Claude Code's instructions are longer than its window.
Ask it with curl, in another terminal, or with any SDK of Anthropic's (base URL {base}):

  curl {base}/v1/messages -H "authorization: Bearer $({mint})" \\
    -H "content-type: application/json" -d '{{"model": "claude-x", "max_tokens": 100,
    "system": "Answer with one word.", "messages": [{{"role": "user", "content": "What is the capital of France?"}}]}}'

For Claude Code set OPENAI_BASE_URL to a server with a larger model, or leave out --model real.

Serving until Ctrl-C."""
