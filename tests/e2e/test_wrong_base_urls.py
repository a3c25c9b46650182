"""What a person reads in Claude Code whose base URL is wrong; test_mistakes_page.py has two more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from asgi_llmgate.testing.model_script import say
from tests.e2e.claude_code.client import ClaudeCode

if TYPE_CHECKING:
    from tests.e2e.conftest import Lab


@pytest.mark.parametrize(
    ("base", "mistake"),
    [
        ("/v1", "the path of ANTHROPIC_BASE_URL is /v1, where no gateway is"),
        ("/llm/llm", "ANTHROPIC_BASE_URL ends in /llm and should not"),
        ("/llm/v1/messages", "ANTHROPIC_BASE_URL ends in /v1/messages and should not"),
    ],
)
def test_the_right_base_url_is_shown(lab: Callable[..., Lab], claude: ClaudeCode, base: str, mistake: str) -> None:
    gate = lab()
    wrong = replace(gate, url=gate.url.removesuffix("/llm") + base)
    run = claude("Hello.", gate=wrong)
    assert run.is_error
    said = f"nothing is served at {base}/v1/messages: {mistake}; set it to {gate.url}"
    assert run.result == f"API Error: 421 {said}"
    assert len(gate.calls) == 1  # it does not try again


def test_a_slash_at_the_end_is_no_mistake(lab: Callable[..., Lab], claude: ClaudeCode) -> None:
    gate = lab([say("Hello.")])
    assert claude("Hello.", gate=replace(gate, url=gate.url + "/")).result == "Hello."
