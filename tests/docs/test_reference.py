from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import asgi_llmgate
from asgi_llmgate.errors import TABLE
from asgi_llmgate.settings import Settings

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def sections(kind: object) -> Iterator[type[msgspec.Struct]]:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
        for hint in typing.get_type_hints(kind).values():
            yield from sections(hint)
    for part in typing.get_args(kind):
        yield from sections(part)


KEYS = [
    pytest.param(field.encode_name, id=f"{section.__name__}.{field.encode_name}")
    for section in dict.fromkeys(sections(Settings))
    for field in msgspec.structs.fields(section)
]


@pytest.mark.parametrize("key", KEYS)
def test_the_settings_page_names_each_key(key: str) -> None:
    named = re.findall(r"`([a-z_]+)(?:[:.][^`]*)?`", (REFERENCE / "settings.md").read_text("utf-8"))
    assert key in named


def test_the_api_page_names_all_that_is_public() -> None:
    page = (REFERENCE / "python-api.md").read_text("utf-8")
    named = re.findall(r"^\.\. auto(?:class|function):: asgi_llmgate\.(\w+)$", page, re.MULTILINE)
    assert sorted(named) == sorted(set(asgi_llmgate.__all__) - {"__version__"})


def test_the_errors_page_is_the_error_table() -> None:
    page = (REFERENCE / "errors.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| `(\w+)` \| `(\w+)` \|", page, re.MULTILINE)
    assert rows == [(error.__name__, str(row.status), row.anthropic, row.reason) for error, row in TABLE.items()]
