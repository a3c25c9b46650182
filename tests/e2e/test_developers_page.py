"""docs/how-to/developers.md: each line of its settings.json, tried with Claude Code, which has nothing but the file."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from asgi_llmgate.testing.model_script import call, say
from tests.e2e.claude_code.client import Run, printed_by
from tests.helpers.installation import ROOT

if TYPE_CHECKING:
    from tests.e2e.conftest import Lab

pytestmark = pytest.mark.suites

PAGE = (ROOT / "docs" / "how-to" / "developers.md").read_text("utf-8")
RISKY = "sh -c 'touch made-by-bash'"


def settings_of_the_page() -> dict[str, Any]:
    found = re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    content: dict[str, Any] = json.loads(found[1])
    return content


def without(line: str) -> dict[str, Any]:
    """The page's settings but this line."""
    settings = settings_of_the_page()
    if settings.pop(line, None) is None:
        del settings["env"][line]
    return settings


def changed(**env: str) -> dict[str, Any]:
    settings = settings_of_the_page()
    return {**settings, "env": {**settings["env"], **env}}


class Developer:
    """A home with settings.json and a helper, which prints the first of `tokens`, the second time the second, and so
    on to the last, and notes that it was run."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self._binary = binary
        self._home = folder / "home"
        self._work = folder / "work"
        (self._home / ".claude").mkdir(parents=True)
        self._work.mkdir()

    def claude(self, prompt: str, *options: str, gate: Lab, settings: dict[str, Any], tokens: Any = ()) -> Run:
        place = self._home / ".claude"
        settings["env"]["ANTHROPIC_BASE_URL"] = gate.url
        (place / "settings.json").write_text(json.dumps(settings))
        (place / "tokens").write_text("".join(f"{token}\n" for token in tokens or [gate.token()]))
        (place / "company-token").write_text(
            '#!/bin/sh\ncd "$HOME/.claude"\necho run >> runs\nn=$(wc -l < runs)\nall=$(wc -l < tokens)\n'
            '[ "$n" -le "$all" ] || n=$all\nexec sed -n "${n}p" tokens\n'
        )
        (place / "company-token").chmod(0o755)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._home),
            "DISABLE_AUTOUPDATER": "1",
            "IS_SANDBOX": "1",
        }
        command = [str(self._binary), "-p", prompt, "--output-format", "stream-json", "--verbose", *options]
        events = [json.loads(line) for line in printed_by(command, self._work, environment, 120).splitlines()]
        return Run(events[-1]["result"], events[-1]["is_error"], events[-1], events, self._work)

    @property
    def runs(self) -> int:
        """How often the helper was run."""
        return len((self._home / ".claude" / "runs").read_text().splitlines())


@pytest.fixture
def developer(claude_binary: Path, tmp_path: Path) -> Developer:
    return Developer(claude_binary, tmp_path)


def asked(gate: Lab) -> list[str]:
    return [request.body["model"] for request in gate.calls]


WRITE = [call("Write", file_path="hello.txt", content="hi\n"), say("Done.")]


def test_the_file_as_it_stands_is_all_that_it_needs(lab: Callable[..., Lab], developer: Developer) -> None:
    gate = lab(WRITE)
    run = developer.claude("Write hello.txt.", gate=gate, settings=settings_of_the_page())
    assert (run.result, run.is_error) == ("Done.", False)
    assert (run.folder / "hello.txt").read_text() == "hi\n"  # defaultMode
    assert set(asked(gate)) == {"qwen3-coder"}  # model
    assert run.report["modelUsage"]["qwen3-coder"]["contextWindow"] == 131072  # CLAUDE_CODE_MAX_CONTEXT_TOKENS
    assert "ToolSearch" in gate.model.chats[0].tool_names  # ENABLE_TOOL_SEARCH
    assert developer.runs == 1  # apiKeyHelper


def test_without_a_window_it_takes_a_million(lab: Callable[..., Lab], developer: Developer) -> None:
    gate = lab([say("Hello.")])
    run = developer.claude("Hello.", gate=gate, settings=without("CLAUDE_CODE_MAX_CONTEXT_TOKENS"))
    assert run.report["modelUsage"]["qwen3-coder"]["contextWindow"] == 1_000_000


def test_without_a_model_it_asks_for_one_of_claudes(lab: Callable[..., Lab], developer: Developer) -> None:
    gate = lab([say("Hello.")])
    settings = without("model")
    for name in ("OPUS", "SONNET"):
        del settings["env"][f"ANTHROPIC_DEFAULT_{name}_MODEL"]
    developer.claude("Hello.", gate=gate, settings=settings)
    assert asked(gate)[0].startswith("claude-")


@pytest.mark.parametrize(("alias", "model"), [("opus", "big"), ("sonnet", "middle"), ("haiku", "small")])
def test_an_alias_means_the_companys_model(
    lab: Callable[..., Lab], developer: Developer, alias: str, model: str
) -> None:
    gate = lab([say("Hello.")])
    settings = changed(**{f"ANTHROPIC_DEFAULT_{alias.upper()}_MODEL": model})
    developer.claude("Hello.", "--model", alias, gate=gate, settings=settings)
    assert asked(gate) == [model]


def test_auto_mode_asks_the_sonnet_model_whether_it_may(lab: Callable[..., Lab], developer: Developer) -> None:
    verdict = say("<block>no").when(lambda request: request.is_safety_question).always()
    gate = lab([call("Bash", command=RISKY, description="Make a file"), verdict, say("Done.")])
    settings = changed(ANTHROPIC_DEFAULT_SONNET_MODEL="judge")
    settings["permissions"]["defaultMode"] = "auto"
    run = developer.claude("Make a file.", gate=gate, settings=settings)
    assert (run.folder / "made-by-bash").exists()
    assert "judge" in asked(gate)


def test_without_a_mode_it_may_not_write_unasked(lab: Callable[..., Lab], developer: Developer) -> None:
    settings = settings_of_the_page()
    settings["permissions"]["defaultMode"] = "default"
    run = developer.claude("Write hello.txt.", gate=lab(WRITE), settings=settings)
    assert not (run.folder / "hello.txt").exists()
    assert run.report["permission_denials"]


def test_without_tool_search_every_tool_is_sent(lab: Callable[..., Lab], developer: Developer) -> None:
    gate = lab([say("Hello.")])
    developer.claude("Hello.", gate=gate, settings=changed(ENABLE_TOOL_SEARCH="false"))
    (request,) = gate.model.chats
    assert "ToolSearch" not in request.tool_names
    assert {"WebFetch", "CronList"} <= set(request.tool_names)


def test_an_expired_token_is_renewed_by_the_helper(lab: Callable[..., Lab], developer: Developer) -> None:
    gate = lab([say("Hello.")])
    tokens = [gate.idp.mint(ttl=-3600), gate.token()]
    run = developer.claude("Hello.", gate=gate, settings=settings_of_the_page(), tokens=tokens)
    assert (run.result, run.is_error) == ("Hello.", False)
    assert developer.runs == 2
    assert [record["status"] for record in gate.records()] == [401, 200]


def test_the_helper_is_run_again_when_the_last_token_is_old(lab: Callable[..., Lab], developer: Developer) -> None:
    turns = [call("Write", file_path=f"{number}.txt", content="x") for number in range(3)]
    gate = lab([*turns, say("Done.")])
    developer.claude("Write.", gate=gate, settings=changed(CLAUDE_CODE_API_KEY_HELPER_TTL_MS="1"))
    assert developer.runs > 1


def test_an_unknown_model_is_told(lab: Callable[..., Lab], developer: Developer) -> None:
    gate = lab(models=[{"match": "other", "use": "openai/gpt-4o-mini"}])
    run = developer.claude("Hello.", gate=gate, settings=settings_of_the_page())
    assert run.is_error
    assert "There's an issue with the selected model" in run.result
