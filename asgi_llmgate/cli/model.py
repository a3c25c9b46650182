"""`llmgate model`: a model server that plays a script, so that a trial needs no account and no key.

It is the model server of the tests and of `llmgate demo`, as a process of its own.
"""

from __future__ import annotations

import contextlib
import threading
from functools import partial

import click

from asgi_llmgate.cli.address import PORT, listen
from asgi_llmgate.extras import needs_extra
from asgi_llmgate.testing.model_script import ReceivedRequest, Turn
from asgi_llmgate.testing.model_server import ModelServer
from asgi_llmgate.testing.serving import serving
from asgi_llmgate.testing.small_model import respond

DEFAULT_PORT = 8090

NOTE = (
    "\n\nThis is the scripted model of `llmgate model`: it only repeats what it reads. For a real model, put its "
    "address and key (base_url, api_key) under `backends` in the gateway's settings."
)
"""What follows a repeated prompt."""


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=DEFAULT_PORT, show_default=True, type=PORT, help="Port to listen on; 0: a free one.")
@click.option("--model", "name", default="gpt-4o-mini", show_default=True, help="The name that /v1/models lists.")
@click.option("--api-key", default="", help="Refuse requests without this key.  [default: every key is accepted]")
@click.option(
    "--context-window",
    type=click.IntRange(min=1),
    help="Refuse longer requests, as a model with a window of so many tokens does.",
)
def model(host: str, port: int, name: str, api_key: str, context_window: int | None) -> None:
    """Serve a scripted model with OpenAI's API, for trials: it costs nothing and needs no key.

    It repeats what it is told.  It also writes, reads and runs what it is asked to ("write hello.txt"), with the tools
    of the client.  One line is printed for each request, without its text.
    """
    with needs_extra("serve", "llmgate model"):
        import uvicorn  # noqa: F401

    server = ModelServer(
        model=name,
        api_key=api_key,
        context_window=context_window,
        otherwise=partial(respond, note=NOTE),
        keep=0,
        on_response=_print_line,
    )
    with serving(server, listen(host, port)) as url:
        click.echo(
            f"""A scripted model with OpenAI's API: it repeats what it is told. Every request gets an answer at no cost.

  base_url  {url}/v1
  model     {name}

Serving until Ctrl-C. Requests:"""
        )
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


def _print_line(request: ReceivedRequest, turn: Turn) -> None:
    """Method, path and status; model, number of messages and tools.  Never text: prompts stay out of outputs."""
    facts = [f"{request.method} {request.path} {turn.status}"]
    if request.method == "POST":
        asked = str(request.body.get("model"))[:100]
        facts.append("".join(letter if letter.isprintable() else "?" for letter in asked))
        facts.append(f"{len(request.messages)} messages, {len(request.body.get('tools') or ())} tools")
    with contextlib.suppress(OSError):  # whoever read the output has gone
        click.echo("  " + "  ".join(facts))
