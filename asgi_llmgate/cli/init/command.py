"""The command `llmgate init`, and what it prints."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from asgi_llmgate.cli.init import folder as files
from asgi_llmgate.cli.init.hosts import (
    HOSTS,
    App,
    Host,
    addition_lines,
    assigns_llmgate,
    detect,
    django_settings,
    is_installed,
    own_app,
)
from asgi_llmgate.extras import hint

SETTINGS = "llmgate.yaml"
SCHEMA = "llmgate.schema.json"
APP = "app.py"


@click.command()
@click.argument("host", required=False, type=click.Choice(list(HOSTS)))
@click.option(
    "--force", is_flag=True, help="Replace files of the gateway that exist; an app of yours is never changed."
)
def init(host: str | None, force: bool) -> None:
    """Write the settings of a gateway, and an app that mounts it, into this folder.

    HOST is your web framework, or `serve` for a gateway without one.  Without it, the command looks for manage.py, for
    an app in the Python files here, and for an installed framework.

    The gateway is ready for a trial: behind it is the scripted model of `llmgate model`, and `llmgate mint` prints its
    tokens.  No file is overwritten.  At the end the next commands are printed.
    """
    here = Path.cwd()
    chosen = HOSTS[host] if host else _detected(here)
    if chosen.name == "django":
        _init_django(here, chosen, force)
    else:
        _init_other(here, chosen, force)


def _detected(here: Path) -> Host:
    found, why = detect(here)
    click.echo(f"{found.title}, because {why}. (Another one: llmgate init {'|'.join(HOSTS)})")
    return found


def _init_django(here: Path, host: Host, force: bool) -> None:
    package, settings = django_settings(here)
    if assigns_llmgate(here / settings):  # the import, at the end of the file, would replace it in silence
        raise click.ClickException(
            f"{settings} has a setting LLMGATE already. Nothing was written. `python manage.py llmgate_check` shows "
            "what it means; to start with the settings of a trial, remove it from the file and run this command again."
        )
    text = files.template("llmgate_settings.txt")
    _write(here, {f"{package}/llmgate_settings.py": text}, force)
    click.echo(
        f"""
Add these lines at the end of {settings}:

  from {package}.llmgate_settings import LLMGATE

  INSTALLED_APPS += ["llmgate_django"]

and these at the end of {package}/asgi.py:

  import llmgate_django

  application = llmgate_django.mount(application)"""
    )
    serve = [f"{_program('python')} manage.py migrate", f"{_program('uvicorn')} {package}.asgi:application --port 8080"]
    _print_next(here, host, serve, f"{_program('python')} manage.py llmgate_mint")


def _init_other(here: Path, host: Host, force: bool) -> None:
    wanted = {SETTINGS: files.template(SETTINGS), SCHEMA: files.schema()}
    app = own_app(host, here)
    if app is None and host.constructor:
        wanted[APP] = files.template(f"{host.name}.txt")
        app = App(here / APP, "app")
    _write(here, wanted, force)
    if app is None:
        serve = f"{_program('llmgate')} serve"
    else:
        serve = f"{_program('uvicorn')} {app.file.stem}:{app.variable} --port 8080"
        if not app.has_gateway:
            click.echo(f"\nAdd the gateway to {app.file.name}:\n")
            for line in addition_lines(host, app.variable):
                click.echo(f"  {line}".rstrip())
    _print_next(here, host, [serve], f"{_program('llmgate')} mint")


def _write(here: Path, wanted: dict[str, str], force: bool) -> None:
    written = files.write(here, wanted, force=force)
    if files.ignore_keys(here):
        written.append(f".gitignore (the line {files.KEYS}/)")
    if files.make_key(here):
        written.append(f"{files.KEYS}/ (the key of a mock identity provider)")
    if written:
        click.echo("Written:")
        for name in written:
            click.echo(f"  {name}")
    else:
        click.echo("Everything is here already; nothing was written.")


def _program(name: str) -> str:
    """A command that works in a terminal where no virtual environment is active: by the path of its file."""
    if sys.prefix == sys.base_prefix:
        return name
    place = Path(sys.prefix) / "bin" / name
    here = Path.cwd()
    return shlex.quote(str(place.relative_to(here) if place.is_relative_to(here) else place))


def _print_next(here: Path, host: Host, serve: list[str], mint: str) -> None:
    enter = f"cd {shlex.quote(str(here))}"
    steps = [
        ("A model that plays a script, so that nothing costs money:", [f"{_program('llmgate')} model"]),
        ("The gateway:" if host.name == "serve" else "Your app, with the gateway in it:", serve),
        (
            "Claude Code:",
            [
                f"export ANTHROPIC_BASE_URL=http://127.0.0.1:8080{host.prefix}",
                f"export ANTHROPIC_AUTH_TOKEN=$({mint})",
                'claude -p "Say hello."',
            ],
        ),
    ]
    click.echo("\nThen, in three terminals:")
    for number, (title, lines) in enumerate(steps, 1):
        click.echo(f"\n{number}. {title}\n")
        for line in [enter, *lines]:
            click.echo(f"  {line}")
    for line in _not_installed(host):
        click.echo(f"\n{line}")


def _not_installed(host: Host) -> Iterator[str]:
    """What the next commands need and is not there."""
    if host.constructor and not is_installed(host.name):
        yield f"{host.title} is not installed: {hint(f'{host.name},serve')}"
    elif not is_installed("uvicorn"):
        yield f"uvicorn, which serves all this, is not installed: {hint('serve')}"
