"""K12: orders of roles that a server or a chat template refuses are written again in the order that it wants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from asgi_llmgate.protocol.servers.dialects import derive

HI = {"role": "user", "content": "hi"}
REMINDER = "<system-reminder>\nMind the gap.\n</system-reminder>"
PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}


def says(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": b} if isinstance(b, str) else b for b in blocks]}


def call(call_id: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": "Read", "input": {}}


def result(call_id: str, content: Any = "done") -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id, "content": content}


def loop(*behind: Any, content: Any = "done") -> list[Any]:
    return [HI, says(call("t1")), user(result("t1", content), *behind)]


def roles(sent: Any) -> list[str]:
    return [message["role"] for message in sent.messages]


def jinja(words: str) -> str:
    """llama.cpp's message about an exception that a chat template raises."""
    return (
        "\n------------\nWhile executing CallExpression at line 46, column 32 in source:\n...== 0) %}↵            {{- "
        f"raise_exception('{words[:30]}...\n{' ' * 40}^\nError: Jinja Exception: {words}"
    )


MISTRAL_API = {
    "object": "error",
    "message": "Unexpected role 'user' after role 'tool'",
    "type": "invalid_request_message_order",
    "param": None,
    "code": "3230",
}
AFTER_TOOL: dict[str, tuple[Any, int]] = {
    "Mistral's API": (MISTRAL_API, 400),
    "vLLM with Mistral's tokenizer": (
        {"error": {"message": MISTRAL_API["message"], "type": "BadRequestError", "param": None, "code": 400}},
        400,
    ),
    "NIM": ({"object": "error", "message": MISTRAL_API["message"], "type": "BadRequestError", "code": 400}, 400),
    "Mistral behind OpenRouter": (
        {
            "error": {
                "message": "Provider returned error",
                "code": 400,
                "metadata": {"raw": str(MISTRAL_API), "provider_name": "Mistral"},
            }
        },
        400,
    ),
    "in other words": ("invalid message order: role 'tool' must be followed by role 'assistant'", 400),
    "an older Mistral": ("Expected last role... Unexpected role user after role tool", 422),
}
ALTERNATION: dict[str, tuple[Any, int]] = {
    "Devstral in llama.cpp": (
        jinja(
            "After the optional system message, conversation roles must alternate user and assistant roles except for "
            "tool calls and results."
        ),
        500,
    ),
    "Mistral 7B in vLLM": (
        "After the optional system message, conversation roles must alternate user/assistant/user/assistant/...",
        400,
    ),
    "Gemma in TGI": ("Template error: syntax error: Conversation roles must alternate user/assistant/...", 422),
    "Bedrock": (
        "A conversation must alternate between user and assistant roles. Make sure the conversation alternates between "
        "user and assistant roles and try again.",
        400,
    ),
    "Perplexity": (
        "After the (optional) system message(s), user or tool message(s) should alternate with assistant message(s).",
        400,
    ),
}


@pytest.mark.parametrize("server", [*AFTER_TOOL, *ALTERNATION])
def test_the_users_words_come_behind_a_message_of_the_assistant(correct: Callable[..., Any], server: str) -> None:
    error, status = {**AFTER_TOOL, **ALTERNATION}[server]
    sent = correct(error, status, messages=loop("Stop that."))
    assert roles(sent) == ["user", "assistant", "tool", "assistant", "user"]
    assert sent.messages[-1]["content"] == "Stop that."
    assert sent.messages[3]["content"]


@pytest.mark.parametrize("server", [*AFTER_TOOL, *ALTERNATION])
def test_a_reminder_goes_into_the_result_so_that_the_tool_loop_goes_on(
    correct: Callable[..., Any], server: str
) -> None:
    error, status = {**AFTER_TOOL, **ALTERNATION}[server]
    sent = correct(error, status, messages=loop(REMINDER, content='say "so"'))
    assert roles(sent) == ["user", "assistant", "tool"]
    assert sent.messages[-1]["content"] == 'say "so"\n\n' + REMINDER


@pytest.mark.parametrize("behind", [[REMINDER, "Stop.", REMINDER], ["Stop.", REMINDER, REMINDER]])
def test_both_are_separated(correct: Callable[..., Any], behind: list[str]) -> None:
    sent = correct(MISTRAL_API, messages=loop(*behind))
    assert roles(sent) == ["user", "assistant", "tool", "assistant", "user"]
    assert sent.messages[2]["content"] == f"done\n\n{REMINDER}\n\n{REMINDER}"
    assert sent.messages[4]["content"] == "Stop."


