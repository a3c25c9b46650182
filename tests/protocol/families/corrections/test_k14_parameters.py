"""K14: a parameter, or its value, is refused: it is left out, or the nearest value that is accepted is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from asgi_llmgate.protocol.servers.dialects import derive
from tests.protocol.refusing_server import negotiate

TOOLS = [{"name": "A", "description": "", "input_schema": {"type": "object", "properties": {}}}]
STOPS = [f"STOP{number}" for number in range(12)]
EVERYTHING = derive(
    "generic",
    {
        "sampling": ["temperature", "top_p", "top_k"],
        "stop_max": 16,
        "prompt_cache_key": True,
        "reasoning": "effort",
        "max_tokens_field": "max_completion_tokens",
    },
)


def ask(correct: Callable[..., Any], error: Any, status: int = 400, **more: Any) -> Any:
    """A request that has every field."""
    return correct(
        error,
        status,
        **{
            "dialect": EVERYTHING,
            "temperature": 0.2,
            "top_p": 0.5,
            "top_k": 7,
            "stop_sequences": STOPS[:6],
            "stream": True,
            "tools": TOOLS,
            "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
            "thinking": {"type": "enabled", "budget_tokens": 60000},
            "caller": ("idp", "https://idp.test", "ada"),
            "session_id": "s",
            **more,
        },
    )


def pydantic(field: str, kind: str = "extra_forbidden", message: str = "Extra inputs are not permitted") -> Any:
    return {"object": "error", "detail": [{"type": kind, "loc": ["body", field], "msg": message, "input": "x"}]}


REFUSALS: list[tuple[Any, int, str]] = [
    # temperature
    ("invalid temperature: only 1 is allowed for this model", 400, "temperature"),
    ("invalid temperature: only 0.6 is allowed for this model", 400, "temperature"),
    (
        "Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1) "
        "value is supported.",
        400,
        "temperature",
    ),
    ("Unsupported parameter: 'temperature' is not supported with this model.", 400, "temperature"),
    ("`temperature` is deprecated for this model.", 400, "temperature"),
    ("`temperature` may only be set to 1 when thinking is enabled.", 400, "temperature"),
    ({"code": "invalid-argument", "error": "Model grok-5 does not support parameter temperature."}, 400, "temperature"),
    ("temperature is not supported by this model", 422, "temperature"),
    (
        "litellm.UnsupportedParamsError: O-series models don't support temperature=0.2. Only "
        "temperature=1 is supported.",
        400,
        "temperature",
    ),
    ("Malformed input request: #: extraneous key [temperature] is not permitted, please reformat", 400, "temperature"),
    # top_p, top_k
    ("`temperature` and `top_p` cannot both be specified for this model. Please use only one.", 400, "top_p"),
    ("`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled.", 400, "top_p"),
    ("top_k: Extra inputs are not permitted", 400, "top_k"),
    ("`top_k` must be unset when thinking is enabled.", 400, "top_k"),
    # stop
    ({"code": "invalid-argument", "error": "Model grok-4.6 does not support parameter stop."}, 400, "stop"),
    (
        {"code": "Client specified an invalid argument", "error": "Argument not supported on this model: stop"},
        400,
        "stop",
    ),
    ("Unsupported parameter: 'stop' is not supported with this model.", 400, "stop"),
    (pydantic("stop"), 422, "stop"),
    # reasoning_effort
    (
        {
            "code": "Client specified an invalid argument",
            "error": "Model grok-4-latest does not support parameter reasoningEffort.",
        },
        400,
        "reasoning_effort",
    ),
    ("Unrecognized request argument supplied: reasoning_effort", 400, "reasoning_effort"),
    ("`reasoning_effort` is not supported with this model", 400, "reasoning_effort"),
    ("`reasoning_effort` must be one of `none` or `default`", 400, "reasoning_effort"),
    # user, prompt_cache_key
    ("Unrecognized request argument supplied: user", 400, "user"),
    (pydantic("user"), 422, "user"),
    ({"error": 'json: unknown field "user"'}, 400, "user"),
    ("Failed to deserialize: unknown field `user`, expected one of `model`, `messages`, `stop` at line 1", 422, "user"),
    ("property 'user' is unsupported", 400, "user"),
    (pydantic("prompt_cache_key"), 422, "prompt_cache_key"),
    ("Unknown parameter: 'prompt_cache_key'.", 400, "prompt_cache_key"),
    # stream_options, parallel_tool_calls
    ("The 'stream_options' parameter is only allowed when 'stream' is enabled.", 400, "stream_options"),
    ("Unrecognized request argument supplied: stream_options", 400, "stream_options"),
    (
        {"message": "Unsupported parameter(s): `stream_options`", "type": "Bad Request", "code": 400},
        400,
        "stream_options",
    ),
    (
        "Additional properties are not allowed ('stream_options' was unexpected) - 'messages.0'",
        400,
        "stream_options",
    ),
    (
        "Invalid value for 'parallel_tool_calls': 'parallel_tool_calls' is only allowed when 'tools' are specified.",
        400,
        "parallel_tool_calls",
    ),
    (
        'Unrecognized field "parallel_tool_calls" (class ChatRequest), not marked as ignorable',
        400,
        "parallel_tool_calls",
    ),
    ("Unrecognized key(s) in object: 'parallel_tool_calls'", 400, "parallel_tool_calls"),
    (
        'Invalid JSON payload received. Unknown name "parallel_tool_calls": Cannot find field.',
        400,
        "parallel_tool_calls",
    ),
]


@pytest.mark.parametrize(("error", "status", "field"), REFUSALS)
def test_a_refused_field_is_left_out_and_no_other(
    correct: Callable[..., Any], error: Any, status: int, field: str
) -> None:
    plain, sent = ask(correct, "No."), ask(correct, error, status)
    assert field in plain.body
    assert sent.body == {name: value for name, value in plain.body.items() if name != field}
    assert field in sent.dropped


@pytest.mark.parametrize(
    ("dialect", "error", "field"),
    [
        ("deepseek", "Unrecognized request argument supplied: thinking", "thinking"),
        ("deepseek", "`thinking` is not supported by this model", "thinking"),
        ("openrouter", "Reasoning is mandatory for this endpoint and cannot be disabled.", "reasoning"),
        ("openrouter", {"error": {"message": "Unsupported parameter: 'reasoning'"}}, "reasoning"),
        ("llamacpp", 'json: unknown field "chat_template_kwargs"', "chat_template_kwargs"),
        ("llamacpp", "enable_thinking is not supported by this model", "chat_template_kwargs"),
    ],
)
def test_every_way_to_ask_for_thinking_can_be_refused(
    correct: Callable[..., Any], dialect: str, error: Any, field: str
) -> None:
    plain, sent = (ask(correct, said, dialect=dialect) for said in ("No.", error))
    assert field in plain.body
    assert sent.body == {name: value for name, value in plain.body.items() if name != field}


@pytest.mark.parametrize(
    ("error", "most"),
    [
        ("Invalid 'stop': array too long. Expected an array with maximum length 4, but got an array with length 6.", 4),
        ("len(stop) > 4 is not supported", 4),
        (
            "* GenerateContentRequest.generation_config.stop_sequences: the number of stop_sequences "
            "must not exceed 5.\n",
            5,
        ),
        ("`stop` supports up to 4 stop sequences. Given: 6", 4),
        (pydantic("stop", "too_long", "List should have at most 5 items after validation, not 6"), 5),
        (
            "Value at 'inferenceConfig.stopSequences' failed to satisfy constraint: Member must have "
            "length less than or "
            "equal to 4",
            4,
        ),
        ("'stop' : maximum number of items is 4", 4),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_as_many_stop_sequences_are_sent_as_are_accepted_and_the_record_says_so(
    correct: Callable[..., Any], error: Any, most: int, stream: bool
) -> None:
    sent = ask(correct, error, stream=stream)
    assert sent.body["stop"] == STOPS[:most]
    assert sent.chat.plan.stop_sequences == tuple(STOPS[:6])
    assert "stop_sequences" in sent.dropped


@pytest.mark.parametrize(
    ("error", "asked", "temperature"),
    [
        ("invalid params, temperature: must be in (0.0, 1.0]", 0, 0.01),
        ("`temperature` must be strictly positive", 0.0, 0.01),
        ("temperature must be greater than 0", 0, 0.01),
        ("temperature should be in [0.1, 0.9]", 1, 0.9),
        (
            "The parameter `temperature` specified in the request is not valid: expected a value in "
            "range (0, 1], but got 0",
            0,
            0.01,
        ),
        ("temperature \u53c2\u6570\u975e\u6cd5\u3002\u53d6\u503c\u8303\u56f4[0,0.9]", 1, 0.9),
        ("temperature must be between 0.5 and 1", 0.2, 0.5),
    ],
)
def test_the_nearest_temperature_is_sent(
    correct: Callable[..., Any], error: str, asked: float, temperature: float
) -> None:
    assert ask(correct, error, temperature=asked).body["temperature"] == temperature
    assert ask(correct, error, temperature=0.6).body["temperature"] == 0.6
    assert "temperature" not in ask(correct, error, temperature=None).body


@pytest.mark.parametrize(
    ("error", "effort"),
    [
        (
            "Unsupported value: 'reasoning_effort' does not support 'high' with this model. Supported "
            "values are: 'none' and 'low'.",
            "low",
        ),
        ("`reasoning_effort` must be one of `low`, `medium`, or `none`", "medium"),
        ("reasoning_effort: Input should be 'none' or 'low'", "low"),
        ("Invalid value: 'high'. Supported values are: 'low' and 'medium'.", "medium"),
        ("Value error, reasoning_effort='high' is not supported. Supported values are: ['none', 'low']", "low"),
        ("Invalid reasoning_effort. Expected one of: none, minimal, low", "low"),
        ('invalid reasoning value: "high" (must be "medium", "low", or "none")', "medium"),
    ],
)
def test_the_nearest_effort_is_sent(correct: Callable[..., Any], error: str, effort: str) -> None:
    assert ask(correct, error).body["reasoning_effort"] == effort


@pytest.mark.parametrize(
    ("error", "before", "after"),
    [
        (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
            "'max_completion_tokens' instead.",
            "max_tokens",
            "max_completion_tokens",
        ),
        ("max_tokens is deprecated in favor of max_completion_tokens", "max_tokens", "max_completion_tokens"),
        (pydantic("max_completion_tokens"), "max_completion_tokens", "max_tokens"),
        ("Unrecognized request argument supplied: max_completion_tokens", "max_completion_tokens", "max_tokens"),
        ('json: unknown field "max_completion_tokens"', "max_completion_tokens", "max_tokens"),
    ],
)
def test_the_limit_goes_into_the_field_that_the_server_knows(
    correct: Callable[..., Any], error: Any, before: str, after: str
) -> None:
    dialect = derive("generic", {"max_tokens_field": before})
    plain, sent = (ask(correct, said, dialect=dialect, thinking=None) for said in ("No.", error))
    assert sent.body[after] == plain.body[before]
    assert before not in sent.body


@pytest.mark.parametrize(
    "error",
    [
        "parameter.enable_thinking must be set to false for non-streaming calls",
        "parameter.enable_thinking\u5fc5\u987b\u8bbe\u7f6e\u4e3afalse"
        "\u624d\u80fd\u8fdb\u884c\u975e\u6d41\u5f0f\u8c03\u7528",
        {
            "error": {
                "code": "invalid_parameter_error",
                "message": "parameter.enable_thinking must be set to false for non-streaming calls",
            },
            "request_id": "0",
        },
        {
            "message": "<400> InternalError.Algo.InvalidParameter: enable_thinking must be set to false "
            "for non-streaming."
        },
    ],
)
def test_thinking_is_off_where_it_must_be_streamed(correct: Callable[..., Any], error: Any) -> None:
    assert ask(correct, error, stream=False).body["enable_thinking"] is False
    assert "enable_thinking" not in ask(correct, error, stream=True).body


@pytest.mark.parametrize(
    "error",
    [
        "Requests that stop early are not supported at this temperature.",
        "The user is not allowed to use this model.",
        "role 'user' is not supported here",
        '[{"role": "user", "content": "unsupported"}]',
        "unknown field `thread`, expected one of `stop`, `user`, `temperature`, `stream_options`",
        "I do not know what to stop. It is unexpected that users are thinking.",
        "Thinking is not available in your region",
        "Invalid 'messages[3].content[0].text': unexpected character",
    ],
)
def test_what_is_not_about_a_field_changes_nothing(correct: Callable[..., Any], error: str) -> None:
    assert ask(correct, error).body == ask(correct, "No.").body


WITH_TOOLS = [
    "Function tools with reasoning_effort are not supported for gpt-5.6-terra in /v1/chat/completions. To use function "
    "tools, use /v1/responses or set reasoning_effort to 'none'.",
    "Function tools with reasoning_effort are not supported for gpt-5.4 in /v1/chat/completions. Please use "
    "/v1/responses instead.",
    "litellm.BadRequestError: OpenAIException - Function tools with reasoning_effort are not supported for gpt-6-sol.",
]
"""openai/openai-openapi#541; a deployment, or a proxy's name for the model, does not tell which model it is."""


@pytest.mark.parametrize("message", WITH_TOOLS)
@pytest.mark.parametrize("dialect", ["openai", "azure", "generic", "openrouter"])
@pytest.mark.parametrize(
    "thinking",
    [
        {},
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
        {"thinking": {"type": "enabled", "budget_tokens": 2000}},
        {"thinking": {"type": "disabled"}},
    ],
    ids=["unasked", "effort", "budget", "disabled"],
)
def test_a_model_that_must_not_think_beside_tools_is_told_so(
    message: str, dialect: str, thinking: dict[str, Any]
) -> None:
    def judge(body: dict[str, Any]) -> str | None:
        # Without the field the model's own effort is refused (laurent22/joplin#16451).
        return message if body.get("tools") and body.get("reasoning_effort") != "none" else None

    asked = negotiate(judge, dialect=dialect, tools=TOOLS, **thinking)
    assert asked.accepted
    assert len(asked.bodies) == 2
    later = negotiate(judge, dialect=dialect, known=asked.corrections, **thinking)
    assert later.accepted
    assert later.body.get("reasoning_effort") == (
        "high"
        if "output_config" in thinking
        else {"enabled": "low", "disabled": "none"}.get(thinking.get("thinking", {}).get("type", ""))
    )
