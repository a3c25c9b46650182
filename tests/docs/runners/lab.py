"""Runners for the lab's walk-through."""

from __future__ import annotations

import json
import re
import shutil

import httpx
import pytest
import yaml

from tests.docs.lab_folder import ASK, Place, Runners

RUNNERS = Runners()


@RUNNERS.runs("lab mint")
def keys_and_tokens(text: str, place: Place) -> None:
    *keys, token, marketing = place.sh(f'{text}\necho "$TOKEN"\necho "$MARKETING"').splitlines()
    assert json.loads("\n".join(keys)) == json.loads((place.folder / ".llmgate" / "jwks.json").read_text())
    gate = place.serve_lab() + "/llm/v1/messages"
    statuses = [
        httpx.post(gate, json=ASK, headers={"authorization": f"Bearer {each}"}).status_code
        for each in (token, marketing)
    ]
    assert statuses == [200, 403]


@RUNNERS.runs("lab backend", "lab policy")
def part_of_the_labs_settings(text: str, place: Place) -> None:
    assert yaml.safe_load(text).items() <= place.settings().items()


@RUNNERS.runs("lab entitlement")
async def the_entitlement_decides_per_model(text: str, place: Place) -> None:
    settings = place.settings(**yaml.safe_load(text))
    assert await place.ask(settings) == 200
    assert await place.ask(settings, llms={"openai": ["gpt-4o"]}) == 403


@RUNNERS.runs("lab check")
def the_settings_are_explained(text: str, place: Place) -> None:
    assert "claude-opus-5: gpt-4o-mini at openai" in place.sh(text)


@RUNNERS.runs("lab policy tests")
def the_table_of_tests(text: str, place: Place) -> None:
    assert place.sh(text) == "7 of 7 passed\n"


@RUNNERS.runs("lab requests")
def the_three_requests(text: str, place: Place) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    tokens = {"TOKEN": place.idp.mint(), "MARKETING": place.idp.mint(team="marketing")}
    printed = place.sh(text.replace("http://127.0.0.1:8080", place.serve_lab()), **tokens)
    stated = re.findall(r"^ask.*# (\d+): (.*)$", text, re.MULTILINE)
    answers = [json.loads(part) for part in re.findall(r"\{.*?\}(?=\{|\Z)", printed.strip(), re.DOTALL)]
    assert len(answers) == len(stated) == 3
    missing, denied, message = answers
    assert missing["error"] == {"type": "authentication_error", "message": stated[0][1]}
    assert denied["error"]["type"] == "permission_error"
    assert denied["error"]["message"].startswith(f"{stated[1][1]}: the rules of this gateway do not allow")
    assert (message["type"], message["model"]) == ("message", "gpt-4o-mini-2024-07-18")
