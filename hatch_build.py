"""README.md as the description of the wheel and the sdist.

An index and `pip show` know no other file of this repository, so a relative link would lead nowhere: its text stays,
pictures and comments go.  Links to other sites stay as they are.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_COMMENT = re.compile(r"^[ \t]*<!--.*?-->[ \t]*\n", re.MULTILINE | re.DOTALL)
_PICTURE = re.compile(r"^!\[[^\]]*\]\((?!https?://)[^)]*\)\n*", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]*)\]\((?!https?://)[^)]*\)")


def description(readme: str) -> str:
    """The text of README.md without comments, pictures and targets that only the repository has."""
    return _LINK.sub(r"\1", _PICTURE.sub("", _COMMENT.sub("", readme)))


class CustomMetadataHook(MetadataHookInterface):
    """What hatchling calls: pyproject.toml, `[tool.hatch.metadata.hooks.custom]`."""

    def update(self, metadata: dict[str, Any]) -> None:
        text = Path(self.root, "README.md").read_text("utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": description(text)}
