"""What the tests of the answer side share: upstream streams, written by hand or made up, and ways to translate them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from asgi_llmgate.errors import Broken
from asgi_llmgate.protocol.messages.events import MessageEmitter, SSEEmitter
from asgi_llmgate.protocol.sse import SSEReader
from asgi_llmgate.protocol.translation.call_ids import read_call_id
from asgi_llmgate.protocol.translation.response.plan import ResponsePlan
from asgi_llmgate.protocol.translation.response.translator import Translator
from asgi_llmgate.testing.grammar import check_stream

PLAN = ResponsePlan(message_id="msg_req_1", model="qwen3", input_estimate=50, thinking=True)


def chunk(*, finish: str | None = None, usage: Any = None, **delta: Any) -> dict[str, Any]:
    """A chunk as OpenAI sends it."""
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "model": "gpt-x",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }
    return body if usage is None else {**body, "usage": usage}


def call(index: int | None = 0, *, id: str | None = None, name: str | None = None, args: Any = None) -> dict[str, Any]:
    """One entry of `tool_calls`; what is None is left out."""
    function = {key: value for key, value in (("name", name), ("arguments", args)) if value is not None}
    entry: dict[str, Any] = {"function": function}
    return entry | {key: value for key, value in (("index", index), ("id", id)) if value is not None}


def calls(*entries: dict[str, Any], **more: Any) -> dict[str, Any]:
    return chunk(tool_calls=list(entries), **more)


def counted(prompt: int = 100, completion: int = 20, **more: Any) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion, **more}


def sse(*events: Any, done: bool = True, newline: str = "\n") -> bytes:
    """The bytes of a stream: objects as JSON, texts as they are."""
    datas = [event if isinstance(event, str) else json.dumps(event) for event in events]
    return "".join(f"data: {data}{newline}{newline}" for data in [*datas, *(["[DONE]"] if done else [])]).encode()


@dataclass
class Told:
    """An answer as the client gets it, and what the translator knows about it."""

    message: dict[str, Any]
    translator: Translator
    data: bytes = b""

    @property
    def content(self) -> list[dict[str, Any]]:
        """The blocks, without what is the same in all of them, and with the server's ids of calls in place of the
        client's, which hold them."""
        blocks = [
            {key: value for key, value in block.items() if key != "signature"} for block in self.message["content"]
        ]
        for block in blocks:
            if "id" in block:
                block["id"] = read_call_id(block["id"], block["name"]) or block["id"]
        return blocks

    @property
    def call_ids(self) -> list[str]:
        """The ids of calls as the client gets them."""
        return [block["id"] for block in self.message["content"] if block["type"] == "tool_use"]

    @property
    def error(self) -> dict[str, str]:
        return self.message["error"]


def feed(pieces: Iterable[bytes], translator: Translator, *, max_event: int = 2**20) -> None:
    """What an app does with the bytes of an upstream stream."""
    reader = SSEReader(max_event=max_event)
    try:
        for piece in pieces:
            for event in reader.feed(piece):
                translator.feed_event(event)
        for event in reader.end():
            translator.feed_event(event)
    except Broken as error:
        translator.fail(error)
    translator.end()


def streamed(
    data: bytes | Sequence[bytes], plan: ResponsePlan = PLAN, *, any_input: bool = False, **options: Any
) -> Told:
    """A stream, translated into a stream, which is checked."""
    translator = Translator(plan, SSEEmitter("req_1"))
    feed([data] if isinstance(data, bytes) else data, translator, **options)
    written = translator.take()
    return Told(check_stream(written, any_input=any_input), translator, written)


def collected(data: bytes, plan: ResponsePlan = PLAN) -> Told:
    """A stream, translated into one Message; raises what it ended in."""
    translator = Translator(plan, MessageEmitter())
    feed([data], translator)
    return Told(json.loads(translator.take()), translator)


def whole(completion: Any, plan: ResponsePlan = PLAN) -> Told:
    """A JSON completion, translated into one Message; raises what it ended in."""
    translator = Translator(plan, MessageEmitter())
    translator.feed_document(completion if isinstance(completion, bytes) else json.dumps(completion).encode())
    return Told(json.loads(translator.take()), translator)


