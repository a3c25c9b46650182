"""docs/how-to/developers.md, "When it does not work": each line is what Claude Code shows for that mistake.

The wrong base URLs are also in test_wrong_base_urls.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette

from asgi_llmgate.testing.model_script import refuse, say
from asgi_llmgate.testing.serving import serving
from tests.e2e.claude_code.client import ClaudeCode
from tests.helpers.certificates import self_signed
from tests.helpers.installation import ROOT

if TYPE_CHECKING:
    from tests.e2e.conftest import Lab

PAGE = (ROOT / "docs" / "how-to" / "developers.md").read_text("utf-8")
SHOWN = re.findall(r"^\| `(.+?)` \|", PAGE.partition("## When it does not work")[2], re.MULTILINE)


@dataclass(frozen=True)
class Desk:
    """A developer's desk: the company's gateway and the client."""

    lab: Callable[..., Lab]
    claude: ClaudeCode
    folder: Path

    def ask(self, gate: Lab, *, base: str = "", token: str | None = "", **env: str) -> str:
        """What the client shows, without tries that would take minutes."""
        at = replace(gate, url=base) if base else gate
        run = self.claude("Hello.", gate=at, token=token, CLAUDE_CODE_MAX_RETRIES="0", **env)
        assert run.is_error
        return run.result

    def with_token(self, **claims: Any) -> str:
        gate = self.lab()
        return self.ask(gate, token=gate.idp.mint(**claims))

    def with_model(self, *turns: Any, **settings: Any) -> str:
        return self.ask(self.lab(turns, **settings))

    def ruled(self, rule: Any) -> str:
        gate = self.lab(policy={"rules": [rule]})
        return self.ask(gate, token=gate.token("marketing"))

    def at_another_server(self) -> str:
        with serving(Starlette()) as url:
            return self.ask(self.lab(), base=f"{url}/v2")

    def over_the_limit(self) -> str:
        limit = {"name": "per person", "key": "jwt.sub", "requests": "1/hour"}
        gate = self.lab([say("Hello.")], limits=[limit])
        assert self.claude("Hello.", gate=gate).result == "Hello."
        return self.ask(gate)

    def without_keys(self) -> str:
        nowhere = {"issuer": "claude-code-lab", "audiences": ["anthropic-api"], "jwks": {"url": "http://127.0.0.1:1/"}}
        return self.ask(self.lab(auth={"providers": [nowhere]}))

    def with_an_unknown_authority(self) -> str:
        certificate = str(self_signed(self.folder / "server.pem"))
        with serving(Starlette(), ssl_certfile=certificate) as url:
            return self.ask(self.lab(), base=url.replace("http://127.0.0.1", "https://localhost"))

    def beside(self, base: str) -> str:
        gate = self.lab()
        return self.ask(gate, base=gate.url.removesuffix("/llm") + base)


ENTITLED = 'jwt.team == "data-platform"'
REASON = "only the data platform team may use this model"
later = pytest.mark.suites
"""Not in `make test`: words that the client has by itself, or that differ from another line's only in ours."""

MISTAKES: list[Any] = [
    pytest.param(r"421 nothing is served at /v1/mess", lambda desk: desk.beside(""), id="no prefix"),
    pytest.param(r"421 nothing is served at /llm/v1", lambda desk: desk.beside("/llm/v1"), id="v1 twice", marks=later),
    pytest.param(r"There's an issue", lambda desk: desk.at_another_server(), id="another server", marks=later),
    pytest.param(r"Not logged in", lambda desk: desk.ask(desk.lab(), token=None), id="no token", marks=later),
    pytest.param(
        r"401 .*no bearer token",
        lambda desk: desk.ask(desk.lab(), token=None, ANTHROPIC_API_KEY="sk-ant-1"),
        id="an API key",
    ),
    pytest.param(r"401 .*token expired", lambda desk: desk.with_token(ttl=-3600), id="expired", marks=later),
    pytest.param(r"401 .*not a JWT", lambda desk: desk.ask(desk.lab(), token="sk-lab"), id="no JWT", marks=later),
    pytest.param(r"401 .*wrong audience", lambda desk: desk.with_token(aud="other"), id="audience", marks=later),
    pytest.param(r"403 only", lambda desk: desk.ruled({"when": ENTITLED, "reason": REASON}), id="a reason"),
    pytest.param(r"403 authorization failed", lambda desk: desk.ruled(ENTITLED), id="no reason"),
    pytest.param(r"\(429\)", lambda desk: desk.over_the_limit(), id="a limit"),
    pytest.param(
        r"402", lambda desk: desk.with_model(refuse(402, "insufficient_quota").always()), id="no money", marks=later
    ),
    pytest.param(
        r"502",
        lambda desk: desk.with_model(backend={"base_url": "http://no-such-host.invalid/v1"}),
        id="no model host",
        marks=later,
    ),
    pytest.param(r"529", lambda desk: desk.with_model(backend={"base_url": "http://127.0.0.1:1/v1"}), id="no model"),
    pytest.param(r"503", lambda desk: desk.without_keys(), id="no keys", marks=later),
    pytest.param(
        r"ECONNREFUSED",
        lambda desk: desk.ask(desk.lab(), base="http://127.0.0.1:1/llm"),
        id="no gateway",
        marks=later,
    ),
    pytest.param(
        r"ENOTFOUND", lambda desk: desk.ask(desk.lab(), base="http://no-such.invalid/llm"), id="no host", marks=later
    ),
    pytest.param(
        r"EPROTO",
        lambda desk: desk.ask(gate := desk.lab(), base=gate.url.replace("http:", "https:")),
        id="no TLS",
        marks=later,
    ),
    pytest.param(r"Self-signed", lambda desk: desk.with_an_unknown_authority(), id="an authority", marks=later),
]


@pytest.mark.parametrize(("row", "make"), MISTAKES)
def test_the_page_has_what_is_shown(
    row: str, make: Callable[[Desk], str], lab: Callable[..., Lab], claude: ClaudeCode, tmp_path: Path
) -> None:
    (line,) = [line for line in SHOWN if re.search(row, line)]
    shown = make(Desk(lab, claude, tmp_path))
    assert re.fullmatch(re.escape(line).replace(r"\.\.\.", ".*"), shown), shown


def test_each_line_of_the_page_is_tried() -> None:
    rows = [mistake.values[0] for mistake in MISTAKES]
    assert [line for line in SHOWN if not any(re.search(row, line) for row in rows)] == []
    assert len(SHOWN) == len(rows)
