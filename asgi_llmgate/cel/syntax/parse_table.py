"""The LALR table of CEL's grammar, made beforehand: reading it takes lark a fifteenth of the time.

`parse_table.json` says of which grammar and by which version of lark it was made. With others lark makes its own, as
it would without the file. `python -m tests.cel.syntax.parse_table` writes the file, and a test compares it.
"""

from __future__ import annotations

import hashlib
import json
import pkgutil
from collections.abc import Callable
from typing import Any

import lark

Callbacks = dict[str, Callable[[lark.Token], lark.Token]]

FILE = "parse_table.json"


def read_parser(grammar: str, callbacks: Callbacks) -> lark.Lark | None:
    """The parser of the file; None for another grammar, or another version of lark, than it was made for."""
    data = pkgutil.get_data(__package__, FILE)
    assert data is not None
    table = json.loads(data, object_pairs_hook=_with_numbers)
    if table["made_of"] != origin_of(grammar):
        return None
    # What lark's own generator of parsers (lark.tools.standalone) calls in the code that it writes.
    parser: lark.Lark = lark.Lark._load_from_dict(table["data"], table["memo"], lexer_callbacks=callbacks)  # type: ignore[no-untyped-call]
    return parser


def origin_of(grammar: str) -> dict[str, str]:
    """What a table is made of."""
    return {"grammar": hashlib.sha256(grammar.encode()).hexdigest(), "lark": lark.__version__}


def _with_numbers(pairs: list[tuple[str, Any]]) -> dict[str | int, Any]:
    """The object with its numbers as keys: states of the parser, which JSON can only have as strings."""
    return {int(key) if key.isdecimal() else key: value for key, value in pairs}
