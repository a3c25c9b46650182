"""Runners for the pages about hosts; test_code_blocks.py says what a runner is.

All blocks of a tutorial have one name, so that one reader follows the page from its first line to its last.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tomllib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import yaml

from asgi_llmgate.testing.driver import call
from tests.docs.tutorial_reader import Reader
from tests.helpers.installation import ROOT

if TYPE_CHECKING:
    from tests.docs.lab_folder import Place

RUNNERS: dict[str, Callable[[str, Any], Any]] = {}


def runs(*names: str) -> Callable[[Callable[[str, Any], Any]], Callable[[str, Any], Any]]:
    def register(runner: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
        RUNNERS.update(dict.fromkeys(names, runner))
        return runner

    return register


def blocks_named(name: str) -> list[tuple[str, str]]:
    """Language and text of each block of that name, as they follow on their page."""
    from tests.docs.code_blocks import BLOCKS

    return [(block.language, block.text) for block in BLOCKS if block.name == name]


_INSTALL = re.compile(r"pip install 'asgi-llmgate\[([\w,]+)\]'\n")


def with_nothing_to_install(blocks: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The blocks but the first, which installs and is run by tests/integrations/test_installed.py."""
    (_, install), *rest = blocks
    found = _INSTALL.fullmatch(install)
    assert found is not None, install
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(found[1].split(",")) <= extras.keys()
    return rest


def a_page_leads_to_a_first_answer(page: str, place: Place) -> None:
    place.install_claude()
    folder = place.folder / "reader"
    folder.mkdir()
    reader = Reader(folder, place.stack, os.environ, os.environ["OPENAI_BASE_URL"])
    printed = reader.follow(with_nothing_to_install(blocks_named(page)))
    assert any(each.startswith("You said: Say hello.") for each in printed), printed
    if page in CLOSINGS:
        CLOSINGS[page](printed)


for _page in ("tutorial django", "tutorial starlette", "tutorial fastapi", "tutorial quart"):
    runs(_page)(lambda text, place, page=_page: a_page_leads_to_a_first_answer(page, place))


def djangos_table(printed: list[str]) -> None:
    assert "claude-opus-5: gpt-4o-mini at openai" in printed[-3]
    header, row = printed[-1].splitlines()
    assert header.split()[:4] == ["user", "model", "requests", "failed"]
    assert "gpt-4o-mini" in row


def fastapis_own_route(printed: list[str]) -> None:
    assert json.loads(printed[-1]) == {"team": "data-platform"}


CLOSINGS: dict[str, Callable[[list[str]], None]] = {
    "tutorial django": djangos_table,
    "tutorial fastapi": fastapis_own_route,
}


@runs("starlette users")
async def starlettes_own_routes(text: str, place: Place) -> None:
    found: dict[str, Any] = {}
    exec(text, found)
    bearer = {"authorization": f"Bearer {place.idp.mint(name='Ada', scope='reports:read')}"}
    assert (await call(found["app"], "GET", "/me", headers=bearer)).json() == {"name": "Ada", "known": True}
    assert (await call(found["app"], "GET", "/reports", headers=bearer)).json() == {"team": "data-platform"}
    assert (await call(found["app"], "GET", "/me")).json() == {"name": "", "known": False}
    assert (await call(found["app"], "GET", "/reports")).status == 403


@runs("quart views")
async def quarts_own_views(text: str, place: Place) -> None:
    found: dict[str, Any] = {"__name__": "app"}
    exec(text, found)
    bearer = {"authorization": f"Bearer {place.idp.mint()}"}
    assert (await call(found["app"].asgi_app, "GET", "/me", headers=bearer)).json() == {"team": "data-platform"}
    assert (await call(found["app"].asgi_app, "GET", "/me")).status == 401


@runs("developer helper")
def the_helper_prints_a_token(text: str, place: Place) -> None:
    assert place.sh(f"{text}\n~/.claude/company-token").count(".") == 2


@runs("developer settings")
def claude_code_has_nothing_but_the_file(text: str, place: Place) -> None:
    """The page as it stands, with the helper that it shows; tests/e2e/test_developers_page.py tries each line."""
    (_, helper), *_ = blocks_named("developer helper")
    home = place.folder / "home"
    place.install_claude()
    place.sh(helper)
    shutil.copytree(place.folder / ".llmgate", home / ".claude" / "keys")
    shown = text.replace("https://apps.acme.test", place.serve_lab())
    (home / ".claude" / "settings.json").write_text(shown)
    assert place.sh("claude").startswith("You said: Say hello.")


@runs("starlette session")
async def who_is_signed_in_may_call(text: str, place: Place) -> None:
    settings = place.settings(policy={"rules": ['identity.provider == "session" && jwt.sub == "ada"']})
    (place.folder / "llmgate.yaml").write_text(yaml.safe_dump(settings))
    found: dict[str, Any] = {}
    exec(text, found)
    async with found["gateway"] as gateway:
        ask = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello."}]}

        async def status(session: dict[str, str], **headers: str) -> int:
            options = {"json": ask, "headers": headers, "scope": {"session": session}}
            return (await call(gateway, "POST", "/v1/messages", **options)).status

        assert await status({"user": "ada"}) == 200
        assert await status({"user": "bob"}) == 403
        assert await status({}) == 401
        assert await status({"user": "ada"}, origin="https://evil.test") == 403
