"""Runners for the pages about hosts; test_code_blocks.py says what a runner is.

All blocks of a tutorial have one name, so that one reader follows the page from its first line to its last.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import yaml

from asgi_llmgate import Gateway
from asgi_llmgate.cli.init.folder import template
from asgi_llmgate.testing.driver import call
from tests.docs.tutorial_reader import Reader
from tests.helpers.distribution.project import WHEEL, extras

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


HOSTS = ("django", "starlette", "fastapi", "quart")

_INSTALL = """python3 -m venv .venv
. .venv/bin/activate
pip install "./{wheel}[{host},serve]"
"""


def with_nothing_to_install(host: str, blocks: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The blocks but the first, which installs; tests/integrations/test_first_contact.py follows the page with it."""
    (_, install), *rest = blocks
    assert install == _INSTALL.format(wheel=WHEEL, host=host)
    assert {host, "serve"} <= extras().keys()
    return rest


def a_page_leads_to_a_first_answer(host: str, place: Place) -> None:
    place.install_claude()
    folder = place.folder / "reader"
    activate = folder / ".venv" / "bin" / "activate"
    activate.parent.mkdir(parents=True)
    activate.touch()  # the environment of the tests is active already
    reader = Reader(folder, place.stack, {name: os.environ[name] for name in os.environ if "OPENAI" not in name})
    whole = blocks_named(f"tutorial {host}")
    assert copied_lines(until_an_answer(whole)) < 25
    printed = reader.follow(with_nothing_to_install(host, whole))
    assert any(each.startswith("You said: Say hello.") for each in printed), printed
    if host in CLOSINGS:
        CLOSINGS[host](printed, reader)


def until_an_answer(blocks: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The blocks of a page up to the one that asks Claude Code."""
    last = next(index for index, (_, text) in enumerate(blocks) if "claude -p" in text)
    return blocks[: last + 1]


def copied_lines(blocks: list[tuple[str, str]]) -> int:
    """Lines of commands and code, comments included."""
    return sum(1 for _, text in blocks for line in text.splitlines() if line.strip())


for _host in HOSTS:
    runs(f"tutorial {_host}")(lambda text, place, host=_host: a_page_leads_to_a_first_answer(host, place))


def djangos_table_and_admin(printed: list[str], reader: Reader) -> None:
    check, header, row = printed[-1].rsplit("\n", 3)[:-1]
    assert "claude-opus-5: gpt-4o-mini at main" in check
    assert header.split()[:4] == ["user", "model", "requests", "failed"]
    user, model, requests, *_, cost = row.split()
    assert (user, model) == ("ada", "gpt-4o-mini")
    assert int(requests) >= 1
    assert float(cost) > 0
    page = httpx.get(f"{reader.address}/admin/login/", trust_env=False).text
    (style,) = re.findall(r'href="(/static/admin/css/base\.[\w.]*css)"', page) or [""]
    found = httpx.get(f"{reader.address}{style}", trust_env=False)
    assert (found.status_code, found.headers["content-type"].partition(";")[0]) == (200, "text/css")


CLOSINGS: dict[str, Callable[[list[str], Reader], None]] = {"django": djangos_table_and_admin}


@runs("starlette users")
async def starlettes_own_routes(text: str, place: Place) -> None:
    found: dict[str, Any] = {}
    exec(text, found)
    bearer = {"authorization": f"Bearer {place.idp.mint(name='Ada', scope='reports:read')}"}
    assert (await call(found["app"], "GET", "/me", headers=bearer)).json() == {"name": "Ada", "known": True}
    assert (await call(found["app"], "GET", "/reports", headers=bearer)).json() == {"team": "data-platform"}
    assert (await call(found["app"], "GET", "/me")).json() == {"name": "", "known": False}
    assert (await call(found["app"], "GET", "/reports")).status == 403


@runs("fastapi users")
async def fastapis_own_route(text: str, place: Place) -> None:
    found: dict[str, Any] = {}
    exec(text, found)
    bearer = {"authorization": f"Bearer {place.idp.mint()}"}
    assert (await call(found["app"], "GET", "/me", headers=bearer)).json() == {"team": "data-platform"}
    assert (await call(found["app"], "GET", "/me")).status == 401


@runs("own model", "own provider")
def a_section_replaces_that_of_init(text: str, place: Place) -> None:
    """Each section of the page in place of the one that `llmgate init` writes."""
    settings = yaml.safe_load(template("llmgate.yaml")) | yaml.safe_load(text)
    assert settings.keys() == yaml.safe_load(template("llmgate.yaml")).keys()
    Gateway.from_settings(settings, folder=place.folder)


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
