"""K13: a server refuses the schema of one tool, and with it every request of the session.

Each member is a sentence that a server sends, in its own envelope, a schema that it refuses, and what the schema must
have become.  The other tool of the request shows what the correction must not touch.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from tests.protocol.refusing_server import negotiate

BASH = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {"command": {"type": "string"}, "timeout": {"type": "number", "exclusiveMinimum": 0}},
    "required": ["command"],
    "additionalProperties": False,
}
TEXT = {"type": "string"}


def obj(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


ANY_VALUE = {
    "anyOf": [
        {"type": "string"},
        {"type": "number"},
        {"type": "boolean"},
        obj(any_name={"type": "string", "description": "Any names and values are allowed here."}),
        {"type": "array", "items": TEXT},
    ],
    "nullable": True,
}
"""What a schema that allows everything becomes for a server that requires types."""


def plain(message: str) -> str:
    return json.dumps({"error": message})


def detail(message: str) -> str:
    return json.dumps({"detail": message})


def gemini(message: str) -> str:
    return json.dumps([{"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}}])


def anthropic(message: str) -> str:
    return json.dumps({"type": "error", "error": {"type": "invalid_request_error", "message": message}})


def mistral(message: str) -> str:
    return json.dumps({"object": "error", "message": message, "type": "invalid_request_error", "code": None})


class Member(NamedTuple):
    """`schema` is what the client's tool has, `sent` what the server takes; `all_tools`: the sentence names none."""

    message: str
    schema: Any
    sent: Any
    envelope: Callable[[str], str] | None = None
    all_tools: bool = False
    status: int = 400


NESTED = obj(a=obj(b=obj(c=obj(d=obj(e=obj(f=TEXT, g=obj(h=TEXT)))))))
AT_GEMINI = "GenerateContentRequest.tools[0].function_declarations[1].parameters.properties[q]"

