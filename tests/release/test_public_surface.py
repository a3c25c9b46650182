"""What others rely on: a list in a file, so that nobody changes it without noticing."""

from __future__ import annotations

import re
from inspect import iscoroutinefunction, signature
from pathlib import Path

import pytest

import asgi_llmgate
from asgi_llmgate import ROUTES, __all__
from tests.conftest import CLAUDE_CODE
from tests.helpers.distribution.project import python_versions
from tests.helpers.installation import ROOT
from tests.real_upstream.conftest import LITELLM, LLAMACPP
from tests.release.public_surface import sections, surface

LISTED = Path(__file__).with_name("public-surface.txt")
PAGE = (ROOT / "COMPATIBILITY.md").read_text("utf-8")


def changes(before: str, now: str) -> str:
    """What a contributor has to know, "" if nothing has changed."""
    old, new = ([line for line in text.splitlines() if line] for text in (before, now))
    gone, added = [line for line in old if line not in set(new)], [line for line in new if line not in set(old)]
    told = [f"- {line}" for line in gone] + [f"+ {line}" for line in added]
    if gone:
        told.append(
            "Somebody may rely on what is gone or has changed. COMPATIBILITY.md says how it is deprecated first."
        )
    if added:
        told.append("What is new is promised from its first release on: is this its name?")
    if before != now:
        told.append(
            "Then: python -m tests.release.public_surface > tests/release/public-surface.txt, and CHANGELOG.md."
        )
    return "\n".join(told)


def test_a_change_of_what_is_public_is_meant() -> None:
    told = changes(LISTED.read_text("utf-8"), surface())
    assert not told, told


def test_servers_see_that_the_apps_are_of_asgi_3() -> None:
    """uvicorn, hypercorn and asgiref take an app whose `__call__` is no coroutine function for ASGI 2 or WSGI."""
    calls = {
        name: vars(value).get("__call__") for name in __all__ if isinstance(value := getattr(asgi_llmgate, name), type)
    }
    apps = {name: call for name, call in calls.items() if call and "receive" in signature(call).parameters}
    assert {"Gateway", "TranslationApp", "PolicyMiddleware", "LimitMiddleware"} <= apps.keys()
    assert not [name for name, call in apps.items() if not iscoroutinefunction(call)]


@pytest.mark.parametrize(
    ("now", "told"),
    [
        ("[a]\nb\n", "- c\nSomebody may rely on"),
        ("[a]\nb\nc x\n", "- c\n+ c x\nSomebody may rely on"),
        ("[a]\nb\nc\nd\n", "+ d\nWhat is new is promised"),
        ("[a]\nc\nb\n", "Then: python -m tests.release.public_surface"),
    ],
)
def test_a_change_is_told_with_what_to_do(now: str, told: str) -> None:
    assert changes("[a]\nb\nc\n", now).startswith(told)
    assert changes(now, now) == ""


def test_the_list_has_what_the_page_promises() -> None:
    """Each row of its table names the section of the list."""
    table = PAGE.partition("## What is public")[2].partition("\n## ")[0]
    assert set(re.findall(r"\| `\[([a-z ]+)\]` \|$", table, re.MULTILINE)) == set(sections())
    assert all(len(lines) > 5 for lines in sections().values())


def test_the_page_has_the_versions_that_the_tests_run() -> None:
    rows = dict(re.findall(r"^\| ([^|]+) \| (.+) \|$", PAGE.partition("## What it is tested with")[2], re.MULTILINE))
    assert CLAUDE_CODE in rows["Claude Code"]
    assert all(version_of(pin) in rows["model servers, for real"] for pin in (LLAMACPP[0], LITELLM[0]))
    tests = (ROOT / "tests/e2e/test_sdk_generations.py").read_text()
    assert set(re.findall(r"\d+\.\d+\.\d+", rows["Anthropic's SDKs"])) == {
        *re.findall(r'"anthropic==([\d.]+)"', tests),
        *re.findall(r"@anthropic-ai/sdk@([\d.]+)", tests),
    }
    assert rows["Python"].startswith(", ".join(python_versions()))
    installed = (ROOT / "tests/integrations/test_installed.py").read_text()
    assert re.findall(r'"django>=([\d.]+),', installed) == re.findall(r"[\d.]+", rows["Django"])


def version_of(pin: str) -> str:
    return pin.partition("==")[2]


def test_paths_and_headers_on_the_page_are_there() -> None:
    promised = set(re.findall(r"`(/[\w/]+)`", PAGE.partition("Public are also")[2].partition("Not public")[0]))
    assert promised == {*ROUTES, "/healthz", "/readyz"}
