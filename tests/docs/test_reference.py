from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

import asgi_llmgate
from asgi_llmgate.auth import JWTProvider
from asgi_llmgate.auth.keys.key_set import ALGORITHMS
from asgi_llmgate.auth.providers.jwt_provider import TOKEN_TYPES
from asgi_llmgate.cel.compiler import MAX_DEPTH
from asgi_llmgate.cel.runtime.functions import FUNCTIONS
from asgi_llmgate.cel.runtime.macros import MACROS
from asgi_llmgate.cel.syntax.grammar import MAX_SOURCE
from asgi_llmgate.config.schema import Settings
from asgi_llmgate.config.sections.auth import ProviderSettings
from asgi_llmgate.config.settings_page import read_page
from asgi_llmgate.config.units import parse_size
from asgi_llmgate.errors import TABLE
from asgi_llmgate.rule_variables import CREDENTIALS
from asgi_llmgate.safeguards.tool_variable import safeguard_fields
from asgi_llmgate.usage.metrics import LATEST, METRICS, Metric
from asgi_llmgate.usage.otel import CLIENT_SPAN, SERVER_SPAN
from asgi_llmgate.usage.record import UsageRecord
from tests.config.settings_keys import keys_of

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


ROWS = {row.path: row for row in read_page()}


KEYS = {key.path: key for key in keys_of() if not key.path.startswith("models[].prices[].")}
"""A price may be written alone, so the page has no row for a price in a list."""


def test_the_settings_page_has_a_row_for_each_key() -> None:
    assert [path for path in KEYS if path not in ROWS] == []
    headings = re.findall(r"^## `(\w+)`", (REFERENCE / "settings.md").read_text("utf-8"), re.MULTILINE)
    assert set(headings) == {field.encode_name for field in msgspec.structs.fields(Settings)}


def test_the_settings_page_has_no_row_for_a_key_that_is_not_there() -> None:
    assert [path for path in ROWS if path not in KEYS and not path.startswith("policy.rules[].")] == []


def default_of(path: str) -> Any:
    """The default of a setting; that of a provider is JWTProvider's, where no preset has another one."""
    _, owner, key, _ = KEYS[path]
    if owner is ProviderSettings:
        fields = {field.name: field for field in dataclasses.fields(JWTProvider)}
        found = fields[key].default if key in fields else None
        return None if found is dataclasses.MISSING else found
    found = {field.encode_name: field.default for field in msgspec.structs.fields(owner)}[key]
    return None if found is msgspec.NODEFAULT else found


@pytest.mark.parametrize("path", KEYS)
def test_the_settings_page_has_the_default_of_the_code(path: str) -> None:
    literal = re.fullmatch(r"`([^`]+)`", ROWS[path].default)
    default = default_of(path)
    if literal is None:  # described in words, or there is none
        nothing = (None, (), {}, "", TOKEN_TYPES, ALGORITHMS)
        assert default in nothing or isinstance(default, msgspec.Struct)
        return
    value = yaml.safe_load(literal[1])
    if isinstance(default, int) and isinstance(value, str):
        value = parse_size(value, path)
    if path.endswith(".require_access_token"):
        default = True
    assert (tuple(value) if isinstance(value, list) else value) == default


def test_the_api_page_names_all_that_is_public() -> None:
    page = (REFERENCE / "python-api.md").read_text("utf-8")
    named = re.findall(r"^\.\. (?:auto(?:class|function|data)|py:data):: asgi_llmgate\.(\w+)$", page, re.MULTILINE)
    assert sorted(named) == sorted(({*asgi_llmgate.__all__} | {*asgi_llmgate._EXTRAS}) - {"__version__"})


def test_the_errors_page_is_the_error_table() -> None:
    page = (REFERENCE / "errors.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| `(\w+)` \| `(\w+)` \|", page, re.MULTILINE)
    assert rows == [(error.__name__, str(row.status), row.anthropic, row.reason) for error, row in TABLE.items()]


def policy_page() -> str:
    return (REFERENCE / "policy.md").read_text("utf-8")


def test_the_policy_page_has_the_variables_of_a_rule() -> None:
    named = re.findall(r"^\| `(\w+\.[\w*]+)` \|", policy_page(), re.MULTILINE)
    known = [f"{name}.{part}" for name, fields in safeguard_fields().items() for part in (fields or {"*": None})]
    assert sorted(named) == sorted(known)


def test_the_policy_page_has_the_functions_that_a_rule_may_call() -> None:
    page = policy_page()
    table = page[page.index("## Functions") : page.index("Not supported")]
    named = re.findall(r"(\w+)\(", "".join(re.findall(r"^\| (.*?) \|", table, re.MULTILINE)))
    assert set(named) == {*FUNCTIONS, *MACROS, "has"}


def test_the_policy_pages_numbers_are_those_of_the_code() -> None:
    page = policy_page()
    assert f"at most {MAX_SOURCE:,} characters and {MAX_DEPTH} levels" in page
    assert all(f"`{name}`" in page for name in CREDENTIALS)
    refused = (Path(__file__).parents[1] / "cel" / "refused.txt").read_text().splitlines()
    stated = re.search(r"of (\d+), (\d+) have the specified result, (\d+) are refused", page)
    assert stated is not None
    every, good, told = map(int, stated.groups())
    assert (told, good + told) == (len(refused), every)


PAGE = (REFERENCE / "records.md").read_text("utf-8")
CALL = tuple(re.findall(r"`([^`]+)`", PAGE.partition("*call* stands for")[2].partition(". The `labels`")[0]))


def table(heading: str, number: int = 0) -> list[list[str]]:
    """The cells of a section's table."""
    section = re.split(r"^## ", PAGE.partition(f"## {heading}\n")[2], flags=re.MULTILINE)[0]
    found = re.findall(r"^\|.*\|\n\|[-|]+\|\n((?:\|.*\|\n)+)", section, re.MULTILINE)[number]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in found.splitlines()]


def test_the_records_page_has_every_field_in_its_order() -> None:
    names = [name for name in UsageRecord.__struct_encode_fields__ if name != "fields"]
    assert [row[0] for row in table("The record")] == [f"`{name}`" for name in names]


def test_the_records_page_has_what_is_on_the_server_span() -> None:
    assert {attribute.strip("`"): name.strip("`") for attribute, name in table("The server span")} == {
        attribute: name for name, attribute in SERVER_SPAN.items()
    }


def test_the_records_page_has_what_is_on_the_client_span() -> None:
    named = re.findall(r"`([^`]+)`", PAGE.partition("with the names of the record:")[2].partition("Also:")[0])
    assert set(named) == CLIENT_SPAN
    assert len(named) == len(CLIENT_SPAN)


def described(metric: Metric) -> list[object]:
    return [metric.name, "histogram" if metric.buckets else "counter", metric.unit, metric.labels]


@pytest.mark.parametrize(
    ("number", "metrics"), [(0, METRICS), (1, tuple(each for each in LATEST if each not in METRICS))]
)
def test_the_records_page_has_every_metric_with_its_labels(number: int, metrics: tuple[Metric, ...]) -> None:
    found = []
    for name, kind, unit, labels in table("Metrics", number):
        whole = ("*call*" in labels) * CALL
        own = tuple(label for label in re.findall(r"`([a-z_.]+)`", re.sub(r"\(.*\)", "", labels)))
        found.append([name.strip("`"), kind, unit, whole + own])
    assert found == [described(metric) for metric in metrics]
