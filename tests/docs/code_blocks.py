"""The code blocks of README.md, docs/ and examples/, with what their marks say; test_code_blocks.py has the rules."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from tests.helpers.installation import ROOT

PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]


@dataclass(frozen=True)
class Block:
    """`name` and `reason` are what its marks say."""

    page: str
    line: int
    language: str
    text: str
    name: str
    reason: str


_BLOCK = re.compile(
    r"(?:^ *<!-- test: (?P<name>[^>]+?) -->\n)?"
    r"^(?P<indent> *)```(?P<language>[\w{}-]*)[^\n]*\n(?P<text>.*?)^ *```\n"
    r"(?:^ *<!-- not run[^:]*: (?P<reason>[^>]+?) -->$)?",
    re.MULTILINE | re.DOTALL,
)


def blocks() -> Iterator[Block]:
    for page in PAGES:
        content = page.read_text("utf-8")
        for found in _BLOCK.finditer(content):
            yield Block(
                page=str(page.relative_to(ROOT)),
                line=content.count("\n", 0, found.start("language")) + 1,
                language=found["language"],
                text=textwrap.dedent(found["text"]),
                name=found["name"] or "",
                reason=found["reason"] or "",
            )


BLOCKS = list(blocks())
NAMED = {block.name: block for block in BLOCKS if block.name}
