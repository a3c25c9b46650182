"""Auto mode with `safeguards` in the settings, in a terminal: what the developer reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from asgi_llmgate.testing.model_script import say
from tests.e2e.claude_code.auto_mode.test_safeguards import NO_PROD, REASON, SHELL, bash, made, own_questions
from tests.e2e.claude_code.interactive.terminal import in_a_terminal
from tests.e2e.claude_code.interactive.test_interactive import SMALL

if TYPE_CHECKING:
    from tests.e2e.claude_code.client import ClaudeCode
    from tests.e2e.conftest import Lab

pytestmark = pytest.mark.suites

SAFEGUARDS = {"rules": [NO_PROD, SHELL]}
FLAGGED = bash("touch two --context prod")


def test_a_session_in_auto_mode(lab: Callable[..., Lab], claude: ClaudeCode) -> None:
    gate = lab(
        [
            SMALL,
            bash("touch one"),
            say("It is made."),
            FLAGGED,
            say("It is not allowed."),
            FLAGGED,
            FLAGGED,
            FLAGGED,
            say("I give up."),
        ],
        safeguards=SAFEGUARDS,
    )
    with in_a_terminal(claude, gate) as terminal:
        terminal.type("Make one.")
        terminal.wait_for("It is made.")
        assert "Allowed by auto mode" in terminal.screen
        terminal.type("Make two.")
        terminal.wait_for("It is not allowed.")
        assert f"Auto mode: {REASON}" in terminal.screen
        terminal.type("/status")
        terminal.wait_for("Auto mode server")
        [row] = [line for line in terminal.screen.splitlines() if "Auto mode server" in line]
        assert row.split()[-1] == "Enabled"
        terminal.press("Escape")
        terminal.wait_for("Settings dialog dismissed")
        terminal.type("Try three times.")
        terminal.wait_for("consecutive actions were blocked")
        assert "isn't eligible" not in terminal.screen
        terminal.press("Escape")
    assert made(claude.folder) == ["one"]
    assert own_questions(gate) == []