def test_what_a_result_cannot_hold_comes_behind_a_message_of_the_assistant(correct: Callable[..., Any]) -> None:
    sent = correct(MISTRAL_API, messages=loop(content=[PNG]))
    assert roles(sent) == ["user", "assistant", "tool", "assistant", "user"]
    assert [part["type"] for part in sent.messages[4]["content"]] == ["text", "image_url"]


def test_what_one_turn_sends_is_the_beginning_of_the_next(correct: Callable[..., Any]) -> None:
    first = loop(REMINDER, "Stop.")
    then = [*first, says({"type": "text", "text": "Yes."}), user("Go on.")]
    sent = [correct(MISTRAL_API, messages=messages).messages for messages in (first, then)]
    assert sent[1][: len(sent[0])] == sent[0]


@pytest.mark.parametrize("server", ALTERNATION)
def test_the_user_and_the_assistant_take_turns(correct: Callable[..., Any], server: str) -> None:
    """As the templates count: without messages that have calls, and without results."""
    error, status = ALTERNATION[server]
    sent = correct(
        error,
        status,
        system="Be brief.",
        messages=[
            HI,
            user("Who are you?"),
            {"role": "system", "content": "Mind the gap."},
            says({"type": "thinking", "thinking": "hm", "signature": ""}),
            user("Well?"),
            says({"type": "text", "text": "I look."}, call("t1"), call("t2")),
            user(result("t2"), result("t1"), "Faster!"),
            {"role": "system", "content": "Tell him."},
            says({"type": "text", "text": "Done."}),
            user("Thanks."),
        ],
    )
    counted = [m["role"] for m in sent.messages if m["role"] in ("user", "assistant") and "tool_calls" not in m]
    assert counted == ["user", "assistant"] * (len(counted) // 2) + ["user"]
    assert roles(sent)[0] == "system"
    assert "system" not in roles(sent)[1:]
    for words in ("Who are you?", "Mind the gap.", "Well?", "Faster!", "Tell him.", "Thanks."):
        assert str(sent.body).count(words) == 1


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ("System message must be at the beginning.", 400),
        (jinja("System message must be at the beginning."), 500),
        ("Only one system message is allowed", 422),
        ({"object": "error", "message": "Unexpected role 'system' after role 'user'", "code": "3230"}, 400),
        ("Multiple system messages are not supported", 400),
        ('messages with role "system" must be at the start of the conversation', 400),
    ],
)
def test_a_system_message_in_the_middle_becomes_the_users(correct: Callable[..., Any], error: Any, status: int) -> None:
    messages = [HI, {"role": "system", "content": "Mind the gap."}, says({"type": "text", "text": "x"}), HI]
    sent = correct(error, status, system="Be brief.", messages=messages)
    assert roles(sent) == ["system", "user", "user", "assistant", "user"]
    assert sent.messages[2]["content"] == REMINDER


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ("System role not supported", 400),
        (jinja("System role not supported"), 500),
        ("system messages are not supported by this model", 422),
        ("This model does not support system messages", 400),
        ("'system' role is not supported. Use 'developer' instead", 400),
        ("Unsupported value: 'messages[0].role' does not support 'system' with this model.", 400),
        ("Developer instruction is not enabled for models/gemma-3-27b-it", 400),
    ],
)
@pytest.mark.parametrize("dialect", ["openai", "generic"])
def test_a_system_text_becomes_the_beginning_of_the_first_user_message(
    correct: Callable[..., Any], error: str, status: int, dialect: str
) -> None:
    messages = [HI, says({"type": "text", "text": "x"}), {"role": "system", "content": "Mind the gap."}, HI]
    sent = correct(error, status, dialect=dialect, system="Be brief.", messages=messages)
    assert "system" not in roles(sent)
    first = sent.messages[0]["content"]
    assert [part["text"] for part in first] == ["Be brief.", "hi"]
    assert "Mind the gap." in str(sent.messages[2:])


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ("Unsupported value: 'messages[0].role' does not support 'developer' with this model.", 400),
        ({"object": "error", "message": "Unexpected role 'developer'", "code": "3230"}, 400),
        ("Failed to deserialize: messages[0].role: unknown variant `developer`, expected one of `system`, `user`", 422),
        (
            {
                "detail": [
                    {
                        "loc": ["body", "messages", 0, "role"],
                        "msg": "Input should be 'system', 'user', 'assistant' or 'tool'",
                        "input": "developer",
                    }
                ]
            },
            422,
        ),
        ("The developer role is not supported by this model", 400),
    ],
)
def test_the_system_speaks_where_no_developer_is_known(correct: Callable[..., Any], error: Any, status: int) -> None:
    request = {"dialect": derive("generic", {"system_role": "developer"}), "system": "Be brief.", "messages": [HI]}
    assert roles(correct("No.", **request)) == ["developer", "user"]
    assert roles(correct(error, status, **request)) == ["system", "user"]


