from __future__ import annotations

import json

import pytest

from asgi_llmgate.protocol.chat.declared_names import declared_name

DECLARED = ["Bash", "Read", "mcp__a__list", "ls", "LS", "Ünï"]
TOOLS = json.dumps([{"type": "function", "function": {"name": name}} for name in DECLARED]).encode()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Bash", "Bash"),
        ("Bash<|channel|>commentary", "Bash"),
        ("Bash<|constrain|>json", "Bash"),
        ("Bash <|message|>", "Bash"),
        ("functions.Bash", "Bash"),
        ("functions.Bash<|channel|>commentary", "Bash"),
        ("default_api:Bash", "Bash"),
        ("default_api.mcp__a__list", "mcp__a__list"),
        ("functions/Read", "Read"),
        (" Read\n", "Read"),
        ("bash", "Bash"),
        ("READ", "Read"),
        ("Ünï", "Ünï"),
        ("ls", "ls"),
        ("Ls", "Ls"),
        ("Write", "Write"),
        ("functions.Write", "functions.Write"),
        ("Bash2", "Bash2"),
        ("<|channel|>", "<|channel|>"),
        ("", ""),
    ],
)
def test_a_name(name: str, found: str) -> None:
    assert declared_name(name, TOOLS) == found
    assert declared_name(name, TOOLS.replace(b": ", b":")) == found


def test_a_name_that_is_declared_with_a_point_stays() -> None:
    tools = b'[{"type":"function","function":{"name":"a.Bash"}},{"type":"function","function":{"name":"Bash"}}]'
    assert declared_name("a.Bash", tools) == "a.Bash"
    assert declared_name("Bash", tools) == "Bash"
