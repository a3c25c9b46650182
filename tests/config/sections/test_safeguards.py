from __future__ import annotations

from typing import Any

import pytest

from asgi_llmgate import Gateway
from asgi_llmgate.errors import SettingsError
from tests.config.sections.test_server import SETTINGS

RULE = {"name": "no-prod", "outcome": "flag", "when": "true"}


def mistakes(safeguards: Any) -> list[str]:
    """The places and texts of what is wrong."""
    with pytest.raises(SettingsError) as caught:
        Gateway.from_settings({**SETTINGS, "safeguards": safeguards})
    return [str(error) for error in (caught.value, *caught.value.others)]


WRONG: list[tuple[Any, str]] = [
    ({"rules": [{**RULE, "outcome": "deny"}]}, "safeguards.rules[0].outcome: "),
    ({"rules": [{"outcome": "flag", "when": "true"}]}, "safeguards.rules[0].name: "),
    ({"rules": [RULE, RULE]}, "safeguards.rules[1].name: two rules are named 'no-prod'"),
    ({"rules": [{**RULE, "when": "tool.nam == 'x'"}]}, "safeguards.rules[0].when: "),
    ({"undecided": "ask"}, "safeguards.undecided: "),
    ({"undecided": "classifier"}, "safeguards.undecided: there is no classifier"),
    ({"classifier": {}}, "safeguards.classifier.use: "),
    ({"classifier": {"use": "a/b", "timeout": 0}}, "safeguards.classifier.timeout: "),
    ({"classifer": {"use": "a/b"}}, "safeguards.classifer: "),
]


@pytest.mark.parametrize(("written", "begin"), WRONG)
def test_what_is_wrong_is_told_with_its_place(written: Any, begin: str) -> None:
    found = mistakes(written)
    assert [text for text in found if text.startswith(begin)], found


def test_all_mistakes_are_told_at_once() -> None:
    found = mistakes({"rules": [{**RULE, "when": "x"}, {**RULE, "name": "b", "when": "y"}], "undecided": "classifier"})
    assert len(found) == 3


def test_a_key_that_is_not_built_is_refused() -> None:
    assert mistakes({"notify": "https://hooks.acme.test"}) == ["safeguards.notify: this is not built yet"]
