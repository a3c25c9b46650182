from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import pytest

from asgi_llmgate import Gateway
from asgi_llmgate.config.sections.safeguards import SafeguardsSettings, make_safeguards
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.usage.ledger import Ledger
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


def test_override_is_a_setting_of_what_judges() -> None:
    settings = msgspec.convert({"override": True, "rules": [RULE]}, SafeguardsSettings)
    made = make_safeguards(settings, (), {}, lambda classifier: pytest.fail("there is none"))
    assert made is not None
    assert made.override


def test_a_webhook_needs_a_ledger_that_keeps_flags_and_a_secret_that_signs() -> None:
    found = mistakes({"notify": "http://hooks.acme.test/?key=hidden"})
    assert [text for text in found if "an https URL is needed" in text]
    assert [text for text in found if text.startswith("safeguards.notify: a webhook needs usage.ledger")]
    assert [text for text in found if text.startswith("safeguards.notify: a webhook needs secret")]
    assert "hidden" not in str(found)
    assert [text for text in mistakes({"notify": "hooks.acme.test"}) if "not a URL" in text]
    assert [text for text in mistakes({"audit": {"keep": "long"}}) if text.startswith("safeguards.audit.keep: ")]


def test_with_both_flags_are_sent_and_verdicts_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "s" * 32)
    settings = {
        **SETTINGS,
        "secret": "env:SECRET",
        "usage": {"ledger": {}},
        "safeguards": {"notify": "https://hooks.acme.test/flags", "audit": {"keep": "30d", "inputs": True}},
    }
    with mock.patch.object(Ledger, "__init__", autospec=True, side_effect=Ledger.__init__) as made:
        Gateway.from_settings(settings, folder=tmp_path)
    assert made.call_args.kwargs["keep_verdicts"] == 30 * 86400
    assert made.call_args.kwargs["notify"] is True
