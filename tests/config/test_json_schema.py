"""The JSON Schema of the settings: what an editor completes, checks and explains."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from asgi_llmgate.config import json_schema as module
from asgi_llmgate.config.json_schema import EXAMPLES, find, json_schema
from asgi_llmgate.config.schema import read_settings
from asgi_llmgate.config.settings_page import Row, read_page
from tests.config.language_server import LanguageServer
from tests.helpers.installation import ROOT, npm_packages

SCHEMA = json_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
GOOD = sorted(
    path
    for pattern in ("examples/**/*.yaml", "examples/**/*.yml")
    for path in ROOT.glob(pattern)
    if "llmgate" in path.name
)


def properties(node: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Each property of the whole schema, with the place where it is written."""
    if isinstance(node, dict):
        for name, value in node.get("properties", {}).items():
            yield f"{place}/{name}", value
        for name, value in node.items():
            yield from properties(value, f"{place}/{name}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from properties(value, f"{place}/{index}")


PROPERTIES = dict(properties(SCHEMA))


def test_it_is_valid_json_schema_2020_12() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_every_property_has_a_description_of_plain_words() -> None:
    assert len(PROPERTIES) > 130
    wrong = {
        place: node.get("description")
        for place, node in PROPERTIES.items()
        if not re.match(r"[\w`{]", node.get("description", ""))
        or len(node["description"]) < 8
        or re.search(r"[`\n]|\]\(|\(\s*$|[:;,]$|  ", node["description"])
    }
    assert wrong == {}


def test_every_property_has_its_path_as_title() -> None:
    """But for alternatives: an editor shows their title once for each."""
    titles = {place: node["title"] for place, node in PROPERTIES.items() if "anyOf" not in node}
    assert len(titles) > 110
    assert [title for place, title in titles.items() if title.rsplit(".")[-1] != place.rsplit("/")[-1]] == []


def test_every_mapping_refuses_unknown_keys() -> None:
    for name, definition in SCHEMA["$defs"].items():
        assert definition["additionalProperties"] is False, name


def test_a_key_of_the_page_that_the_settings_do_not_have_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [*read_page(), Row("usage.ledger.kept", "", "a key of an older version")]
    monkeypatch.setattr(module, "read_page", lambda: iter(rows))
    with pytest.raises(LookupError, match=r"usage\.ledger\.kept"):
        json_schema()


def test_a_default_is_one_that_the_settings_accept() -> None:
    for place, node in PROPERTIES.items():
        if "default" in node:
            alone = {"$defs": SCHEMA["$defs"], **{key: value for key, value in node.items() if key != "default"}}
            jsonschema.Draft202012Validator(alone).validate(node["default"])
            assert node["default"] not in ("", [], {}) or "default" in place or node["default"] == [], place


@pytest.mark.parametrize("path", EXAMPLES)
def test_an_example_is_one_that_the_settings_accept(path: str) -> None:
    nodes = list(find(SCHEMA, path))
    assert nodes
    for node in nodes:
        assert node["examples"] == EXAMPLES[path]
        for example in node["examples"]:
            jsonschema.Draft202012Validator({"$defs": SCHEMA["$defs"], **node}).validate(example)


LEAST: dict[str, Any] = {"backends": {"o": {"base_url": "http://x"}}, "models": [{"match": "*", "use": "o/m"}]}

ACCEPTED: list[dict[str, Any]] = [
    {},
    {"policy": {"rules": ["true", {"deny": "false"}, {"name": "n", "action": "Allow", "when": ["a", "b"]}]}},
    {"policy": {"rules": [{"policy": {"matchExpressions": ["true"]}}]}},
    {"usage": {"otel": {"semconv": "latest"}, "prometheus": True, "ledger": {}}},
    {"usage": {"ledger": {"keep": None}}},
    {"server": {"body_limit": "8MiB", "drain": {"signal": True}}},
    {"routes": {"/v1/embeddings": {"passthrough": "o"}, "/v1/chat/completions": "completions"}},
    {"secret": ["env:NEW", "env:OLD"]},
    {"models": [{"match": "*", "use": ["o/a", "o/b"], "prices": {"input": 1, "output": 2}}]},
]

REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("polcy", {"polcy": {}}),
    ("providers", {"auth": {"providers": {"issuer": "x"}}}),
    ("mode", {"auth": {"mode": "strikt"}}),
    ("leeway", {"auth": {"providers": [{"leeway": "30s"}]}}),
    ("fil", {"auth": {"providers": [{"jwks": {"fil": "x"}}]}}),
    ("base_url", {"backends": {"o": {}}}),
    ("bas_url", {"backends": {"o": {"base_url": "x", "bas_url": "x"}}}),
    ("idle", {"backends": {"o": {"base_url": "x", "timeouts": {"idle": "60s"}}}}),
    ("match", {"models": [{"use": "o"}]}),
    ("inputs", {"models": [{"match": "*", "use": "o", "prices": {"inputs": 1}}]}),
    ("raeson", {"policy": {"rules": [{"when": "true", "raeson": "x"}]}}),
    ("action", {"policy": {"rules": [{"when": "true", "action": "permit"}]}}),
    ("semconv", {"usage": {"otel": {"semconv": 1.41}}}),
    ("keep", {"usage": {"ledger": {"keep": 90}}}),
    ("streams", {"server": {"streams": 0}}),
    ("after", {"server": {"drain": {"after": -1}}}),
]


