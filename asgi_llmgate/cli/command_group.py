"""The groups of commands: what they suggest for a command that is not there, and which errors are messages.

No command ends in a traceback for an error in the settings, a file that cannot be read, or an output that cannot be
written.  A reader of standard output that ends first (`llmgate usage report | head -1`) ends the command without a
message, Ctrl-C with "Aborted!"; both are click's own.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from asgi_llmgate.errors import SettingsError


class CommandGroup(click.Group):
    """A group of commands that suggests a command for one that it does not have."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and not ctx.resilient_parsing and name not in (known := self.list_commands(ctx)):
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else "there is " + ", ".join(known)
            ctx.fail(f"there is no command {name!r}; {hint}")
        return super().resolve_command(ctx, args)


class ProgramGroup(CommandGroup):
    """The outermost group, which makes messages of errors."""

    def main(self, args: Sequence[str] | None = None, *more: Any, **options: Any) -> Any:
        # An output in another encoding than UTF-8 has no letter for some names: they are written as escapes.
        for stream in (sys.stdout, sys.stderr):
            if reconfigure := getattr(stream, "reconfigure", None):
                reconfigure(errors="backslashreplace")
        try:
            return super().main(args, *more, **options)
        except OSError as error:  # a closed pipe is none: click has handled it
            click.echo(f"Error: {_message(error)}", err=True)
            sys.exit(1)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SettingsError as error:
            raise click.ClickException(str(error)) from None


def _message(error: OSError) -> str:
    why = error.strerror or type(error).__name__
    if error.filename is None and error.errno in (errno.ENOSPC, errno.EIO, errno.EFBIG, errno.EDQUOT):
        _forget_output()
        return f"the output cannot be written: {why}"
    return why if error.filename is None else f"{os.fsdecode(error.filename)}: {why}"


def _forget_output() -> None:
    """Let the rest of standard output go nowhere, or Python would report the same error once more when it ends."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if sys.stdout.fileno() == 1:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.close(nowhere)
