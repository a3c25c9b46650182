from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asgi_llmgate import Gateway
from asgi_llmgate.errors import SettingsError
from tests.config.sections.test_safeguards import mistakes
from tests.config.sections.test_server import SETTINGS

CLASSIFIER: list[tuple[Any, str]] = [
    ({"use": "nowhere/qwen3"}, "safeguards.classifier.use: no backend is named 'nowhere'"),
    ({"use": "o"}, "safeguards.classifier.use: the model is missing"),
    ({"use": ["o/a", "o"]}, "safeguards.classifier.use[1]: the model is missing"),
    ({"use": []}, "safeguards.classifier.use: the list is empty"),
    ({"use": "o/a", "prompt": "missing.txt"}, "safeguards.classifier.prompt: the file cannot be read"),
]


@pytest.mark.parametrize(("written", "begin"), CLASSIFIER)
def test_what_is_wrong_with_a_classifier_is_told_with_its_place(written: Any, begin: str) -> None:
    [found] = mistakes({"classifier": written})
    assert found.startswith(begin)


def test_a_backend_that_needs_the_callers_token_is_no_classifier() -> None:
    exchange = {"token_url": "https://idp.acme.test/token", "client_id": "gate", "client_secret": "env:HOME"}
    backends = {"o": {"base_url": "http://127.0.0.1:9/v1", "api_key": {"token_exchange": exchange}}}
    with pytest.raises(SettingsError, match=r"safeguards\.classifier\.use: the caller's token is not kept"):
        Gateway.from_settings({**SETTINGS, "backends": backends, "safeguards": {"classifier": {"use": "o/a"}}})


@pytest.mark.parametrize(("text", "fits"), [("Flag llamas.", True), (" \n", False), ("x" * 32_001, False)])
def test_a_prompt_is_a_file_of_a_limited_length(tmp_path: Path, text: str, fits: bool) -> None:
    (prompt := tmp_path / "prompt.txt").write_text(text)
    settings = {**SETTINGS, "safeguards": {"classifier": {"use": "o/a", "prompt": str(prompt)}}}
    if fits:
        Gateway.from_settings(settings)
    else:
        with pytest.raises(SettingsError, match=r"^safeguards\.classifier\.prompt: the file must have 1 to 32000"):
            Gateway.from_settings(settings)
