"""Runners for the page about company rules on actions."""

from __future__ import annotations

import json
import shutil
from typing import Any

import yaml

from asgi_llmgate import Gateway
from asgi_llmgate.testing.driver import call
from tests.docs.code_blocks import NAMED
from tests.docs.lab_folder import Place, Runners
from tests.helpers.installation import unavailable

RUNNERS = Runners()

IN_PRODUCTION = "kubectl --context prod delete pod api-1"


def request(command: str) -> dict[str, Any]:
    """As Claude Code's auto mode sends it; the lab's model then calls Bash."""
    return {
        "model": "claude-opus-5-5",
        "max_tokens": 128,
        "tools": [{"name": "Bash", "input_schema": {"type": "object"}}],
        "messages": [{"role": "user", "content": f"Please run `{command}`"}],
        "safeguards": [{"type": "dangerous_tool_use", "classifier_context": {"v": 1}}],
    }


async def verdict(settings: dict[str, Any], place: Place, command: str) -> dict[str, Any]:
    """What the client is told about the command, by a gateway with these settings."""
    (place.folder / "llmgate.yaml").write_text(yaml.safe_dump(settings))
    headers = {"authorization": f"Bearer {place.idp.mint()}"}
    async with Gateway.from_file("llmgate.yaml") as gateway:
        response = await call(gateway, "POST", "/v1/messages", json=request(command), headers=headers)
    [results] = response.json()["safeguard_results"]
    [found] = results["status"]["tool_uses"].values()
    return dict(found)


@RUNNERS.runs("actions first rules", "actions dry run")
async def rules_that_only_record(text: str, place: Place) -> None:
    if shutil.which("jq") is None:
        unavailable("jq is not installed")
    rules = yaml.safe_load(NAMED["actions first rules"].text)
    log = {"access_log": {"file": "access.log", "format": "json"}}
    found = await verdict(place.settings(**rules, usage=log), place, IN_PRODUCTION)
    assert found["type"] == "unavailable"
    told, row = place.sh(NAMED["actions dry run"].text).rsplit("\n", 2)[:2]
    assert told.startswith("llmgate.yaml: good\n")
    assert "production" in told
    assert row.split("\t")[::2] == ["Bash", "production"]


@RUNNERS.runs("actions rules")
async def rules_that_decide(text: str, place: Place) -> None:
    settings = place.settings(**yaml.safe_load(text))
    found = await verdict(settings, place, IN_PRODUCTION)
    assert (found["outcome"], found["explanation"]) == ("flagged", settings["safeguards"]["rules"][0]["reason"])
    assert (await verdict(settings, place, "make"))["type"] == "unavailable"
    assert place.sh("llmgate check").startswith("llmgate.yaml: good\n")


@RUNNERS.runs("actions classifier")
async def a_classifier(text: str, place: Place) -> None:
    (place.folder / "llmgate.yaml").write_text(yaml.safe_dump(place.settings(**yaml.safe_load(text))))
    assert place.sh("llmgate check").startswith("llmgate.yaml: good\n")


@RUNNERS.runs("actions managed settings")
def managed_settings_close_the_ways_around(text: str, place: Place) -> None:
    """For a developer whose settings allow the command, whose hook allows everything, and who asks for no checks."""
    managed = place.folder / "etc" / "claude-code"
    managed.mkdir(parents=True)
    (managed / "managed-settings.json").write_text(text)
    allowing = {"hookSpecificOutput": {"hookEventName": "PreToolUse", "permissionDecision": "allow"}}
    hook = {"type": "command", "command": f"echo '{json.dumps(allowing)}'"}
    developers = {
        "permissions": {"allow": [f"Bash({IN_PRODUCTION})"]},
        "hooks": {"PreToolUse": [{"matcher": "Bash", "hooks": [hook]}]},
        "env": {"CLAUDE_CODE_AUTO_MODE_SERVER": "0"},
    }
    own = place.folder / "home" / ".claude"
    own.mkdir(parents=True)
    (own / "settings.json").write_text(json.dumps(developers))
    rules = yaml.safe_load(NAMED["actions rules"].text)
    (place.folder / "llmgate.yaml").write_text(yaml.safe_dump(place.settings(**rules)))
    place.install_claude()
    gate = {"ANTHROPIC_BASE_URL": f"{place.serve_lab()}/llm", "ANTHROPIC_AUTH_TOKEN": place.idp.mint()}
    ask = f"claude -p 'Please run `{IN_PRODUCTION}`' --permission-mode bypassPermissions --output-format json"
    assert refused(place.sh(ask, **gate)) == []
    with_etc = f"mount -t overlay overlay -o lowerdir={managed.parent}:/etc /etc"
    try:
        told = place.sh(f"unshare -rm sh -ec '{with_etc}; exec \"$@\"' sh {ask}", **gate)
    except AssertionError as error:
        unavailable(f"no mount namespace with an overlay: {error}")
    assert refused(told) == [IN_PRODUCTION]


def refused(printed: str) -> list[str]:
    """The commands that the client has not run."""
    return [denial["tool_input"]["command"] for denial in json.loads(printed)["permission_denials"]]
