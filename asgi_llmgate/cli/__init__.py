"""The command `llmgate`.  Each subcommand's module is imported only when it is used, so that `llmgate mint` is
quick."""

from __future__ import annotations

import importlib

import click
from click.shell_completion import CompletionItem

from asgi_llmgate._version import __version__
from asgi_llmgate.cli.command_group import ProgramGroup

_COMMANDS = {
    "demo": ("demo", "Run the lab on this machine: model server, gateway, scenarios."),
    "init": ("init", "Write settings and an app for a first trial into this folder."),
    "model": ("model", "Serve a scripted model, for trials without a key."),
    "serve": ("serve", "Serve a gateway without a host app."),
    "check": ("check", "Check the settings, and show what they mean."),
    "doctor": ("doctor", "Ask everything that the settings name, and say what developers would see."),
    "schema": ("schema", "Print the settings as JSON Schema, for editors."),
    "convert": ("convert", "Convert the configuration of agentgateway."),
    "mint": ("mint", "Print a token of the mock identity provider."),
    "jwks": ("jwks", "Print the mock identity provider's public keys."),
    "policy": ("policy", "Test and explain rules."),
    "usage": ("usage", "Show usage from the ledger."),
}
"""Command -> (its module in this package, its line in `llmgate --help`)."""


class _LazyGroup(ProgramGroup):
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

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        # click would import every command for its line of help, which takes a second at each press of Tab.
        commands = [
            CompletionItem(name, help=help) for name, (_, help) in _COMMANDS.items() if name.startswith(incomplete)
        ]
        return commands + click.Command.shell_complete(self, ctx, incomplete)


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="llmgate")
def main() -> None:
    """An LLM gateway that your own web app mounts.

    `llmgate COMMAND --help` explains a command. `llmgate demo` shows the gateway at work on this machine.
    """
