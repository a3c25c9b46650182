"""The runner for the page about `llmgate doctor`."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.docs.lab_folder import Place, Runners

RUNNERS = Runners()


@RUNNERS.runs("doctor")
def each_command_finds_the_lab_in_order(text: str, place: Place) -> None:
    commands = [line.removeprefix("$ ").partition("  #")[0] for line in text.splitlines()]
    plain, online, with_token, without_calls, as_json = commands
    for command in (plain, online):
        told = place.sh(command)
        assert "models[0].use: gpt-4o-mini calls a tool\n" in told
        assert told.splitlines()[-1] == "no errors"
    assert "claude-opus-5-5 through the whole gateway: 200" in place.sh(with_token)
    asked = len(place.model.chats)
    place.sh(without_calls)
    assert len(place.model.chats) == asked
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    assert json.loads(place.sh(as_json)) == []
