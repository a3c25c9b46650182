"""What Claude Code does with our 401: with an apiKeyHelper it renews its token, with a fixed token it stops."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from asgi_llmgate.testing.model_script import say
from tests.e2e.conftest import REASON

if TYPE_CHECKING:
    from tests.e2e.conftest import Lab, Run


class Helper:
    """An apiKeyHelper that prints one token after the other, the last one again and again."""

    def __init__(self, folder: Path, tokens: Sequence[str]) -> None:
        self._calls = folder / "calls"
        for number, token in enumerate(tokens, 1):
            (folder / f"token-{number}").write_text(token)
        script = folder / "print-token"
        script.write_text(
            "#!/bin/sh\n"
            f"echo called >> {self._calls}\n"
            f"number=$(wc -l < {self._calls})\n"
            f"[ $number -le {len(tokens)} ] || number={len(tokens)}\n"
            f"cat {folder}/token-$((number))\n"
        )
        script.chmod(0o755)
        self.settings = json.dumps({"apiKeyHelper": str(script)})

    @property
    def calls(self) -> int:
        return len(self._calls.read_text().splitlines())


@pytest.fixture
def helper(tmp_path: Path) -> Callable[..., Helper]:
    def make(*tokens: str) -> Helper:
        folder = tmp_path / "helper"
        folder.mkdir()
        return Helper(folder, tokens)

    return make


def statuses(gate: Lab) -> list[int]:
    return [record["status"] for record in gate.records() if record["path"].endswith("/v1/messages")]


def test_an_expired_token_of_a_helper_is_renewed_once_and_the_answer_comes(
    lab: Callable[..., Lab], claude: Callable[..., Run], helper: Callable[..., Helper]
) -> None:
    gate = lab([say("Good morning.")])
    tokens = helper(gate.idp.mint(team="data-platform", ttl=-300), gate.token())
    run = claude("Say hello.", "--settings", tokens.settings, gate=gate, token=None)
    assert (run.result, run.is_error) == ("Good morning.", False)
    assert tokens.calls == 2
    assert statuses(gate) == [401, 200]
    refused, _ = (record for record in gate.records() if record["path"].endswith("/v1/messages"))
    assert (refused["reason"], refused["error"]) == ("JwtAuth", "authentication failure: token expired")


def test_a_fixed_token_that_is_bad_stops_at_once_with_our_reason(
    lab: Callable[..., Lab], claude: Callable[..., Run]
) -> None:
    gate = lab()
    run = claude("Say hello.", gate=gate, token=gate.idp.mint(team="data-platform", ttl=-300))
    assert run.is_error
    assert run.result == "Failed to authenticate. API Error: 401 authentication failure: token expired"
    assert statuses(gate) == [401]
    assert gate.model.requests == []


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        (
            {"aud": "another"},
            "401 authentication failure: wrong audience; sign in again, or ask the operator of the gateway",
        ),
        ({"team": "marketing"}, f"403 {REASON}"),
    ],
    ids=["bad tokens", "good tokens of another team"],
)
def test_a_helper_whose_tokens_never_help_leads_to_the_reason_and_not_to_minutes_of_tries(
    lab: Callable[..., Lab], claude: Callable[..., Run], helper: Callable[..., Helper], claims: Any, told: str
) -> None:
    gate = lab()
    tokens = helper(gate.idp.mint(claims))
    run = claude("Say hello.", "--settings", tokens.settings, gate=gate, token=None)
    assert run.is_error
    assert run.result.endswith(told)
    assert 1 <= len(statuses(gate)) <= 3
    assert gate.model.requests == []
