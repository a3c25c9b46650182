"""Bodies of requests that two servers might read in two ways.

Each begins as an honest call, into which members are put whose names are nearly, or exactly, those of the protocol.
They are written by hand, since no library writes a name twice.
"""

from __future__ import annotations

import json

from hypothesis import strategies as st

NAMES = (
    "model",
    "stream",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "n_predict",
    "num_predict",
    "max_new_tokens",
    "options",
    "tools",
    "functions",
    "messages",
)
LOOKALIKES = {"s": "ſ", "k": "\u212a", "S": "ſ", "K": "\u212a"}
"""Letters that are the same without regard to case: https://www.unicode.org/Public/UCD/latest/ucd/CaseFolding.txt"""

TAILS = ("\\u0000", "\\ud800", " ", "\\u200b", "\\ufeff", "_")
"""What some parser might take for the end of a name, or leave out."""

Members = list[tuple[str, str]]
"""Names and values, both as JSON text."""


def _written(members: Members) -> str:
    return "{" + ",".join(f"{name}:{value}" for name, value in members) + "}"


@st.composite
def _spelt(draw: st.DrawFn, name: str) -> str:
    """A name as JSON text: as it is, in another case, with a lookalike, escaped, or with something at its end."""
    way = draw(st.sampled_from(("exact", "exact", "upper", "title", "one", "lookalike", "escaped", "tail")))
    if way == "upper":
        name = name.upper()
    elif way == "title":
        name = name.title()
    elif way in ("one", "lookalike"):
        place = draw(st.integers(0, len(name) - 1))
        letter = name[place]
        other = LOOKALIKES.get(letter, letter.upper()) if way == "lookalike" else letter.upper()
        name = name[:place] + other + name[place + 1 :]
    elif way == "escaped":
        place = draw(st.integers(0, len(name) - 1))
        return f'"{name[:place]}\\u{ord(name[place]):04x}{name[place + 1 :]}"'
    elif way == "tail":
        return f'"{name}{draw(st.sampled_from(TAILS))}"'
    return json.dumps(name, ensure_ascii=draw(st.booleans()))


_scalars = st.sampled_from(
    ["null", "true", "false", "0", "1", "5", "7e1", "9999", "9999.0", "-1", '"9999"', '"big"', '"small"', '""', "1e400"]
)


@st.composite
def _tool(draw: st.DrawFn) -> str:
    name = json.dumps(draw(st.sampled_from(["Read", "Bash", "read", "Bash\u0000"])))
    function: Members = [('"name"', name), ('"parameters"', "{}")]
    if draw(st.booleans()):
        function.insert(draw(st.integers(0, 2)), (draw(_spelt("name")), '"Write"'))
    shape = draw(st.sampled_from(("function", "flat", "both")))
    members: Members = [('"type"', '"function"')]
    if shape != "flat":
        members.append((draw(_spelt("function")) if draw(st.booleans()) else '"function"', _written(function)))
    if shape != "function":
        members += function
        members.append(('"input_schema"', "{}"))
    return _written(members)


_tools = st.lists(_tool(), max_size=3).map(lambda tools: "[" + ",".join(tools) + "]")


@st.composite
def _member(draw: st.DrawFn) -> tuple[str, str]:
    name = draw(st.sampled_from(NAMES))
    value = _tools if name in ("tools", "functions") and draw(st.booleans()) else _scalars
    if name == "options":
        value = st.tuples(_spelt("num_predict"), _scalars).map(lambda member: _written([member]))
    return draw(_spelt(name)), draw(value)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    members: Members = [
        ('"model"', draw(st.sampled_from(['"small"', '"\\u0073mall"', '"sm\\u0000all"', '"big"']))),
        ('"max_tokens"', "5"),
        ('"messages"', '[{"role":"user","content":"hello"}]'),
    ]
    if draw(st.booleans()):
        members.append(('"stream"', draw(st.sampled_from(["true", "false"]))))
    for added in draw(st.lists(_member(), max_size=3)):
        members.insert(draw(st.integers(0, len(members))), added)
    return _written(members).encode("utf-8", "surrogatepass")
