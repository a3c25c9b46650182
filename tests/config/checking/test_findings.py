"""The text and JSON forms of a finding."""

from __future__ import annotations

import pytest

from asgi_llmgate.config.checking.findings import Finding, count

FULL = Finding("error", "no such thing", path="models[0].use", hint="look", file="g.yaml", line=12, column=5)

TEXTS = [
    (FULL, "g.yaml:12:5: error: models[0].use: no such thing (look)"),
    (Finding("warning", "odd", path="a.b"), "warning: a.b: odd"),
    (Finding("error", "cannot be read", file="g.yaml"), "g.yaml: error: cannot be read"),
    (Finding("error", "cannot be read", file="g.yaml", line=3), "g.yaml:3: error: cannot be read"),
    (Finding("error", "no \x1b[2J", path="a.\u202eb\n", hint="\t"), r"error: a.\u202eb\n: no \x1b[2J (\t)"),
    (Finding("error", "bad\n  x ==\n       ^", path="a", hint="do"), "error: a: bad (do)\n  x ==\n       ^"),
]


@pytest.mark.parametrize(("finding", "text"), TEXTS, ids=[text for _, text in TEXTS])
def test_the_text_is_that_of_compilers(finding: Finding, text: str) -> None:
    assert str(finding) == text


def test_json_has_the_fields_that_have_a_value() -> None:
    assert FULL.as_json() == {
        "severity": "error",
        "message": "no such thing",
        "path": "models[0].use",
        "hint": "look",
        "file": "g.yaml",
        "line": 12,
        "column": 5,
    }
    assert Finding("warning", "odd").as_json() == {"severity": "warning", "message": "odd"}


@pytest.mark.parametrize(
    ("severities", "words"),
    [
        ([], "no errors"),
        (["error"], "1 error"),
        (["warning", "error", "error", "error"], "3 errors, 1 warning"),
        (["warning", "warning"], "2 warnings"),
    ],
)
def test_the_sum_is_in_words(severities: list[str], words: str) -> None:
    assert count(Finding(severity, "x") for severity in severities) == words  # type: ignore[arg-type]
