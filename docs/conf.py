"""How Sphinx makes the site: `make docs` builds it with every warning an error."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from asgi_llmgate import __version__
from asgi_llmgate.config.json_schema import json_schema

project = "asgi-llmgate"
author = "the asgi-llmgate authors"
copyright = "Apache-2.0"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
nitpicky = False
default_role = "code"  # docstrings here write `names` as Markdown does

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_type_aliases = {name: name for name in ("ASGIApp", "Receive", "Scope", "Send")}
maximum_signature_line_length = 100

html_theme = "furo"
html_title = "asgi-llmgate"
html_copy_source = False
html_show_sphinx = False


_ROW = re.compile(r"(\w+) {2,}(\S.*)")


def _as_rest(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Docstrings here are written for who reads the source: reStructuredText wants its marks on a table of parameters
    and on anything indented."""
    written: list[str] = []
    kind = ""
    for line in lines:
        begins = not written or not written[-1]
        row = _ROW.fullmatch(line)
        if line.startswith("    ") and begins and not kind:
            kind = "literal"
            written += ["::", ""]
        elif row and (begins or kind == "table"):
            kind = "table"
        elif (not line and kind == "table") or (line and not line.startswith(" ")):
            kind = ""
        if kind == "table":
            line = f":{row[1]}: {row[2]}" if row else f"    {line.strip()}"
        written.append(line)
    lines[:] = written


def _write_schema(app: Sphinx, exception: Exception | None) -> None:
    """The settings as JSON Schema beside the pages, for editors."""
    if exception is None:
        Path(app.outdir, "llmgate.schema.json").write_text(json.dumps(json_schema(), indent=2) + "\n", "utf-8")


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", _as_rest)
    app.connect("build-finished", _write_schema)
