"""Requests to the tokenizers of model servers, and their responses.

vLLM: https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html#tokenizer-api; llama.cpp:
tools/server/README.md, `POST /apply-template` and `POST /tokenize`; Anthropic:
https://platform.claude.com/docs/en/api/messages-count-tokens.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from asgi_llmgate.errors import Broken
from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.objects import to_json
from asgi_llmgate.protocol.rawjson.strings import DECODE_ERRORS
from asgi_llmgate.protocol.token_usage import read_number

_PROMPT_FIELDS = ("model", "messages", "tools", "chat_template_kwargs")
"""The fields of a chat completions request that become tokens."""

_MAX_DECODED = 2**20
"""Bytes of a list of token objects that is decoded to count them."""


class _Count(Struct, gc=False):
    count: Any = None
    input_tokens: Any = None
    tokens: Raw = Raw(b"")


class _Prompt(Struct, gc=False):
    prompt: str


_list_decoder = msgspec.json.Decoder(list[Raw])
_count_decoder = msgspec.json.Decoder(_Count)
_prompt_decoder = msgspec.json.Decoder(_Prompt)


def prompt_body(chat_body: bytes) -> bytes:
    """The body of `/tokenize` (vLLM) and `/apply-template` (llama.cpp), made of that of a chat completions request."""
    fields = objects.read_object(Raw(chat_body)) or {}
    prompt = {name: fields[name] for name in _PROMPT_FIELDS if name in fields}
    return to_json({**prompt, "add_generation_prompt": True})


def text_body(text: str) -> bytes:
    """The body of llama.cpp's `/tokenize` for a prompt; the template's special tokens count as tokens."""
    return to_json({"content": text, "add_special": True, "parse_special": True})


def read_count(response: bytes) -> int:
    """The number of tokens in a response.  Raises Broken for a response without one."""
    try:
        found = _count_decoder.decode(response)
    except DECODE_ERRORS:
        found = _Count()
    count = read_number(found.input_tokens if found.count is None else found.count)
    if found.count is None and (tokens := bytes(found.tokens)).startswith(b"["):
        count = _length(tokens)
    if count is None or count < 0:
        raise Broken("the model server's response holds no count of tokens")
    return count


def _length(tokens: bytes) -> int:
    """The length of a list of tokens.  A list of numbers is not decoded: it may have a million of them."""
    inner = tokens[1:-1].strip()
    if not inner.translate(None, b"0123456789, \t\r\n"):
        return inner.count(b",") + 1 if inner else 0
    if len(tokens) > _MAX_DECODED:
        raise Broken("the model server's response holds too many tokens to count")
    return len(_list_decoder.decode(tokens))  # objects, with the text of each token


def read_prompt(response: bytes) -> str:
    """The prompt that a template made.  Raises Broken for a response without one."""
    try:
        return _prompt_decoder.decode(response).prompt
    except DECODE_ERRORS:
        raise Broken("the model server's response is no prompt") from None
