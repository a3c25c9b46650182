"""Where in the file a setting, and a character of a rule, is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_llmgate.config.checking.positions import Positions
from asgi_llmgate.config.yaml_text import read_document
from asgi_llmgate.mistakes import Mistakes


def positions(text: str) -> Positions:
    document = read_document(text.encode(), "file", Mistakes())
    return Positions(document.node, document.text)


FILE = """\
# a comment
auth:
  mode: strict
  on: 1
  providers:
    - issuer: https://a.test
      audiences: [llm, "two"]
    -
      issuer: https://b.test
backends:
  gpu-1.acme.test: {base_url: x, extra_headers: {"x.y": z}}
  gpu-1: &gpu
    base_url: y
  gpu-2:
    <<: *gpu
    dialect: {base: vllm}
routes: {/v1/messages: messages, "/v2.1/[x]": {passthrough: gpu-1}}
"""

PLACES = [
    ("auth", (2, 1)),
    ("auth.mode", (3, 3)),
    ("auth.True", (4, 3)),
    ("auth.on", (4, 3)),
    ("auth.providers", (5, 3)),
    ("auth.providers[0]", (6, 7)),
    ("auth.providers[0].issuer", (6, 7)),
    ("auth.providers[0].audiences[1]", (7, 24)),
    ("auth.providers[0].audiences[2]", (7, 7)),
    ("auth.providers[0].jwks", (6, 7)),
    ("auth.providers[0].jwks.url", (6, 7)),
    ("auth.providers[1].issuer", (9, 7)),
    ("auth.providers[7].issuer", (5, 3)),
    ("backends.gpu-1.acme.test", (11, 3)),
    ("backends.gpu-1.acme.test.base_url", (11, 21)),
    ("backends.gpu-1.acme.test.extra_headers.x.y", (11, 50)),
    ("backends.gpu-1.base_url", (13, 5)),
    ("backends.gpu-2.base_url", (13, 5)),
    ("backends.gpu-2.dialect.base", (16, 15)),
    ("backends.gpu-3", (10, 1)),
    ("routes./v1/messages", (17, 10)),
    ("routes./v2.1/[x].passthrough", (17, 48)),
    ("models", (2, 1)),
    ("", (2, 1)),
]


@pytest.mark.parametrize(("path", "place"), PLACES, ids=[path for path, _ in PLACES])
def test_a_setting_is_at_its_key(path: str, place: tuple[int, int]) -> None:
    assert positions(FILE).of(path) == place


def test_an_empty_document_has_one_place() -> None:
    assert positions("# nothing\n").of("models[0].use") == (1, 1)


STYLES = [
    "rule: jwt.a == 'x' && HERE",
    "rule:   jwt.a &&\n  jwt.b ||\n    HERE.x",
    "rule: 'jwt.a == ''x'' && HERE'",
    "rule: 'jwt.a &&\n  jwt.b && ''y'' == HERE'",
    'rule: "jwt.a == \\"x\\" && HERE"',
    'rule: "jwt.a == \\u0027\\x41\\t\\n\' && HERE"',
    'rule: "jwt.a &&\\\n   \\ HERE"',
    "rule: |\n  jwt.a &&\n  HERE == 1\n",
    "rule: |2-  # how\n    jwt.a &&\n\n    HERE == 1",
    "rule: >\n  jwt.a &&\n  jwt.b\n\n  && HERE\n",
    "rule: >-\r\n  jwt.a\r\n  && HERE\r\n",
    "rule: !!str jwt.a && HERE",
    "rule: &x !!str 'jwt.a && HERE'",
    "rule: !!str |\n  jwt.a && HERE",
    "other: &rule jwt.a && HERE\nrule: *rule\n",
    "rule: 'ä == \U0001f600 && HERE'",
    "[{rule: 'jwt.a && HERE'}]",
]


@pytest.mark.parametrize("text", STYLES)
def test_a_character_of_a_rule_has_its_place_in_every_style(text: str) -> None:
    document = read_document(text.encode(), "file", Mistakes())
    content, path = (document.content[0], "[0].rule") if text.startswith("[") else (document.content, "rule")
    assert Positions(document.node, document.text).of(path, within(content["rule"])) == within(text)


def within(value: str) -> tuple[int, int]:
    before = value[: value.index("HERE")]
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


@pytest.mark.parametrize(
    ("text", "inside", "place"),
    [
        ("a: 'jwt.x =='", (1, 9), (1, 13)),
        ("a: jwt.x ==", (1, 9), (1, 12)),
        ("a: 'jwt.${X} == y'", (1, 9), (1, 1)),
        ("a: ''", (1, 1), (1, 1)),
        ("a: x", (9, 9), (1, 1)),
        ("a: [x]", (1, 1), (1, 1)),
    ],
    ids=["its end", "its end, plain", "a variable in it", "nothing", "no such line", "no text"],
)
def test_where_there_is_no_such_character(text: str, inside: tuple[int, int], place: tuple[int, int]) -> None:
    assert positions(text).of("a", inside) == place


@settings(max_examples=100, deadline=None)
@given(
    st.text(st.sampled_from("ab'\"\\ \t\n:#&*-é"), max_size=30).filter(lambda text: text.strip() == text),
    st.sampled_from(["'", '"', None, "|", ">"]),
)
def test_the_character_is_found_in_what_pyyaml_writes(before: str, style: str | None) -> None:
    import yaml

    value = f"x{before}HERE"
    text = yaml.safe_dump({"rule": value}, default_style=style, width=20)
    document = read_document(text.encode(), "file", Mistakes())
    assert document.content == {"rule": value}
    line, column = Positions(document.node, document.text).of("rule", within(value))
    assert document.text.splitlines()[line - 1][column - 1 :].startswith("HERE")
