"""Makes the table that asgi_llmgate/cel/syntax/parse_table.py reads.

python -m tests.cel.syntax.parse_table
"""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path
from typing import Any

from asgi_llmgate.cel.syntax import parse_table
from asgi_llmgate.cel.syntax.grammar import make_parser, read_grammar

PATH = Path(parse_table.__file__).with_name(parse_table.FILE)


def make_table() -> dict[str, Any]:
    """The table of celpy's grammar, as JSON has it."""
    grammar = read_grammar()
    saved = io.BytesIO()
    make_parser(grammar).save(saved, exclude_options=("lexer_callbacks",))
    made: dict[str, Any] = json.loads(
        json.dumps({"made_of": parse_table.origin_of(grammar), **pickle.loads(saved.getvalue())})
    )
    return made


if __name__ == "__main__":
    PATH.write_text(json.dumps(make_table(), separators=(",", ":")) + "\n")