def completion(finish: str | None = "stop", usage: Any = None, choice: Any = None, **message: Any) -> dict[str, Any]:
    """A chat completion as OpenAI sends it."""
    entry = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish, **(choice or {})}
    body = {"id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-x", "choices": [entry]}
    return body if usage is None else {**body, "usage": usage}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def thinking(words: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": words}


def tool(id: str, name: str, **input: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": name, "input": input}


def assert_error_end(told: Told, error_type: str = "api_error") -> None:
    assert told.error["type"] == error_type
    assert "stop_reason" not in told.message or told.message["stop_reason"] is None
    assert b"message_delta" not in told.data


A: dict[str, Any] = {"id": "a", "name": "A", "args": '{"x":1}'}
B: dict[str, Any] = {"id": "b", "name": "B", "args": '{"y":2}'}
BOTH = [tool("a", "A", x=1), tool("b", "B", y=2)]


def vllm_refusal(prompt: int, output: int, window: int) -> str:
    """What vLLM answers since 2026 (vllm/renderers/params.py); nothing when it takes the request."""
    if output > window:
        return (
            f"max_tokens={output} cannot be greater than max_model_len=max_total_tokens={window}. "
            "Please request fewer output tokens."
        )
    read = min(prompt, window - output + 1)
    if read + output <= window:
        return ""
    return (
        f"This model's maximum context length is {window} tokens. However, you requested {output} output tokens and "
        f"your prompt contains at least {read} input tokens, for a total of at least {read + output} tokens. Please "
        "reduce the length of the input prompt or the number of requested output tokens."
    )


# Made-up streams.


@dataclass
class Script:
    """What a made-up server says: the bytes, the blocks that they stand for, and the whole completion that says the
    same.

    `completion` is None where a completion cannot say it, because the order of blocks is lost in one.
    """

    events: list[str]
    content: list[dict[str, Any]]
    stop_reason: str
    completion: dict[str, Any] | None
    data: bytes = b""
    usage: dict[str, Any] | None = field(default=None)


_letters = st.sampled_from([*'ab {}[]":,\\/<>\n', "\x00", "\x7f", "é", "\u2028", "\ufffd", "😀"])
_texts = st.text(_letters, min_size=1, max_size=12)
_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(_letters, max_size=6),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(_letters, max_size=4), inner, max_size=2),
    max_leaves=3,
)
_inputs = st.dictionaries(st.text(_letters, max_size=5), _values, max_size=3)
_names = st.sampled_from(["Read", "Write", "mcp__db__query"])


@st.composite
def _pieces(draw: st.DrawFn, text: str) -> list[str]:
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@st.composite
def _said(draw: st.DrawFn, kind: str, text: str) -> list[dict[str, Any]]:
    """The deltas of one passage.  Reasoning has three names; a server keeps to one."""
    name = (
        "content" if kind == "text" else draw(st.sampled_from(["reasoning", "reasoning_content", "reasoning_details"]))
    )
    pieces = draw(_pieces(text))
    return [
        {name: [{"type": "reasoning.text", "text": piece}] if name == "reasoning_details" else piece}
        for piece in pieces
    ]


