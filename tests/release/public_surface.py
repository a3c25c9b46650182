"""All names that COMPATIBILITY.md promises to keep, as lines of text.

python -m tests.release.public_surface > tests/release/public-surface.txt
"""

from __future__ import annotations

import enum
import importlib
import inspect
import typing
from collections.abc import Iterator
from typing import Any, Literal

import click
import msgspec

from asgi_llmgate.cli import main as command_line
from asgi_llmgate.errors import TABLE
from asgi_llmgate.rule_variables import fields_of
from asgi_llmgate.usage.ledger.migrations import VERSION
from asgi_llmgate.usage.ledger.schema import metadata
from asgi_llmgate.usage.metrics import METRICS
from asgi_llmgate.usage.otel import CLIENT_SPAN, SERVER_SPAN
from asgi_llmgate.usage.record import UsageRecord
from tests.config.settings_keys import keys_of
from tests.helpers import django_site

SUBPACKAGES = ("auth", "errors", "policy", "upstream", "usage")
TESTING = ("driver", "grammar", "idp", "model_script", "model_server", "serving")
INTEGRATIONS = ("llmgate_django", "llmgate_quart", "llmgate_starlette")


def settings() -> Iterator[str]:
    """Keys as paths, with the values where only some are allowed."""
    for key in keys_of():
        values = sorted(set(choices(key.kind)))
        yield f"{key.path} = {' | '.join(values)}" if values else key.path


def choices(kind: Any) -> Iterator[str]:
    if typing.get_origin(kind) is Literal:
        yield from (str(value) for value in typing.get_args(kind))
    elif not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)) and typing.get_origin(kind) is not dict:
        for part in typing.get_args(kind):
            yield from choices(part)


def commands(command: click.Command = command_line, path: str = "llmgate") -> Iterator[str]:
    options = [
        option.opts[-1] if isinstance(option, click.Option) else str(option.name).upper() for option in command.params
    ]
    yield " ".join([path, *sorted(options)])
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands(found, f"{path} {name}")


def python_names(modules: tuple[str, ...]) -> Iterator[str]:
    """Functions and classes with the names of their parameters."""
    for module in modules:
        found = importlib.import_module(module)
        for name in sorted({*found.__all__, *getattr(found, "_EXTRAS", ())}):
            yield f"{module}.{name}{parameters(getattr(found, name))}"


def parameters(found: Any) -> str:
    if isinstance(found, type) and issubclass(found, enum.Enum):
        return f" = {' | '.join(found.__members__)}"  # its signature is Python's, and not the same in each version
    if not (inspect.isfunction(found) or (inspect.isclass(found) and not issubclass(found, Exception))):
        return ""
    try:
        return f"({', '.join(name for name in inspect.signature(found).parameters if not name.startswith('_'))})"
    except ValueError:
        return ""


def django_names() -> Iterator[str]:
    django_site.ready()
    from django.core.management import get_commands, load_command_class
    from llmgate_django.models import UsageRecord as Row

    yield from (f"llmgate_usagerecord.{field.column}" for field in Row._meta.concrete_fields)
    for name, app in sorted(get_commands().items()):
        if app == "llmgate_django":
            parser = load_command_class(app, name).create_parser("manage.py", name)
            common = {"--version", "--settings", "--pythonpath", "--traceback", "--no-color", "--force-color", "--help"}
            common |= {"--verbosity", "--skip-checks"}
            options = {each.option_strings[-1] if each.option_strings else each.dest for each in parser._actions}
            yield " ".join([f"manage.py {name}", *sorted(options - common)])


def sections() -> dict[str, list[str]]:
    top = ("asgi_llmgate", *(f"asgi_llmgate.{name}" for name in SUBPACKAGES))
    return {
        "settings": list(dict.fromkeys(settings())),
        "commands": list(commands()),
        "variables of rules": [f"{name}.{part}" for name, parts in fields_of().items() for part in (parts or {"*": 0})],
        "records and log lines": [field.encode_name for field in msgspec.structs.fields(UsageRecord)],
        "metrics": [f"{each.name} {{{each.unit.strip('{}')}}} {' '.join(each.labels)}" for each in METRICS],
        "span attributes": sorted({*SERVER_SPAN.values(), *CLIENT_SPAN}),
        "errors": [f"{error.__name__} {row.status} {row.anthropic} {row.reason}" for error, row in TABLE.items()],
        "ledger": [f"tables of version {VERSION}"]
        + [f"{table.name}.{column.name}" for table in metadata.sorted_tables for column in table.columns],
        "python": list(python_names((*top, *(f"asgi_llmgate.testing.{name}" for name in TESTING), *INTEGRATIONS))),
        "django": list(django_names()),
    }


def surface() -> str:
    return "\n\n".join("\n".join([f"[{name}]", *lines]) for name, lines in sections().items()) + "\n"


if __name__ == "__main__":
    print(surface(), end="")