def test_a_system_text_before_the_assistants_first_message_is_a_user_message(translate: Any) -> None:
    told = translate(
        dialect=derive("generic", {"system_role": "user"}),
        system="Be brief.",
        messages=[says({"type": "text", "text": "x"}), HI],
    )
    assert told.messages[0] == {"role": "user", "content": "Be brief."}
    assert roles(told) == ["user", "assistant", "user"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (jinja("This model only supports single tool-calls at once!"), 500),
        ("This model only supports single tool-calls at once!", 400),
        ("TemplateError: This model only supports single tool calls at once", 422),
        ("Multiple tool calls in one message are not supported", 400),
    ],
)
def test_calls_of_one_message_become_messages_each_with_its_result(
    correct: Callable[..., Any], error: str, status: int
) -> None:
    calls = says({"type": "text", "text": "I look."}, call("t1"), call("t2"), call("t3"))
    results = user(result("t3", "3"), result("t1", "1"), result("t2", "2"), "Well?")
    sent = correct(error, status, messages=[HI, calls, results])
    assert roles(sent) == ["user", *["assistant", "tool"] * 3, "user"]
    assert [m["content"] for m in sent.messages[1:7]] == ["I look.", "1", None, "2", None, "3"]
    assert [[c["id"] for c in m["tool_calls"]] for m in sent.messages[1:7:2]] == [["t1"], ["t2"], ["t3"]]
    assert [m["tool_call_id"] for m in sent.messages[2:7:2]] == ["t1", "t2", "t3"]


@pytest.mark.parametrize("server", [*AFTER_TOOL, *ALTERNATION])
def test_a_conversation_without_tools_is_not_changed_by_it(
    correct: Callable[..., Any], translate: Any, server: str
) -> None:
    messages = [HI, says({"type": "text", "text": "x"}), user(REMINDER)]
    error, status = {**AFTER_TOOL, **ALTERNATION}[server]
    assert correct(error, status, messages=messages).chat.body == translate(messages=messages).chat.body


@pytest.mark.parametrize(
    ("error", "status", "end"),
    [
        (
            {
                "object": "error",
                "message": "Expected last role User or Tool (or Assistant with prefix True) for serving but got "
                "assistant",
                "type": "invalid_request_message_order",
                "code": "3230",
            },
            400,
            {"role": "assistant", "content": "{", "prefix": True},
        ),
        (
            "The last message must be a user message, or an assistant message with `prefix` set to true.",
            400,
            {"role": "assistant", "content": "{", "prefix": True},
        ),
        (
            "This model does not support assistant message prefill. The conversation must end with a user message.",
            400,
            None,
        ),
        ("Assistant response prefill is incompatible with enable_thinking.", 400, None),
        ("Last message must have role `user`.", 400, None),
        ("The last message must be a user message", 422, None),
    ],
)
def test_a_last_message_of_the_assistant_is_marked_or_followed(
    correct: Callable[..., Any], error: Any, status: int, end: Any
) -> None:
    for dialect in ("generic", "vllm"):
        sent = correct(error, status, dialect=dialect, messages=[HI, says({"type": "text", "text": "{"})])
        if end is None:
            assert sent.messages[1] == {"role": "assistant", "content": "{"}
            assert sent.messages[2]["role"] == "user"
            assert "continue_final_message" not in sent.body
        else:
            assert sent.messages[1:] == [end]
    messages = [HI, says({"type": "text", "text": "{"}), HI]
    assert len(correct(error, status, messages=messages).messages) == 3
