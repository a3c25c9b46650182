"""What Claude Code makes of a refused upload, tried with Claude Code; docs/reference/errors.md has the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from asgi_llmgate.asgi.upload_limits import Upload

if TYPE_CHECKING:
    from tests.e2e.claude_code.client import ClaudeCode
    from tests.e2e.conftest import Lab

pytestmark = pytest.mark.suites

OPUS = "claude-opus-5-5"


def statuses(gate: Lab) -> list[int]:
    return [record["status"] for record in gate.records()]


def test_a_body_that_is_too_large_is_sent_once(lab: Callable[..., Lab], claude: ClaudeCode) -> None:
    gate = lab(server={"body_limit": "8KiB"})
    run = claude("Say hello.", "--model", OPUS, gate=gate)
    assert (statuses(gate), run.is_error) == ([413], True)
    assert run.result.startswith("Request too large (max 32MB).")


def test_who_is_too_slow_is_told_at_once(
    lab: Callable[..., Lab], claude: ClaudeCode, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def too_slow(self: Upload, receive: object) -> None:
        raise self._too_slow(paused=False)

    monkeypatch.setattr(Upload, "wait", too_slow)
    gate = lab()
    run = claude("Say hello.", "--model", OPUS, gate=gate)
    assert (statuses(gate), run.is_error) == ([408], True)
    assert run.result == "API Error: 408 the request body arrives at less than 16384 bytes per second"
