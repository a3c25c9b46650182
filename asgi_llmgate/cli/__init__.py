"""The command `llmgate`.  Each subcommand's module is imported only when it is used, so that `llmgate mint` is
quick."""

from __future__ import annotations

import importlib
from typing import Any

import click

from asgi_llmgate._version import __version__
from asgi_llmgate.errors import SettingsError

_COMMANDS = {
    "demo": ("demo", "Run the lab on this machine: model server, gateway, scenarios."),
    "model": ("model", "Serve a scripted model, for trials without a key."),
    "serve": ("serve", "Serve a gateway without a host app."),
    "check": ("check", "Check the settings, and show what they mean."),
    "schema": ("schema", "Print the settings as JSON Schema, for editors."),
    "mint": ("mint", "Print a token of the mock identity provider."),
    "jwks": ("jwks", "Print the mock identity provider's public keys."),
    "policy": ("policy", "Test and explain rules."),
    "usage": ("usage", "Show usage from the ledger."),
}
"""Command -> (its module in this package, its line in `llmgate --help`)."""


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"asgi_llmgate.cli.{_COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help) for name, (_, help) in _COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        # Every command reads settings; an error in them is a message for the user and no traceback.
        try:
            return super().invoke(ctx)
        except SettingsError as error:
            raise click.ClickException(str(error)) from None


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="llmgate")
def main() -> None:
    """An LLM gateway that your own web app mounts."""
