from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import asgi_llmgate
from asgi_llmgate.cel.compiler import MAX_DEPTH
from asgi_llmgate.cel.functions import FUNCTIONS
from asgi_llmgate.cel.grammar import MAX_SOURCE
from asgi_llmgate.cel.macros import MACROS
from asgi_llmgate.errors import TABLE
from asgi_llmgate.facts import CREDENTIALS, fields_of
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


def policy_page() -> str:
    return (REFERENCE / "policy.md").read_text("utf-8")


def test_the_policy_page_has_the_variables_of_a_rule() -> None:
    named = re.findall(r"^\| `(\w+\.[\w*]+)` \|", policy_page(), re.MULTILINE)
    known = [f"{name}.{part}" for name, fields in fields_of().items() for part in (fields or {"*": None})]
    assert sorted(named) == sorted(known)


def test_the_policy_page_has_the_functions_that_a_rule_may_call() -> None:
    page = policy_page()
    table = page[page.index("## Functions") : page.index("Not there")]
    named = re.findall(r"(\w+)\(", "".join(re.findall(r"^\| (.*?) \|", table, re.MULTILINE)))
    assert set(named) == {*FUNCTIONS, *MACROS, "has"}


def test_the_policy_pages_numbers_are_those_of_the_code() -> None:
    page = policy_page()
    assert f"at most {MAX_SOURCE:,} characters and {MAX_DEPTH} levels" in page
    assert all(f"`{name}`" in page for name in CREDENTIALS)
    refused = (Path(__file__).parents[1] / "cel" / "refused.txt").read_text().splitlines()
    stated = re.search(r"of (\d+), (\d+) come out as the specification says, and (\d+) are refused", page)
    assert stated is not None
    every, good, told = map(int, stated.groups())
    assert (told, good + told) == (len(refused), every)
