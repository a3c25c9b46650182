"""What a release needs beside the build.  Only the standard library: it runs before anything is installed.

python .ci/release.py check-tag v0.1.0    the tag, _version.py and CHANGELOG.md agree; else status 1
python .ci/release.py notes v0.1.0        prints the section of that version in CHANGELOG.md
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

TAG = re.compile(r"v(\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?)")
"""A version as PEP 440 writes it in its normal form, so that the tag and the file names of the release agree."""

_VERSION = re.compile(r'^__version__ = "([^"]+)"$', re.MULTILINE)
_HEADING = r"^## \[{}\] - \d{{4}}-\d{{2}}-\d{{2}}$"
_LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)\s]+)\)")
_BLOCK = re.compile(r"\s*([-*+|>#]|\d+\.|```|$)")
"""How a line starts that does not continue the line before it."""


class Mistake(Exception):
    """A release cannot be made; the text says why and what to do."""


def check_tag(tag: str, root: Path) -> str:
    """The version of a tag.  Raises Mistake if _version.py has another, or CHANGELOG.md has no section for it."""
    match = TAG.fullmatch(tag)
    if not match:
        raise Mistake(f"the tag {tag!r} is not v and a version, as in v0.1.0 or v0.2.0rc1")
    version = match[1]
    found = _VERSION.search((root / "asgi_llmgate/_version.py").read_text("utf-8"))
    if found is None or found[1] != version:
        there = found[1] if found else "none"
        raise Mistake(
            f"the tag is {tag}, but asgi_llmgate/_version.py has the version {there}: "
            "delete the tag, set the version, commit, and tag that commit"
        )
    _section(version, root)
    return version


def notes(tag: str, root: Path) -> str:
    """The section of a tag's version in CHANGELOG.md, as GitHub shows the text of a release.

    A line break there is a line break on the page, so lines of one paragraph are joined.  A relative link would lead
    nowhere, so it becomes an address in the repository at the tag, if the environment names the repository.
    """
    text = _join_lines(_section(check_tag(tag, root), root))
    server, repository = os.environ.get("GITHUB_SERVER_URL"), os.environ.get("GITHUB_REPOSITORY")
    if server and repository:
        text = _LINK.sub(rf"]({server}/{repository}/blob/{tag}/\1)", text)
    return text


def _section(version: str, root: Path) -> str:
    text = (root / "CHANGELOG.md").read_text("utf-8")
    heading = re.search(_HEADING.format(re.escape(version)), text, re.MULTILINE)
    if heading is None:
        raise Mistake(f"CHANGELOG.md has no heading `## [{version}] - YYYY-MM-DD`: rename `## [Unreleased]` to that")
    section = re.split(r"^## ", text[heading.end() :], maxsplit=1, flags=re.MULTILINE)[0].strip()
    if not section:
        raise Mistake(f"CHANGELOG.md says nothing about {version}")
    return section


def _join_lines(text: str) -> str:
    joined: list[str] = []
    in_code = False
    for line in text.splitlines():
        fence = line.lstrip().startswith("```")
        continues = not in_code and not fence and joined and joined[-1].strip() and not _BLOCK.match(line)
        if continues and not re.match(r"#|\s*```", joined[-1]):
            joined[-1] += " " + line.strip()
        else:
            joined.append(line)
        in_code ^= fence
    return "\n".join(joined)


def main(arguments: list[str]) -> str | int:
    root = Path(__file__).parents[1]
    try:
        match arguments:
            case ["check-tag", tag]:
                print(f"version {check_tag(tag, root)}")
            case ["notes", tag]:
                print(notes(tag, root))
            case _:
                return str(__doc__)
    except Mistake as mistake:
        return str(mistake)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
