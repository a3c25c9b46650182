"""K17: `content` that is null, empty or blank."""

from __future__ import annotations

import json
from typing import Any

import pytest

from asgi_llmgate.protocol.servers.corrections.changes import Corrections
from asgi_llmgate.protocol.servers.corrections.table import find_corrections
from asgi_llmgate.protocol.servers.dialects import derive

HI = {"role": "user", "content": "hi"}
BYE = {"role": "user", "content": "bye"}
PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
BLANKS = ["", " ", "\n", " \t\r\n\f", "\u00a0", "\u3000 "]


def says(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


CALL = {"type": "tool_use", "id": "t", "name": "Read", "input": {}}
LOOP = [HI, says(CALL), {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "x"}]}]


@pytest.mark.parametrize("blank", BLANKS)
def test_no_blank_text_is_sent(translate: Any, blank: str) -> None:
    told = translate(
        system=[text(blank), text("Be brief."), text(blank)],
        messages=[
            {"role": "user", "content": [text(blank), text("hi"), PNG, text(blank)]},
            says(text(blank), CALL),
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t", "content": [text(blank), text("x"), text(blank)]},
                    text(blank),
                ],
            },
            says(text("a"), text(blank)),
            {"role": "system", "content": blank},
            BYE,
        ],
    )
    assert [message["role"] for message in told.messages] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
        "user",
    ]
    assert told.messages[0]["content"] == "Be brief."
    assert [part["type"] for part in told.messages[1]["content"]] == ["text", "image_url"]
    assert [message["content"] for message in told.messages[2:]] == [None, "x", "a", "bye"]


@pytest.mark.parametrize("blank", BLANKS)
def test_a_message_of_the_assistant_with_nothing_in_it_is_left_out(translate: Any, blank: str) -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": ""}
    for nothing in ([text(blank)], [thought], [thought, text(blank)], []):
        messages = [HI, says(*nothing), BYE]
        assert translate(messages=messages).messages == [HI, BYE]
        strict = translate(dialect=derive("vllm", {"alternate_roles": True}), messages=messages)
        assert [message["role"] for message in strict.messages] == ["user"]
        assert [part["text"] for part in strict.messages[0]["content"]] == ["hi", "bye"]


@pytest.mark.parametrize("blank", BLANKS)
def test_a_result_or_a_system_text_that_is_blank_says_so_or_is_left_out(translate: Any, blank: str) -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "content": blank}
    told = translate(system=blank, messages=[HI, says(CALL), {"role": "user", "content": [result]}])
    assert [message["role"] for message in told.messages] == ["user", "assistant", "tool"]
    assert told.messages[2]["content"] == "(no output)"


@pytest.mark.parametrize("blank", BLANKS)
def test_the_model_does_not_continue_its_own_words_because_the_user_said_nothing(translate: Any, blank: str) -> None:
    told = translate(messages=[HI, says(text("a")), {"role": "user", "content": [text(blank)]}])
    assert [message["role"] for message in told.messages] == ["user", "assistant", "user"]
    assert told.messages[2]["content"].strip()


def test_blanks_inside_of_a_text_stay(translate: Any) -> None:
    words = " \n a \\n b\u00a0 "
    told = translate(system=words, messages=[{"role": "user", "content": words}, says(text(words)), BYE])
    assert [message["content"] for message in told.messages[:3]] == [words] * 3


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ("Invalid 'content': 'content' field must be a string or an array of objects.", 400),
        ("invalid message content type: <nil>", 400),
        ("messages.1.content: expected string, received null", 400),
        ("Failed to deserialize the JSON body: messages[1].content: invalid type: null, expected a string", 422),
        ('[{"type":"string_type","loc":["body","messages",1,"content"],"msg":"Input should be a valid string"}]', 422),
        ('[{"loc":["body","messages",1,"content"],"msg":"Input should be a valid string","input":null}]', 422),
        ("messages.1.content cannot be null", 400),
        ('Error: can only concatenate str (not "NoneType") to str', 500),
    ],
    ids=[
        "LM Studio",
        "Ollama",
        "zod",
        "serde",
        "pydantic",
        "pydantic, with its input",
        "a validator",
        "a chat template",
    ],
)
def test_null_beside_calls_becomes_an_empty_text_where_it_is_refused(translate: Any, error: str, status: int) -> None:
    bodies = [translate(messages=LOOP).messages[1]]
    for correction in find_corrections(status, json.dumps({"error": error}, ensure_ascii=False)):
        bodies.append(translate(messages=LOOP, more={"corrections": correction.changes}).messages[1])
    assert bodies[0]["content"] is None
    assert bodies[-1] == {**bodies[0], "content": ""}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ("messages: text content blocks must be non-empty", 400),
        (
            "The text field in the ContentBlock object at messages.1.content.0 is blank. Add text to the text field.",
            400,
        ),
        ("bedrock error: The content field in the Message object at messages.1 is empty. Add a ContentBlock.", 400),
        ("messages[1].content cannot be empty", 422),
        ("content must not be blank", 400),
    ],
)
def test_no_content_is_sent_beside_calls_where_none_may_be_empty(translate: Any, error: str, status: int) -> None:
    [correction] = find_corrections(status, json.dumps({"error": error}))
    both = Corrections(missing=frozenset({"null_content"})).merge(correction.changes)
    for corrections in (correction.changes, both):
        sent = translate(messages=[*LOOP, says(text("a")), BYE], more={"corrections": corrections})
        assert "content" not in sent.messages[1]
        assert sent.messages[1]["tool_calls"]
        assert sent.messages[3]["content"] == "a"


@pytest.mark.parametrize(
    ("said", "change"),
    [
        ('"input":null', ["null_content"]),
        ('"input":[{"type":"text"}]', ["content_parts"]),
        ('"ctx":{}', ["content_parts", "null_content"]),
    ],
)
def test_a_list_and_null_are_told_apart_where_the_error_shows_the_value(said: str, change: list[str]) -> None:
    error = f'[{{"loc":["body","messages",1,"content"],"msg":"Input should be a valid string",{said}}}]'
    for body in (error, json.dumps({"error": {"message": error}})):
        found = [correction.changes for correction in find_corrections(422, body)]
        assert found == [Corrections(missing=frozenset({each})) for each in change]