@st.composite
def _called(draw: st.DrawFn, style: str, first: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The deltas of some parallel calls, interleaved, and the calls in the order in which they begin."""
    queues: list[list[dict[str, Any]]] = []
    told = []
    for number in range(first, first + draw(st.integers(1, 3))):
        name, value = draw(_names), draw(_inputs)
        call_id = f"call_{number}" if style != "index" or draw(st.booleans()) else None
        if style == "nothing but order" and value:
            value = {**value, "number": number}  # the same call again would be a repetition
        text = json.dumps(value, ensure_ascii=draw(st.booleans()))
        if style == "nothing but order":
            call_id, pieces = None, [text]
        elif not value and draw(st.booleans()):
            pieces = [""]
        else:
            pieces = draw(_pieces(text))
        repeat = draw(st.booleans())
        index = number if style == "index" else None
        queues.append(
            [
                call(
                    index,
                    id=call_id if place == 0 or repeat or style == "id on every piece" else None,
                    name=name if place == 0 or repeat else None,
                    args=piece,
                )
                for place, piece in enumerate(pieces)
            ]
        )
        told.append({"type": "tool_use", "id": call_id, "name": name, "input": value})
    order: list[int] = []
    deltas: list[dict[str, Any]] = []
    while any(queues):
        waiting = [number for number, queue in enumerate(queues) if queue]
        number = waiting[0] if style == "nothing but order" else draw(st.sampled_from(waiting))
        if number not in order:
            order.append(number)
        piece = queues[number].pop(0)
        if deltas and draw(st.booleans()):
            deltas[-1]["tool_calls"].append(piece)
        else:
            deltas.append({"tool_calls": [piece]})
    return deltas, [told[number] for number in order]


@st.composite
def scripts(draw: st.DrawFn, *, tidy: bool = False) -> Script:
    """Any answer, in any way that servers are known to write one.  `tidy`: in the order that a completion can say."""
    kinds = st.sampled_from(["text", "thinking", "calls"])
    plan = draw(st.lists(kinds, max_size=4))
    if tidy:
        plan = [kind for kind in ("thinking", "text", "calls") if kind in plan]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}] if draw(st.booleans()) else []
    content: list[dict[str, Any]] = []
    number = 0
    style = draw(st.sampled_from(["index", "index", "id on every piece", "nothing but order"]))
    for kind in plan:
        if kind == "calls":
            made, told = draw(_called(style, number))
            number += len(told)
            content += told
        else:
            text = draw(_texts)
            made = draw(_said(kind, text))
            if content and content[-1]["type"] == kind:
                content[-1][kind] += text
            else:
                content.append({"type": kind, kind: text})
        deltas += made
    called = any(block["type"] == "tool_use" for block in content)
    finish = draw(st.sampled_from(["stop", "length", "content_filter", "", None] + ["tool_calls"] * called))
    if not content and not finish:
        finish = "stop"
    stop_reason = {"length": "max_tokens", "content_filter": "refusal"}.get(
        finish or "", "tool_use" if called else "end_turn"
    )
    usage = draw(st.none() | st.builds(counted, st.integers(1, 999), st.integers(1, 999)))
    where = draw(st.sampled_from(["with", "after", "always"]))
    events = [chunk(**delta, usage=usage if where == "always" else None) for delta in deltas]
    events.append(chunk(finish=finish, usage=usage if where != "after" else None))
    if usage and where == "after":
        events.append({"id": "chatcmpl-1", "model": "gpt-x", "choices": [], "usage": usage})
    said = "".join(block.get("text", "") for block in content)
    thought = "".join(block.get("thinking", "") for block in content)
    tools = [call(None, id=b["id"], name=b["name"], args=json.dumps(b["input"])) for b in content if "input" in b]
    told_whole = completion(finish, usage, content=said or None, reasoning=thought, tool_calls=tools)
    script = Script(
        events=[json.dumps(event) for event in events] + (["[DONE]"] if not finish or draw(st.booleans()) else []),
        content=content or [{"type": "text", "text": ""}],
        stop_reason=stop_reason,
        completion=told_whole if tidy else None,
        usage=usage,
    )
    script.data = draw(_framed(script.events))
    return script


@st.composite
def _framed(draw: st.DrawFn, events: list[str]) -> bytes:
    """Events as lines, with all the freedom that the standard gives, and comments and keep-alives in between."""
    newline = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    noise = st.sampled_from(
        ["", "", ": keep-alive\n\n", "event: message\n", "data: ping\n\n", 'data: {"choices":[]}\n\n']
    )
    space = draw(st.sampled_from(["", " "]))
    lines = "".join(f"{draw(noise)}data:{space}{event}\n\n" for event in events)
    if draw(st.booleans()):
        lines = lines.removesuffix("\n\n")
    return lines.replace("\n", newline).encode()


@st.composite
def cut_up(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The same bytes in pieces."""
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
