"""The reference page of the settings as data: docs/reference/settings.md, which the wheel holds too.

The page is the only place that says what each key means; the JSON Schema takes its descriptions from it.  A table whose
rows are keys has a comment above it that says where they are:

    <!-- keys of auth.providers[] -->
    | key | default | meaning |
    |---|---|---|
    | `leeway` | `30` | seconds of clock difference that are tolerated |

`[]` stands for any element of a list, `*` for any key of a mapping.  A key may have a path of its own (`jwks.file`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_PACKAGED = Path(__file__).parents[1] / "_docs" / "settings.md"
_IN_A_CLONE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"

_TABLE = re.compile(
    r"^<!-- keys of (?P<bases>[^>]*) -->\n\| key \|(?P<header>[^\n]*)\n\|[-|]+\n(?P<rows>(?:\|[^\n]*\n)+)", re.MULTILINE
)
_CODE = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_LINK_WITHOUT_TEXT = re.compile(r"[:,;]? ?(?:\(?see )?\[\]\([^)]*\)\)?")
_CELL_END = re.compile(r"\s\|(?=\s)")
_WHOLE = "the top level"


class Row(NamedTuple):
    """One key: its path, its default as it is written on the page (empty: none is stated), and what it means."""

    path: str
    default: str
    meaning: str

    @property
    def description(self) -> str:
        """What it means, as text without marks and links."""
        text = _LINK.sub(r"\1", _LINK_WITHOUT_TEXT.sub("", self.meaning))
        return text.replace("`", "").strip()


def read_page(text: str | None = None) -> Iterator[Row]:
    """The rows of all tables of keys on the page, or in `text`."""
    if text is None:
        text = (_PACKAGED if _PACKAGED.exists() else _IN_A_CLONE).read_text("utf-8")
    for table in _TABLE.finditer(text):
        has_default = table["header"].strip().startswith("default")
        for line in table["rows"].splitlines():
            name, *cells = (cell.strip() for cell in _CELL_END.split(line.strip().strip("|")))
            found = _CODE.fullmatch(name)
            if found is None:
                raise ValueError(f"the first cell of {line!r} is not one key")
            default, meaning = cells[:2] if has_default else ("", cells[0])
            for base in table["bases"].split(", "):
                path = found[1] if base == _WHOLE else f"{base}.{found[1]}"
                yield Row(path, default, meaning)