MEMBERS = {
    "OpenAI, an array in an array": Member(
        "Invalid schema for function 'mcp__x__y': In context=('properties', 'values', 'items'), array schema missing "
        "items.",
        obj(values={"type": "array", "items": {"type": "array"}}),
        obj(values={"type": "array", "items": {"type": "array", "items": {}}}),
    ),
    "OpenAI, one of several types is an array": Member(
        "Invalid schema for function 'mcp__x__y': In context=('properties', 'arguments', 'type', '0'), array schema "
        "missing items.",
        obj(arguments={"type": ["array", "string"]}),
        obj(arguments={"type": ["array", "string"], "items": {}}),
    ),
    "OpenAI, alternatives at the root": Member(
        "Invalid schema for function 'mcp__x__y': schema must have type 'object' and not have "
        "'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top level.",
        {"type": "object", "oneOf": [obj(a=TEXT), obj(b=TEXT)], "required": []},
        {"type": "object", "required": [], "properties": {"a": TEXT, "b": TEXT}},
    ),
    "OpenAI, a property that is no schema": Member(
        "Invalid schema for function 'mcp__x__y': 'object' is not of type 'object', 'boolean'.",
        {"type": "object", "properties": {"a": TEXT, "type": "object"}},
        obj(a=TEXT),
    ),
    "DeepSeek, something else": Member(
        "Invalid schema for function 'mcp__x__y': schema is too complicated.",
        obj(a={"anyOf": [TEXT, {"type": "null"}], "title": "A"}),
        obj(a=TEXT),
    ),
    "Gemini, keywords that it does not know": Member(
        'Invalid JSON payload received. Unknown name "additionalProperties" at '
        "'tools[0].function_declarations[1].parameters.properties[1].value.items': Cannot find field.\nInvalid JSON "
        "payload received. Unknown name \"const\" at 'tools[0].function_declarations[1].parameters.properties[2].value'"
        ": Cannot find field.",
        {
            **obj(i={"type": "array", "items": {**obj(a=TEXT), "additionalProperties": {}}}, k={"const": "v"}),
            "$id": "x",
        },
        obj(i={"type": "array", "items": obj(a=TEXT)}, k={"enum": ["v"], "type": "string"}),
        gemini,
    ),
    "Gemini, a list of types": Member(
        'Invalid JSON payload received. Unknown name "type" at \'tools[0].function_declarations[1].parameters.'
        "properties[0].value': Proto field is not repeating, cannot start list.",
        obj(a={"type": ["string", "null"]}, b={"type": ["string", "array"], "items": TEXT}),
        obj(
            a={"nullable": True, "type": "string"},
            b={"anyOf": [TEXT, {"type": "array", "items": TEXT}]},
        ),
        gemini,
    ),
    "Gemini, an object without properties": Member(
        f"* {AT_GEMINI}.properties: should be non-empty for OBJECT type\n",
        obj(q={"type": "object"}),
        obj(
            q=obj(any_name={"type": "string", "description": "Any names and values are allowed here."}),
        ),
        gemini,
    ),
    "Gemini, properties beside another type": Member(
        f"* {AT_GEMINI}.properties: only allowed for OBJECT type\n* {AT_GEMINI}.required: only allowed for OBJECT type",
        obj(q={"type": "string", "properties": {"a": TEXT}, "required": ["a"]}),
        obj(q=TEXT),
        gemini,
    ),
    "Gemini, numbers in an enum": Member(
        "Invalid value at 'tools[0].function_declarations[1].parameters.properties[1].value.enum[0]' (TYPE_STRING), 0",
        obj(n={"type": "integer", "enum": [0, 1]}),
        obj(n={"type": "integer", "description": "(one of [0,1])"}),
        gemini,
    ),
    "Gemini, a required name that there is not": Member(
        "* GenerateContentRequest.tools[0].function_declarations[1].parameters.required[0]: property is not defined",
        {**obj(a=TEXT), "required": ["b", "a"]},
        {**obj(a=TEXT), "required": ["a"]},
        gemini,
    ),
    "Vertex, no type": Member(
        "Unable to submit request because `mcp__x__y` functionDeclaration `parameters.a` schema didn't specify the "
        "schema type field.",
        obj(a={"description": "d", "items": TEXT}),
        obj(a={"description": "d", "items": TEXT, "type": "array"}),
        gemini,
    ),
    "Gemini, through another address": Member(
        "Invalid value at 'request.tools[0].function_declarations[1].parameters.properties[5].value.enum[0]' "
        "(TYPE_STRING), 0",
        obj(n={"type": "number", "enum": [0, 2.5]}),
        obj(n={"type": "number", "description": "(one of [0,2.5])"}),
        gemini,
    ),
    "Vertex, an enum of an array": Member(
        "Unable to submit request because mcp__x__y functionDeclaration parameters.modes schema specified incorrect "
        "schema type field. For schema with enum values, schema type should not be OBJECT or ARRAY.",
        obj(modes={"type": "array", "items": TEXT, "enum": ["a", "b"]}),
        obj(modes={"type": "array", "items": TEXT, "description": '(one of ["a","b"])'}),
        gemini,
    ),
    "Gemini, no type at all": Member(
        "* GenerateContentRequest.tools[0].function_declarations[1].parameters.properties[commit_hash].type: must be "
        "specified when not using one_of, any_of or all_of fields",
        obj(commit_hash={"description": "d", "maxLength": 40}),
        obj(commit_hash={"description": "d", "maxLength": 40, "type": "string"}),
        gemini,
    ),
    "Ollama, a list of types": Member(
        "json: cannot unmarshal array into Go struct field .tools.function.parameters.properties.type of type string",
        obj(a={"type": ["string", "null"]}),
        obj(a={"nullable": True, "type": "string"}),
        plain,
        all_tools=True,
    ),
    "Ollama, a list of properties": Member(
        "json: cannot unmarshal array into Go struct field .tools.function.parameters.properties of type map[string]",
        obj(a={"type": "object", "properties": []}),
        obj(a={"type": "object"}),
        plain,
        all_tools=True,
    ),
    "Ollama, a boolean for a property": Member(
        "json: cannot unmarshal bool into Go value of type api.ToolProperty",
        obj(a=True),
        obj(a={}),
        plain,
        all_tools=True,
    ),
    "Tencent, a reference at the root": Member(
        "invalid function call parameters",
        {"$ref": "#/$defs/A", "$defs": {"A": obj(a=TEXT)}},
        obj(a=TEXT),
        all_tools=True,
    ),
    "Claude behind a proxy, required is null": Member(
        "tools.1.custom.input_schema.required: Input should be a valid list",
        {**obj(a=TEXT), "required": None},
        obj(a=TEXT),
        anthropic,
    ),
    "Gemini, too deep": Member(
        "A FunctionDeclaration in the request exceeds the maximum allowed nesting depth.",
        NESTED,
        obj(a=obj(b=obj(c=obj(d={"type": "object", "properties": {"e": {"type": "object"}}})))),
        gemini,
        all_tools=True,
    ),
    "Moonshot, a type beside anyOf": Member(
        "Invalid request: tools.function.parameters is not a valid moonshot flavored json schema, details: <At path "
        "'properties.skill': when using anyOf, type should be defined in anyOf items instead of the parent schema>",
        obj(skill={"type": "string", "description": "d", "anyOf": [{"enum": ["a"]}, {"maxLength": 3}]}),
        obj(
            skill={"description": "d", "anyOf": [{"enum": ["a"], "type": "string"}, {"type": "string", "maxLength": 3}]}
        ),
        all_tools=True,
    ),
    "Moonshot, words beside a reference": Member(
        "tools.function.parameters is not a valid moonshot flavored json schema, details: <At path "
        "'properties.assetRef': conflicting keywords found after $ref expansion: description>",
        {**obj(assetRef={"$ref": "#/definitions/A", "description": "mine"}), "definitions": {"A": obj(id=TEXT)}},
        obj(assetRef={**obj(id=TEXT), "description": "mine"}),
        all_tools=True,
    ),
    "Moonshot, true for a schema": Member(
        "tools.function.parameters is not a valid moonshot flavored json schema, details: <At path "
        "'properties.tasks.items.properties': property schema for 'outputSchema' must be an object>",
        obj(a=True, b={"type": "boolean"}),
        obj(
            a=ANY_VALUE,
            b={"type": "boolean"},
        ),
        all_tools=True,
    ),
    "llama.cpp, a pattern in an array": Member(
        "Unable to generate parser for this template. Automatic parser generation failed: JSON schema conversion "
        "failed:\nPattern must start with '^' and end with '$'",
        obj(ids={"type": "array", "items": {"type": "string", "pattern": "\\S"}}, d={"pattern": "^\\d+$"}),
        obj(
            ids={"type": "array", "items": {"type": "string", "pattern": "^.*[^ \\t\\r\\n].*$"}},
            d={"pattern": "^[0-9]+$", "type": "string"},
        ),
        all_tools=True,
        status=500,
    ),
    "llama.cpp, a look ahead": Member(
        "Failed to initialize samplers: failed to parse grammar",
        obj(a={"type": "string", "pattern": "^(?!x)y$", "maxLength": 100000}),
        obj(
            a={
                "type": "string",
                "description": '(matches the regular expression "^(?!x)y$") (at most 100000 characters)',
            }
        ),
        all_tools=True,
    ),
    "llama.cpp, a negation": Member(
        'JSON schema conversion failed:\nUnrecognized schema: {"not":{}}',
        obj(a={"not": {}}, b=TEXT),
        obj(
            a=ANY_VALUE,
            b=TEXT,
        ),
        all_tools=True,
    ),
    "llama.cpp, a later wording": Member(
        "Unable to generate parser for this template. Automatic parser generation failed: JSON schema error at "
        "#/properties/a: cannot resolve $ref",
        obj(a={"$ref": "#/$defs/none"}, b={"type": "any"}, c={"enum": []}),
        obj(a={}, b={}, c={}),
        all_tools=True,
    ),
    "LM Studio, no properties": Member(
        '[{"code":"invalid_type","expected":"object","received":"undefined","path":[1,"function","parameters",'
        '"properties","a","properties"],"message":"Required"}]',
        obj(a={"type": "object"}),
        obj(a={"type": "object", "properties": {}}),
        plain,
    ),
    "Cerebras, several keywords": Member(
        "Unsupported JSON schema fields: {'minItems', 'maxLength'}",
        obj(a={"type": "array", "items": {"type": "string", "maxLength": 9}, "minItems": 1, "maxItems": 2}),
        obj(
            a={
                "type": "array",
                "items": {"type": "string", "description": "(at most 9 characters)"},
                "maxItems": 2,
                "description": "(at least 1 elements)",
            }
        ),
        all_tools=True,
    ),
    "Groq, required without properties": Member(
        "invalid JSON schema for tool mcp__x__y, tools[1].function.parameters: 'required' present but 'properties' is "
        "missing",
        obj(a={"type": "object", "required": ["b"]}),
        obj(a={"type": "object", "properties": {}}),
    ),
    "Groq, required of draft 3": Member(
        "invalid JSON schema for tool mcp__x__y, tools[1].function.parameters: /properties/a/required: expected array",
        obj(a={"type": "string", "required": True}),
        obj(a=TEXT),
    ),
    "Fireworks, no type": Member(
        "JSON Schema not supported: could not understand the instance `{'default': None, 'title': 'Page Size'}`.",
        obj(size={"default": 1, "title": "Page Size", "minimum": 1}, x=TEXT),
        obj(size={"default": 1, "title": "Page Size", "minimum": 1, "type": "number"}, x=TEXT),
        all_tools=True,
    ),
    "Claude behind a proxy, a tuple of draft 7": Member(
        "tools.1.custom.input_schema: JSON schema is invalid. It must match JSON Schema draft 2020-12 "
        "(https://json-schema.org/draft/2020-12). Learn more about tool use at https://docs.claude.com/en/docs/tool-use.",
        obj(q={"type": "array", "items": [TEXT, {"type": "number"}], "additionalItems": False}),
        obj(q={"type": "array", "prefixItems": [TEXT, {"type": "number"}], "items": False}),
        anthropic,
    ),
    "Claude behind a proxy, an odd name": Member(
        "tools.1.custom.input_schema.properties: Property keys should match pattern '^[a-zA-Z0-9_.-]{1,64}$'",
        {**obj(**{"a b": TEXT, "c": TEXT}), "required": ["a b", "c"], "additionalProperties": False},
        {
            **obj(c=TEXT),
            "required": ["c"],
            "description": 'Further property \'a b\': {"type":"string"}.',
        },
        anthropic,
    ),
    "Bedrock, alternatives at the root": Member(
        "The value at toolConfig.tools.1.toolSpec.inputSchema.json.type must be one of the following: object.",
        {"anyOf": [obj(a=TEXT), obj(a=TEXT, b=TEXT)]},
        {"type": "object", "properties": {"a": TEXT, "b": TEXT}},
    ),
    "Mistral, a boolean bound of draft 4": Member(
        "Invalid tool schema: {'type': 'object', 'properties': {...}} is not valid under any of the given schemas",
        {**obj(n={"type": "integer", "exclusiveMinimum": True, "minimum": 0}), "$schema": "http://json-schema.org/x"},
        obj(n={"type": "integer", "exclusiveMinimum": 0}),
        mistral,
        all_tools=True,
    ),
    "vLLM, xgrammar": Member(
        "The provided JSON schema contains features not supported by xgrammar.",
        obj(a={"type": "string", "format": "uri", "pattern": "x"}, b={"type": "array", "uniqueItems": True}),
        obj(
            a={"type": "string", "description": '(format: "uri") (matches the regular expression "^.*x.*$")'},
            b={"type": "array", "items": {}, "description": "(no element twice: true)"},
        ),
        detail,
        all_tools=True,
    ),
    "SGLang, an enum that is no list": Member(
        "Tool 1 function has invalid 'parameters' schema: 'a' is not of type 'array'",
        obj(a={"type": "string", "enum": "a"}),
        obj(a=TEXT),
    ),
    "a server that names the place only": Member(
        "tools[1].function.parameters: unsupported",
        obj(a={"type": "string", "contentEncoding": "base64", "title": "A"}),
        obj(a=TEXT),
    ),
}


