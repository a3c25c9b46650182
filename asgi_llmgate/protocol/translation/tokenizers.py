"""What model servers' tokenizers are asked, and what they answer.

vLLM: https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html#tokenizer-api; llama.cpp:
tools/server/README.md, `POST /apply-template` and `POST /tokenize`; Anthropic:
https://platform.claude.com/docs/en/api/messages-count-tokens.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from asgi_llmgate.errors import Broken
from asgi_llmgate.exchange import Target
from asgi_llmgate.protocol.messages.request import MessagesRequest
from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.objects import to_json
from asgi_llmgate.protocol.rawjson.strings import DECODE_ERRORS
from asgi_llmgate.protocol.servers.dialects import Dialect
from asgi_llmgate.protocol.translation.draft import Options
from asgi_llmgate.protocol.translation.request import to_chat

_PROMPT = ("model", "messages", "tools", "chat_template_kwargs")
"""What of a chat completions request becomes tokens."""

_OPENED = 2**20
"""Bytes of a list of objects that is opened to count them."""


class _Counted(Struct, gc=False):
    count: int | None = None
    input_tokens: int | None = None
    tokens: Raw = Raw(b"")


class _Templated(Struct, gc=False):
    prompt: str


_tokens = msgspec.json.Decoder(list[Raw])
_counted = msgspec.json.Decoder(_Counted)
_templated = msgspec.json.Decoder(_Templated)


def prompt_of(request: MessagesRequest, *, target: Target, dialect: Dialect, options: Options) -> bytes:
    """The prompt of a call as the server there would get it.  Raises InvalidRequest."""
    chat = to_chat(request, target=target, dialect=dialect, options=options, request_id="", counting=True)
    fields = objects.read_object(Raw(chat.body)) or {}
    kept = {name: fields[name] for name in _PROMPT if name in fields}
    return to_json({**kept, "add_generation_prompt": True})


def text_body(text: str) -> bytes:
    """A templated prompt for llama.cpp's `/tokenize`; the marks of the template are tokens of their own."""
    return to_json({"content": text, "add_special": True, "parse_special": True})


def read_count(answer: bytes) -> int:
    """Raises Broken for what holds no count."""
    try:
        counted = _counted.decode(answer)
    except DECODE_ERRORS:
        counted = _Counted()
    count = counted.count if counted.count is not None else counted.input_tokens
    if counted.count is None and (tokens := bytes(counted.tokens)).startswith(b"["):
        count = _length(tokens)
    if count is None or count < 0:
        raise Broken("the model server's answer holds no count of tokens")
    return count


def _length(tokens: bytes) -> int:
    """How many there are.  Nothing is made of numbers for that: there may be a million of them."""
    inner = tokens[1:-1].strip()
    if not inner.translate(None, b"0123456789, \t\r\n"):
        return inner.count(b",") + 1 if inner else 0
    if len(tokens) > _OPENED:
        raise Broken("the model server's answer holds too many tokens to count")
    return len(_tokens.decode(tokens))  # objects, with their pieces of text


def read_prompt(answer: bytes) -> str:
    """Raises Broken for what is no templated prompt."""
    try:
        return _templated.decode(answer).prompt
    except DECODE_ERRORS:
        raise Broken("the model server's answer is no prompt") from None
