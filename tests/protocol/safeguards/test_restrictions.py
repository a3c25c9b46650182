"""The shape is that of Claude Code 2.1.332."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from asgi_llmgate.protocol.safeguards.restrictions import MAX_CONTEXT, read_restrictions

CONTEXT = {
    "permission_mode": "auto",
    "live_cwd": "/home/alice/project",
    "home_dir": "/home/alice",
    "trusted_directories": {"primary": {"path": "/"}},
    "rules": {
        "allow": [{"rule": "Bash(*)", "source": "userSettings"}],
        "deny": [
            {"rule": "Bash(rm:*)", "source": "userSettings"},
            {"rule": "Bash(curl:*)", "source": "projectSettings"},
            {"rule": "Bash(nc:*)", "source": "localSettings"},
            {"rule": "Bash(npm publish:*)", "source": "cliArg"},
        ],
        "ask": [{"rule": "Bash(git push:*)", "source": "policySettings"}],
    },
    "auto_mode": {
        "allow": ["everything"],
        "soft_deny": ["big deletes"],
        "hard_deny": ["never production"],
        "environment": ["our repositories are at github.com/acme"],
    },
}


def read(context: Any) -> Any:
    return read_restrictions(msgspec.Raw(msgspec.json.encode(context)))


def test_what_forbids_is_read_and_nothing_that_allows() -> None:
    assert read(CONTEXT) == {
        "working_directory": "/home/alice/project",
        "home": "/home/alice",
        "deny": ["Bash(rm:*)", "Bash(npm publish:*)"],
        "ask": ["Bash(git push:*)"],
        "hard_deny": ["never production"],
        "soft_deny": ["big deletes"],
        "environment": ["our repositories are at github.com/acme"],
    }


def test_plan_mode_forbids_changes() -> None:
    assert read({"permission_mode": "plan"}) == {"mode": "plan: nothing may be changed"}


@pytest.mark.parametrize(
    "context",
    [{}, [], {"rules": []}, {"rules": {"deny": "x"}}, {"auto_mode": {"hard_deny": [1, {}]}}, {"live_cwd": 5}],
)
def test_what_is_not_as_the_client_writes_it_is_nothing(context: Any) -> None:
    assert read(context) == {}
    assert read_restrictions(None) == {}


def test_all_of_it_is_bounded() -> None:
    assert read({"home_dir": "x" * MAX_CONTEXT}) == {}
    lists = read({"auto_mode": {"hard_deny": ["x" * 600] * 40}, "home_dir": "y" * 600})
    assert (len(lists["hard_deny"]), len(lists["hard_deny"][0]), len(lists["home"])) == (30, 500, 500)