def ask(member: Member) -> Any:
    tools = [
        {"name": "Bash", "description": "d", "input_schema": BASH},
        {"name": "mcp__x__y", "description": "e", "input_schema": member.schema},
    ]

    def judge(body: dict[str, Any]) -> str | None:
        sent = body["tools"][1]["function"].get("parameters")
        return None if sent == member.sent else member.message

    return negotiate(judge, envelope=member.envelope, status=member.status, tools=tools)


@pytest.mark.parametrize("member", MEMBERS.values(), ids=MEMBERS.keys())
def test_a_refused_schema_is_sent_in_a_form_that_the_server_takes(member: Member) -> None:
    asked = ask(member)
    assert asked.functions["mcp__x__y"]["parameters"] == member.sent
    assert asked.accepted
    assert len(asked.bodies) == 2


@pytest.mark.parametrize("member", [m for m in MEMBERS.values() if not m.all_tools])
def test_only_the_schema_that_is_named_is_changed(member: Member) -> None:
    asked = ask(member)
    assert asked.functions["Bash"]["parameters"] == BASH
    assert asked.dropped == {"tools[].mcp__x__y.input_schema"}


@pytest.mark.parametrize("index", ["1", "name"])
def test_a_schema_that_no_rewrite_helps_costs_its_tool_at_last(index: str) -> None:
    seen: list[Any] = []
    place = "tools[1].function.parameters" if index == "1" else "Invalid schema for function 'mcp__x__y'"

    def judge(body: dict[str, Any]) -> str | None:
        names = [tool["function"]["name"] for tool in body["tools"]]
        if "mcp__x__y" not in names:
            return None
        seen.append(body["tools"][1]["function"])
        return f"{place}: no"

    schema = obj(a={"type": "string", "minLength": 1})
    tools = [{"name": "Bash", "input_schema": BASH}, {"name": "mcp__x__y", "description": "e", "input_schema": schema}]
    asked = negotiate(judge, tools=tools)
    assert asked.accepted
    assert [each["parameters"] for each in seen] == [
        schema,
        obj(a={"type": "string", "description": "(at least 1 characters)"}),
        {"type": "object", "properties": {}},
    ]
    assert seen[2]["description"].startswith('e\n\nJSON schema of the input: {"type":"object"')
    assert asked.dropped == {"tools[].mcp__x__y"}
    assert list(asked.functions) == ["Bash"]


def test_what_was_found_out_holds_for_the_schema_and_not_for_the_name() -> None:
    member = MEMBERS["OpenAI, an array in an array"]
    known = ask(member).corrections
    same = {"name": "other", "input_schema": member.schema}
    another = {"name": "mcp__x__y", "input_schema": obj(rows={"type": "array"})}
    asked = negotiate(lambda body: None, known=known, tools=[same, another])
    assert asked.functions["other"]["parameters"] == member.sent
    assert asked.functions["mcp__x__y"]["parameters"] == another["input_schema"]


def test_every_schema_that_gemini_lists_is_corrected_at_once() -> None:
    names = [f"t{number}" for number in range(12)]
    entry = (
        'Invalid JSON payload received. Unknown name "$schema" at '
        "'tools[0].function_declarations[{}].parameters': Cannot find field."
    )

    def judge(body: dict[str, Any]) -> str | None:
        bad = [number for number, tool in enumerate(body["tools"]) if "$schema" in tool["function"]["parameters"]]
        return "\n".join(map(entry.format, bad)) if bad else None

    asked = negotiate(judge, envelope=gemini, tools=[{"name": name, "input_schema": BASH} for name in names])
    assert asked.accepted
    assert len(asked.bodies) == 2
