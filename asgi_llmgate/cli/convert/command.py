"""`llmgate convert agentgateway FILE...`"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click

from asgi_llmgate.cli.command_group import CommandGroup
from asgi_llmgate.cli.convert.kubernetes.settings import convert_cluster
from asgi_llmgate.cli.convert.manifests import read_manifests
from asgi_llmgate.cli.convert.notes import Notes
from asgi_llmgate.cli.convert.reading_back import find_mistake
from asgi_llmgate.cli.convert.standalone.settings import convert_file
from asgi_llmgate.cli.convert.writer import plain, write
from asgi_llmgate.config.yaml_text import read_yaml
from asgi_llmgate.errors import SettingsError

DEFAULT_NAME = "llmgate.yaml"


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
def convert() -> None:
    """Convert the configuration of another gateway."""


@convert.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path())
@click.option("--output", type=click.Path(), help="Write the settings to this file instead of standard output.")
@click.option("--force", is_flag=True, help="Replace the file if there is one.")
@click.option("--strict", is_flag=True, help="Exit with 1 if anything has no counterpart.")
def agentgateway(files: Sequence[str], output: str | None, force: bool, strict: bool) -> None:
    """Convert agentgateway's resources (YAML) to settings of llmgate.

    FILE: Gateway, HTTPRoute, AgentgatewayBackend, AgentgatewayPolicy, EnterpriseAgentgatewayPolicy and Secret, in any
    order and number, or one configuration file of agentgateway's own; - is standard input.  Values of
    Secrets are never written.
    """
    if output is not None and not force and os.path.lexists(output):
        raise click.ClickException(f"{output} exists; --force replaces it")
    try:
        text, notes, resources = convert_files(files)
    except SettingsError as error:
        click.echo(str(error), err=True)
        raise click.exceptions.Exit(1) from None
    if output is None:
        click.echo(text, nl=False)
    else:
        _write(Path(output), text)
    for line in notes.summary(resources, output or DEFAULT_NAME):
        click.echo(line, err=True)
    if notes.mistake or (strict and notes.ignored):
        raise click.exceptions.Exit(1)


def convert_files(files: Sequence[str]) -> tuple[str, Notes, int]:
    """The settings as text, the notes, and how many resources were read.

    Raises SettingsError with file and line.
    """
    manifests = read_manifests(files)
    if not manifests:
        raise SettingsError("the files are empty")
    notes = Notes()
    files_alone = [manifest for manifest in manifests if not manifest.kind]
    if files_alone and len(manifests) > 1:
        raise files_alone[0].root.error("a configuration file is converted alone, without other files")
    settings = convert_file(files_alone[0], notes) if files_alone else convert_cluster(manifests, notes)
    text = write(settings, _header(notes))
    written = read_yaml(text.encode(), DEFAULT_NAME)
    if written != plain(settings):
        raise SettingsError("the settings cannot be read back; please report this")
    notes.mistake = find_mistake(written)
    return text, notes, len(manifests)


def _header(notes: Notes) -> list[str]:
    lines = ["Converted from agentgateway's configuration by llmgate convert."]
    if notes.variables:
        lines.append("Set these variables before you start the gateway:")
        lines += [f"export {name}={word}" for name, word in notes.variables.items()]
    if notes.ignored:
        lines.append("Without a counterpart here:")
        lines += [f"{finding.place}{finding.text}" for finding in notes.ignored]
    return lines


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"cannot write {path}: {error.strerror}") from None
