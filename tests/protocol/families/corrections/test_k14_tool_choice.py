"""K14: the choice of a tool that a server does not accept, and what it wants of the list of tools.

Each member is a sentence that a server sends; the request is sent again in the nearest form that the server takes.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from asgi_llmgate.errors import RequestRejected
from asgi_llmgate.protocol.servers.dialects import derive
from asgi_llmgate.protocol.servers.errors.upstream_errors import upstream_error
from tests.protocol.refusing_server import negotiate

SCHEMA = {"type": "object", "properties": {"x": {"type": "string"}}}
NAMED = {"type": "tool", "name": "B"}
CALLS = [
    {"role": "user", "content": "go"},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "Old.Tool", "input": {}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "r"}]},
    {"role": "user", "content": "Summarize."},
]


def tools(*names: str, **more: Any) -> list[dict[str, Any]]:
    return [{"name": name, "description": "d", "input_schema": SCHEMA, **more} for name in names]


def names(body: dict[str, Any]) -> list[str]:
    return [tool["function"]["name"] for tool in body.get("tools", ())]


NOT_NAMED = {
    "LM Studio": "Invalid tool_choice type: 'object'. Supported string values: none, auto, required",
    "a validator": "tool_choice: must be a string",
    "MLX": "Specific function tool_choice is not supported",
    "another": "tool_choice should be one of 'none', 'auto', 'required'",
}


@pytest.mark.parametrize("message", NOT_NAMED.values(), ids=NOT_NAMED.keys())
def test_where_no_tool_can_be_named_only_that_one_is_offered(message: str) -> None:
    asked = negotiate(
        lambda body: message if isinstance(body.get("tool_choice"), dict) else None,
        tools=tools("A", "B", "C"),
        tool_choice=NAMED,
    )
    assert asked.accepted
    assert (names(asked.body), asked.body["tool_choice"]) == (["B"], "required")
    assert asked.dropped == set()
    later = negotiate(lambda body: None, known=asked.corrections, tools=tools("A", "B"), tool_choice={"type": "any"})
    assert (names(later.body), later.body["tool_choice"]) == (["A", "B"], "required"), "any tool is any tool"


WHILE_THINKING = {
    "Moonshot": "tool_choice 'specified' is incompatible with thinking enabled",
    "Moonshot, required": "tool_choice 'required' is incompatible with thinking enabled",
    "DashScope": "<400> InternalError.Algo.InvalidParameter: The tool_choice parameter does not support being set to "
    "required or object in thinking mode",
    "DeepSeek": "Thinking mode does not support this tool_choice",
    "OpenCode Zen": "Error from provider (DeepSeek): Thinking mode does not support this tool_choice",
    "Claude": "Thinking may not be enabled when tool_choice forces tool use.",
}


@pytest.mark.parametrize("message", WHILE_THINKING.values(), ids=WHILE_THINKING.keys())
@pytest.mark.parametrize("choice", [NAMED, {"type": "any"}], ids=["named", "any"])
def test_a_demanded_call_goes_before_thinking(message: str, choice: dict[str, str]) -> None:
    def judge(body: dict[str, Any]) -> str | None:
        thinks = body.get("thinking", {}).get("type") != "disabled"
        return message if thinks and body.get("tool_choice") not in (None, "auto", "none") else None

    asked = negotiate(
        judge,
        dialect="deepseek",
        tools=tools("A", "B"),
        tool_choice=choice,
        thinking={"type": "enabled", "budget_tokens": 2000},
    )
    assert asked.accepted
    assert asked.body["thinking"] == {"type": "disabled"}
    assert asked.body["tool_choice"] == asked.bodies[0]["tool_choice"]
    assert "thinking" in asked.dropped
    free = negotiate(
        judge,
        dialect="deepseek",
        known=asked.corrections,
        tools=tools("A"),
        tool_choice={"type": "auto"},
        thinking={"type": "enabled", "budget_tokens": 2000},
    )
    assert free.body["thinking"] == {"type": "enabled"}, "where nothing is demanded the model thinks"


@pytest.mark.parametrize("message", WHILE_THINKING.values(), ids=WHILE_THINKING.keys())
def test_where_thinking_cannot_be_turned_off_the_call_is_left_to_the_model(message: str) -> None:
    asked = negotiate(
        lambda body: message if body.get("tool_choice") not in (None, "auto", "none") else None,
        tools=tools("A", "B"),
        tool_choice=NAMED,
    )
    assert asked.accepted
    assert (names(asked.body), asked.body["tool_choice"]) == (["B"], "auto")
    assert asked.dropped == {"tool_choice"}


def test_a_model_that_thinks_although_it_was_told_not_to_chooses_itself() -> None:
    message = WHILE_THINKING["DeepSeek"]
    asked = negotiate(
        lambda body: message if body.get("tool_choice") not in (None, "auto", "none") else None,
        dialect="deepseek",
        tools=tools("A"),
        tool_choice={"type": "any"},
    )
    assert asked.accepted
    assert asked.body["tool_choice"] == "auto"


NOT_DEMANDED = {
    "vLLM": 'tool_choice = "required" is not supported!',
    "a server": "tool_choice only supports 'auto'",
    "another": "tool_choice 'required' is not yet supported by this model",
    "Azure": "tool_choice value as required is enabled only for api versions 2024-06-01 and later",
    "Azure, earlier": "'$.tool_choice' is invalid. Please check the API reference: the docs",
    "a copy of OpenAI": "Invalid value for 'tool_choice': 'required'. Supported values are: 'none', 'auto'.",
    "vLLM before 0.8": "[{'msg': 'Value error, `tool_choice` must either be a named tool, \"auto\", or \"none\".'}]",
}


@pytest.mark.parametrize("message", NOT_DEMANDED.values(), ids=NOT_DEMANDED.keys())
def test_where_no_call_can_be_demanded_it_is_left_to_the_model(message: str) -> None:
    asked = negotiate(
        lambda body: message if body.get("tool_choice") != "auto" else None,
        tools=tools("A", "B"),
        tool_choice={"type": "any"},
    )
    assert asked.accepted
    assert asked.dropped == {"tool_choice"}


NO_PARAMETER = {
    "OpenAI": "Unsupported parameter: 'tool_choice' is not supported with this model.",
    "Django": "Unknown field: tool_choice",
    "pydantic": "tool_choice: Extra inputs are not permitted",
    "LiteLLM": "litellm.UnsupportedParamsError: Bedrock doesn't support tool_choice=none. To drop it set drop_params",
}


@pytest.mark.parametrize("message", NO_PARAMETER.values(), ids=NO_PARAMETER.keys())
def test_a_server_without_the_parameter_does_not_get_it(message: str) -> None:
    asked = negotiate(
        lambda body: message if "tool_choice" in body else None, tools=tools("A"), tool_choice={"type": "auto"}
    )
    assert asked.accepted
    assert names(asked.body) == ["A"]


NEEDS_TOOLS = {
    "LiteLLM": "litellm.UnsupportedParamsError: Bedrock doesn't support tool calling without `tools=` param specified.",
    "Claude": "Requests which include `tool_use` or `tool_result` blocks must define tools",
    "Bedrock": "The toolConfig field must be defined when using toolUse and toolResult content blocks.",
    "bedrock-access-gateway": "An error occurred (ValidationException) when calling the Converse operation: The "
    "toolConfig field must be defined when using the toolUse and toolResult content blocks",
}


@pytest.mark.parametrize("message", NEEDS_TOOLS.values(), ids=NEEDS_TOOLS.keys())
def test_a_summary_declares_the_tools_of_its_conversation(message: str) -> None:
    asked = negotiate(lambda body: None if body.get("tools") else message, messages=CALLS)
    assert asked.accepted
    [name] = names(asked.body)
    assert name == asked.body["messages"][1]["tool_calls"][0]["function"]["name"]
    assert asked.body["tool_choice"] == "none"
    later = negotiate(lambda body: None, known=asked.corrections)
    assert "tools" not in later.body, "nothing was called there"
    later = negotiate(lambda body: None, known=asked.corrections, messages=CALLS, tools=tools("A"))
    assert (names(later.body), later.body.get("tool_choice")) == (["A"], None)


TOO_MANY = {
    "OpenAI": "Invalid 'tools': array too long. Expected an array with maximum length 12, but got an array with length "
    "20 instead.",
    "Groq": "'tools' : maximum number of items is 12",
    "Gemini": "The GenerateContentRequest proto is invalid:\n  * tools[0].function_declarations: [FIELD_INVALID] At "
    "most 12 function declarations can be specified.",
    "another": "number of tools exceeds 12",
    "a proxy": "Too many tools: maximum number of tools is 12",
}


@pytest.mark.parametrize("message", TOO_MANY.values(), ids=TOO_MANY.keys())
def test_too_many_tools_lose_those_of_mcp_servers_first(message: str) -> None:
    offered = [*tools(*(f"mcp__s__{n}" for n in range(8))), *tools(*(f"T{n}" for n in range(8)))]
    deferred = tools(*(f"mcp__late__{n}" for n in range(4)), defer_loading=True)
    loaded = [{"type": "tool_reference", "tool_name": tool["name"]} for tool in deferred]
    messages = [*CALLS]
    messages[2] = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": loaded}]}
    asked = negotiate(
        lambda body: message if len(body["tools"]) > 12 else None,
        messages=messages,
        tools=[*offered, *deferred],
        tool_choice={"type": "tool", "name": "mcp__s__7"},
    )
    assert asked.accepted
    assert len(asked.bodies) == 2
    kept = [f"T{n}" for n in range(7)]
    assert names(asked.body) == ["mcp__s__7", *kept, *(tool["name"] for tool in deferred)]
    assert asked.dropped == {*(f"tools[].mcp__s__{n}" for n in range(7)), "tools[].T7"}


LONG_DESCRIPTION = {
    "OpenAI": "Invalid 'tools[0].function.description': string too long. Expected a string with maximum length 1024, "
    "but got a string with length 9000 instead.",
    "Bedrock": "1 validation error detected: Value at 'toolConfig.tools.1.member.toolSpec.description' failed to "
    "satisfy constraint: Member must have length less than or equal to 1024",
    "a proxy": "tool description must be at most 1024 characters",
    "another": "Tool descriptions cannot exceed 1024 characters",
}


@pytest.mark.parametrize("message", LONG_DESCRIPTION.values(), ids=LONG_DESCRIPTION.keys())
def test_a_long_description_is_cut_and_says_so(message: str) -> None:
    long = {"name": "Bash", "description": "é" * 9000, "input_schema": SCHEMA}
    asked = negotiate(
        lambda body: message if any(len(t["function"]["description"]) > 1024 for t in body["tools"]) else None,
        tools=[long, *tools("A")],
    )
    assert asked.accepted
    description = asked.functions["Bash"]["description"]
    assert len(description) == 1024
    assert description.endswith("é [cut: too long for this model server]")
    assert asked.functions["A"]["description"] == "d"
    assert asked.dropped == {"tools[].Bash.description"}


LETTER_FIRST = {
    "Moonshot": "Invalid request: function name is invalid, must start with a letter and can contain letters, numbers, "
    "underscores, and dashes",
    "Gemini": "* tools[0].function_declarations[13].name: [FIELD_INVALID] Invalid function name. Must start with a "
    "letter or an underscore. Must be a-z, A-Z, 0-9, or contain underscores, dots and dashes",
    "another": "function_name must begin with a letter",
    "a proxy": "Function name must start with an alphabetic character",
}


@pytest.mark.parametrize("message", LETTER_FIRST.values(), ids=LETTER_FIRST.keys())
def test_a_name_that_begins_with_no_letter_gets_one_that_does(message: str) -> None:
    odd = ["21st_magic", "_private", "-x", "9" * 70]
    asked = negotiate(
        lambda body: None if all(name[0].isalpha() for name in names(body)) else message,
        tools=tools(*odd, "Read"),
        tool_choice={"type": "tool", "name": odd[0]},
    )
    assert asked.accepted
    sent = names(asked.body)
    assert sent[-1] == "Read"
    assert [asked.chat.plan.names[name] for name in sent[:-1]] == odd
    assert asked.body["tool_choice"]["function"]["name"] == sent[0]
    assert all(len(name) <= 64 for name in sent)


NOT_STRICT = {
    "OpenAI": "Invalid schema for function 'S': In context=('properties', 'x'), 'format' is not permitted.",
    "OpenAI, a response format": "Invalid schema for response_format 'answer': In context=(), 'additionalProperties' "
    "is required to be supplied and to be false.",
    "Groq": "invalid JSON schema for tool S, tools[0].function.parameters: /properties/x: additionalProperties:false "
    "must be set on every object",
    "xAI": "Invalid request content: `strict` mode on function call is currently not supported.",
}


@pytest.mark.parametrize("message", NOT_STRICT.values(), ids=NOT_STRICT.keys())
def test_what_strict_does_not_allow_is_sent_without_strict(message: str) -> None:
    closed = {**SCHEMA, "required": ["x"], "additionalProperties": False}
    answer = {**closed, "title": "answer"}

    def judge(body: dict[str, Any]) -> str | None:
        refused = body["response_format"]["json_schema"] if "response_format" in message else function(body)
        return message if refused.get("strict") else None

    def function(body: dict[str, Any]) -> dict[str, Any]:
        return body["tools"][0]["function"]

    asked = negotiate(
        judge,
        dialect=derive("generic", {"strict_tools": True}),
        tools=[{"name": "S", "input_schema": closed, "strict": True}],
        output_config={"format": {"type": "json_schema", "schema": answer}},
    )
    assert asked.accepted
    assert len(asked.bodies) == 2
    assert function(asked.body)["parameters"] == closed
    assert asked.body["response_format"]["json_schema"]["schema"] == answer
    strict = asked.body["response_format"]["json_schema"].get("strict"), function(asked.body).get("strict")
    assert strict == ((None, True) if "response_format" in message else (True, None)), "the other one stays strict"


@pytest.mark.parametrize(
    "message",
    [
        "The model called the tool 'tool_choice' which does not exist",
        "At most 3 images may be provided",
        "Function name is too long",
        "thinking budget is too large",
    ],
)
def test_other_refusals_are_the_callers(message: str) -> None:
    asked = negotiate(lambda body: message, tools=tools("A"), tool_choice={"type": "any"})
    assert not asked.accepted
    assert len(asked.bodies) == 1


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (400, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'),
        (400, "tool_choice 'required' requires --tool-call-parser to be set"),
        (500, "tools param requires --jinja flag"),
        (400, 'NVIDIA NIM API error: "auto" tool choice requires --enable-auto-tool-choice'),
    ],
    ids=["vLLM", "SGLang", "llama.cpp", "NIM"],
)
def test_a_server_without_tool_calling_is_told_to_its_operator(status: int, text: str) -> None:
    """Without tools the request would be of no use: nothing is corrected."""
    asked = negotiate(lambda body: text, status=status, tools=tools("A"), tool_choice={"type": "auto"})
    assert len(asked.bodies) == 1
    error = upstream_error(status, json.dumps({"error": {"message": text}}).encode(), {})
    assert type(error) is RequestRejected
    words = "was started without tool calling, which every coding agent needs; tell the operator of the gateway"
    assert str(error) == f"the model server {words}"
    assert error.client_message == f"the model server {words}: {text}"


def test_no_loop_of_refusals_goes_on_for_ever() -> None:
    asked = negotiate(lambda body: TOO_MANY["OpenAI"], tools=tools(*(f"t{n}" for n in range(20))))
    assert not asked.accepted
    assert len(asked.bodies) == 2
