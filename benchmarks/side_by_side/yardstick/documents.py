"""A Messages request becomes a chat completions request, and its response a Message.

Strings are copied as they are escaped, and tools' schemas as the bytes they came in.
"""

from __future__ import annotations

from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.json import Decoder, Encoder

STOP_REASONS = {"stop": b"end_turn", "tool_calls": b"tool_use", "length": b"max_tokens", "content_filter": b"refusal"}
EMPTY = Raw(b'""')


class Block(Struct):
    type: str
    text: Raw = EMPTY
    id: Raw = EMPTY
    name: Raw = EMPTY
    input: Raw = Raw(b"{}")
    tool_use_id: Raw = EMPTY
    content: Raw = EMPTY


class Turn(Struct):
    role: str
    content: str | list[Block]


class Tool(Struct):
    name: Raw
    input_schema: Raw = Raw(b"{}")
    description: Raw = EMPTY


class Request(Struct):
    model: str
    max_tokens: int
    messages: list[Turn]
    stream: bool = False
    system: str | list[Block] = ""
    tools: list[Tool] = []
    temperature: float | UnsetType = UNSET


class Details(Struct, frozen=True):
    cached_tokens: int = 0


class Usage(Struct, frozen=True):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: Details = Details()


class Function(Struct, frozen=True):
    name: Raw = EMPTY
    arguments: str = ""


class ToolCall(Struct):
    id: Raw = EMPTY
    function: Function = Function()


class Message(Struct):
    content: Raw = Raw(b"null")
    tool_calls: list[ToolCall] = []


class Choice(Struct):
    message: Message
    finish_reason: str = "stop"


class Completion(Struct):
    id: str
    model: Raw
    choices: list[Choice]
    usage: Usage = Usage()


decode_request = Decoder(Request).decode
_decode_blocks = Decoder(list[Block]).decode
_decode_completion = Decoder(Completion).decode
_encode = Encoder().encode


def to_chat(request: Request) -> bytes:
    """The chat completions request for a Messages request."""
    turns: list[bytes] = []
    if request.system:
        turns.append(b'{"role":"system","content":%s}' % _text(request.system))
    for turn in request.messages:
        if isinstance(turn.content, str):
            turns.append(b'{"role":"%s","content":%s}' % (turn.role.encode(), _encode(turn.content)))
        else:
            _add_blocks(turns, turn.role.encode(), turn.content)
    parts = [b'{"model":"gpt-4o-mini","max_tokens":%d,"messages":[' % request.max_tokens, b",".join(turns), b"]"]
    if request.stream:
        parts.append(b',"stream":true,"stream_options":{"include_usage":true}')
    if request.temperature is not UNSET:
        parts.append(b',"temperature":%s' % _encode(request.temperature))
    if request.tools:
        form = b'{"type":"function","function":{"name":%s,"description":%s,"parameters":%s}}'
        tools = [form % (tool.name, tool.description, tool.input_schema) for tool in request.tools]
        parts.append(b',"tools":[%s]' % b",".join(tools))
    parts.append(b"}")
    return b"".join(parts)


def _add_blocks(turns: list[bytes], role: bytes, blocks: list[Block]) -> None:
    """What one turn of Messages is in chat completions: results of tools are turns of their own."""
    texts, calls = [], []
    for block in blocks:
        if block.type == "text":
            texts.append(bytes(block.text))
        elif block.type == "tool_use":
            form = b'{"id":%s,"type":"function","function":{"name":%s,"arguments":%s}}'
            calls.append(form % (block.id, block.name, _encode(bytes(block.input).decode())))
        elif block.type == "tool_result":
            content = bytes(block.content)
            result = content if content[:1] == b'"' else _text(_decode_blocks(content))
            turns.append(b'{"role":"tool","tool_call_id":%s,"content":%s}' % (block.tool_use_id, result))
    if texts or calls:
        content = (
            texts[0] if len(texts) == 1 else b'[{"type":"text","text":%s}]' % b'},{"type":"text","text":'.join(texts)
        )
        further = b',"tool_calls":[%s]' % b",".join(calls) if calls else b""
        turns.append(b'{"role":"%s","content":%s%s}' % (role, content, further))


def _text(content: str | list[Block]) -> bytes:
    """A JSON string of it all."""
    if isinstance(content, str):
        return _encode(content)
    return b'"%s"' % b"\\n".join([bytes(block.text)[1:-1] for block in content])


def to_message(content: bytes) -> tuple[bytes, Usage]:
    """The Message for a completion."""
    completion = _decode_completion(content)
    choice, usage = completion.choices[0], completion.usage
    blocks = []
    text = bytes(choice.message.content)
    if text not in (b"null", b'""'):
        blocks.append(b'{"type":"text","text":%s}' % text)
    for call in choice.message.tool_calls:
        form = b'{"type":"tool_use","id":%s,"name":%s,"input":%s}'
        blocks.append(form % (call.id, call.function.name, call.function.arguments.encode() or b"{}"))
    form = (
        b'{"id":"msg_%s","type":"message","role":"assistant","model":%s,"content":[%s],"stop_reason":"%s",'
        b'"stop_sequence":null,"usage":%s}'
    )
    reason = STOP_REASONS.get(choice.finish_reason, b"end_turn")
    return form % (completion.id.encode(), completion.model, b",".join(blocks), reason, usage_of(usage)), usage


def usage_of(usage: Usage) -> bytes:
    cached = usage.prompt_tokens_details.cached_tokens
    form = b'{"input_tokens":%d,"cache_read_input_tokens":%d,"output_tokens":%d}'
    return form % (usage.prompt_tokens - cached, cached, usage.completion_tokens)
