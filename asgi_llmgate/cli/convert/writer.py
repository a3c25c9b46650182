"""Writes settings as YAML with comments, each beside the line that it is about."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asgi_llmgate.cli.convert.manifests import printable
from asgi_llmgate.config.yaml_text import write_flow

WIDTH = 110


@dataclass(frozen=True, slots=True)
class Noted:
    """A value with comments above it."""

    value: Any
    notes: tuple[str, ...]


def noted(value: Any, *notes: str) -> Any:
    """The value with those of the notes that say something."""
    said = tuple(filter(None, notes))
    return Noted(value, said) if said else value


def plain(value: Any) -> Any:
    """The value without comments: what a reader of the file gets."""
    if isinstance(value, Noted):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    return value


def write(settings: Mapping[str, Any], header: Sequence[str] = ()) -> str:
    """The YAML text."""
    lines = [*_comments(header, 0), *_mapping(settings, 0)]
    return "\n".join(lines) + "\n"


def _mapping(mapping: Mapping[str, Any], indent: int) -> Iterator[str]:
    for key, value in mapping.items():
        yield from _member(f"{write_flow(key)}:", value, indent)


def _member(lead: str, value: Any, indent: int) -> Iterator[str]:
    """`lead` (a key, or the dash of a list) and its value, under its comments."""
    pad = " " * indent
    if isinstance(value, Noted):
        yield from _comments(value.notes, indent)
        value = value.value
    short = _flow(value, WIDTH - indent - len(lead) - 1)
    if short is not None:
        yield f"{pad}{lead} {short}"
    elif isinstance(value, Mapping):
        yield from _nested(lead, list(_mapping(value, indent + 2)), indent)
    else:
        yield f"{pad}{lead}"
        for item in value:
            yield from _member("-", item, indent + 2)


def _nested(lead: str, lines: list[str], indent: int) -> Iterator[str]:
    """The lines of a mapping under a key; after a dash the first of them is on the same line."""
    pad = " " * indent
    if lead == "-" and not lines[0].lstrip().startswith("#"):
        yield f"{pad}- {lines[0].lstrip()}"
        yield from lines[1:]
        return
    yield f"{pad}{lead}"
    yield from lines


def _flow(value: Any, room: int) -> str | None:
    """The value on one line; None if it is too long for that, has comments, or is a larger mapping."""
    if isinstance(value, str) or not isinstance(value, Mapping | Sequence):
        return write_flow(value)
    if not value:
        return write_flow(value)
    if isinstance(value, Mapping):
        simple = len(value) == 1 and all(isinstance(item, str | int | float) for item in value.values())
    else:
        simple = all(isinstance(item, str | int | float) for item in value)
    text = write_flow(value) if simple else ""
    return text if simple and len(text) <= room else None


def _comments(notes: Sequence[str], indent: int) -> Iterator[str]:
    lead = " " * indent + "# "
    for note in notes:
        if note.startswith("export "):  # to be copied
            yield lead + printable(note)
            continue
        lines = textwrap.wrap(printable(note), WIDTH - len(lead), break_long_words=False, break_on_hyphens=False)
        for number, line in enumerate(lines):
            yield lead + "  " * (number > 0) + line