@pytest.mark.parametrize("sections", ACCEPTED, ids=lambda sections: ",".join(sections) or "least")
def test_what_the_gateway_accepts_is_valid(sections: dict[str, Any]) -> None:
    read_settings(LEAST | sections)
    VALIDATOR.validate(LEAST | sections)


@pytest.mark.parametrize(("key", "sections"), REFUSED, ids=[key for key, _ in REFUSED])
def test_what_is_wrong_is_not_valid(key: str, sections: dict[str, Any]) -> None:
    errors = list(VALIDATOR.iter_errors(LEAST | sections))
    assert errors
    assert key in str(errors[0]) or key in str(errors[0].absolute_path)


@pytest.mark.parametrize("file", GOOD, ids=lambda file: str(file.relative_to(ROOT)))
def test_the_examples_are_valid(file: Any) -> None:
    VALIDATOR.validate(yaml.safe_load(file.read_text()))


def test_the_schema_is_made_new_each_time() -> None:
    first = json_schema()
    kept = copy.deepcopy(first)
    first["$defs"]["PolicySettings"]["properties"]["rules"]["items"]["anyOf"][1]["properties"]["when"]["title"] = "x"
    assert json_schema() == kept


@pytest.mark.suites
def test_an_editor_completes_checks_and_explains(tmp_path: Path) -> None:
    """yaml-language-server, which editors use, as an oracle beside jsonschema."""
    modules = npm_packages("yaml-language-server", "yaml-language-server@2.0.0")
    (tmp_path / "llmgate.schema.json").write_text(json.dumps(SCHEMA))
    first = "# yaml-language-server: $schema=llmgate.schema.json\n"
    lab = first + (ROOT / "examples" / "lab" / "llmgate.yaml").read_text()
    texts = {
        "good.yaml": lab,
        "bad.yaml": lab.replace("mode: strict", "mode: strikt").replace("policy:", "polcy:"),
        "begun.yaml": f"{first}auth:\n  providers:\n    - preset: \n",
    }
    with LanguageServer(modules, tmp_path) as editor:
        for name, text in texts.items():
            (tmp_path / name).write_text(text)
            editor.open(name, text)
        assert editor.problems("good.yaml") == []
        assert [problem.partition(".")[0] for problem in editor.problems("bad.yaml")] == [
            "Value is not accepted",
            "Property polcy is not allowed",
        ]
        lines = lab.splitlines()
        for path in ("auth.mode", "auth.providers[].issuer", "auth.providers[].jwks", "models[].max_output_tokens",
                     "usage.prices", "usage.ledger", "backends.*.api_key", "policy"):  # fmt: skip
            key = path.rpartition(".")[2] + ":"
            line = next(number for number, text in enumerate(lines) if key in text and not text.startswith("#"))
            shown = editor.hover("good.yaml", line, lines[line].index(key) + 1).replace("\\", "")
            (row,) = (row for row in read_page() if row.path == path)
            assert row.description in shown
            assert "||" not in shown
        assert {"okta", "keycloak", "entra"} <= set(editor.completions("begun.yaml", 3, 14))
