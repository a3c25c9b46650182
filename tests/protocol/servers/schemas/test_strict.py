from __future__ import annotations

from typing import Any

import pytest

from asgi_llmgate.protocol.servers.schemas.strict import allows_strict

TEXT = {"type": "string"}
CLOSED = {"type": "object", "properties": {"x": TEXT}, "required": ["x"], "additionalProperties": False}


def holding(schema: Any) -> dict[str, Any]:
    return {**CLOSED, "properties": {"x": schema}}


def nested(levels: int) -> Any:
    return holding(nested(levels - 1)) if levels > 1 else CLOSED


@pytest.mark.parametrize(
    ("schema", "allowed"),
    [
        (CLOSED, True),
        ({**CLOSED, "additionalProperties": True}, False),
        ({**CLOSED, "required": []}, False),
        ({**CLOSED, "required": ["x", "y"]}, False),
        ({**CLOSED, "required": "x"}, False),
        ({**CLOSED, "required": [["x"]]}, False),
        ({**CLOSED, "properties": None}, False),
        (holding({"type": "object"}), False),
        (holding(CLOSED), True),
        (holding({"anyOf": [CLOSED, {"type": "null"}]}), True),
        (holding({"anyOf": [CLOSED, {"type": "object"}]}), False),
        (holding({"type": "array", "items": CLOSED}), True),
        (holding({"type": "array"}), False),
        (holding({"type": ["string", "null"]}), True),
        (holding({"enum": [{"type": "object"}]}), True),
        (holding({}), False),
        (holding(True), False),
        (holding({"$ref": "#/$defs/x"}), True),
        ({**CLOSED, "$defs": {"x": {"type": "object"}}}, False),
        ({**CLOSED, "$defs": TEXT["type"]}, False),
        ({"anyOf": [CLOSED]}, False),
        ({**CLOSED, "anyOf": [CLOSED]}, False),
        ({"type": "array", "items": CLOSED}, False),
        (holding({**TEXT, "format": "email", "pattern": "x"}), True),
        (holding({**TEXT, "format": "uri"}), False),
        *((holding({**TEXT, keyword: None}), False) for keyword in ("oneOf", "allOf", "not", "default", "minLength")),
        *((holding({**CLOSED, keyword: {}}), False) for keyword in ("if", "patternProperties", "dependentRequired")),
        (holding({**TEXT, "enum": [str(n) for n in range(1_000)]}), True),
        (holding({**TEXT, "enum": [str(n) for n in range(1_001)]}), False),
        (nested(9), True),
        (nested(10), False),
        ("no schema", False),
    ],
)
def test_strict_schemas_are_closed_complete_and_plain(schema: Any, allowed: bool) -> None:
    assert allows_strict(schema) is allowed
