from __future__ import annotations

from typing import Any

from asgi_llmgate.cel.explanation import explain


def test_each_part_is_shown_with_its_value_or_its_error(rule: Any) -> None:
    part = explain(rule("jwt.org == 'acme' && size(jwt.groups.filter(g, g != 'a')) > jwt.min"), {"jwt": CLAIMS})
    assert list(part.lines()) == [
        "jwt.org == 'acme' && size(jwt.groups.filter(g, g != 'a')) > jwt.min  ->  error: jwt.min is missing at 1:65",
        "  jwt.org == 'acme'  ->  True",
        "    jwt.org  ->  'acme'",
        "  size(jwt.groups.filter(g, g != 'a')) > jwt.min  ->  error: jwt.min is missing at 1:65",
        "    size(jwt.groups.filter(g, g != 'a'))  ->  1",
        "      jwt.groups.filter(g, g != 'a')  ->  ['b']",
        "        jwt.groups  ->  ['a', 'b']",
        "    jwt.min  ->  error: jwt.min is missing at 1:65",
    ]


CLAIMS = {"org": "acme", "groups": ["a", "b"]}
