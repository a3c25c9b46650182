from __future__ import annotations

import json
from typing import Any

import pytest

from asgi_llmgate.errors import Broken
from asgi_llmgate.exchange_values import Target
from asgi_llmgate.protocol.messages.request import decode_messages
from asgi_llmgate.protocol.servers.dialects import DIALECTS
from asgi_llmgate.protocol.servers.tokenizers import prompt_body, read_count, read_prompt, text_body
from asgi_llmgate.protocol.translation.request.chat_request import Options, to_chat
from tests.helpers.counted_work import peak

SEARCH = {"type": "web_search_20250305", "name": "web_search"}


def prompt(**body: Any) -> dict[str, Any]:
    asked = {"model": "claude-x", "messages": [{"role": "user", "content": "hi"}], **body}
    request = decode_messages(json.dumps(asked).encode(), counting=True)
    target = Target("b", "vllm", "qwen3")
    options = Options(strict=True)
    chat = to_chat(request, target=target, dialect=DIALECTS["vllm"], options=options, request_id="", counting=True)
    found: dict[str, Any] = json.loads(prompt_body(chat.body))
    return found


def test_only_what_becomes_tokens_is_asked_about() -> None:
    tool = {"name": "f", "input_schema": {"type": "object"}}
    assert prompt(system="Be brief.", tools=[tool], temperature=1, new=2) == {
        "model": "qwen3",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}],
        "add_generation_prompt": True,
    }


def test_a_call_that_is_answered_here_is_counted_all_the_same() -> None:
    assert prompt(tools=[SEARCH])["messages"] == [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    ("answer", "count"),
    [
        (b'{"count":7,"max_model_len":4096,"tokens":[1,2]}', 7),
        (b'{"tokens":[1,2,3]}', 3),
        (b'{"tokens":[{"id":1,"piece":"a"}]}', 1),
        (b'{"tokens":[ 1 ,\n2 ]}', 2),
        (b'{"tokens":[]}', 0),
        (b'{"tokens":[%b7]}' % (b"7," * 999_999), 1_000_000),
        (b'{"tokens":null,"input_tokens":12}', 12),
        (b'{"input_tokens":12}', 12),
    ],
    ids=[
        *("vLLM", "llama.cpp", "llama.cpp with pieces"),
        *("with space", "none", "a million", "null", "Anthropic"),
    ],
)
def test_counts_are_read(answer: bytes, count: int) -> None:
    assert read_count(answer) == count


TOO_MANY = b'{"tokens":[%b{}]}' % (b"{}," * 400_000)


def test_counting_a_million_tokens_makes_nothing_of_them() -> None:
    answer = b'{"tokens":[%b7]}' % (b"7," * 999_999)
    assert peak(lambda: read_count(answer)) < 5 * len(answer)


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"count":"x"}', b'{"count":-1}', b'{"tokens":7}', TOO_MANY])
def test_what_holds_no_count_is_refused(answer: bytes) -> None:
    with pytest.raises(Broken):
        read_count(answer)


def test_a_templated_prompt() -> None:
    assert read_prompt(b'{"prompt":"<|user|>hi"}') == "<|user|>hi"
    assert json.loads(text_body("<|user|>hi")) == {"content": "<|user|>hi", "add_special": True, "parse_special": True}
    with pytest.raises(Broken):
        read_prompt(b'{"prompt":1}')
