"""The responses of a scripted model: turns, each an immutable value.

    [
        say("I will write it.") + call("Write", file_path="hello.txt", content="hi"),
        say("Done."),
        say("42 stars").when(lambda request: "count the stars" in request.prompt),
        refuse(429, "slow down", headers={"retry-after": "1"}),
        say("half of a response").cut(after=2),
    ]

`ModelServer` (model_server.py) plays them.  Both forms of a response come from one turn: the chat completion object and
the list of deltas of its stream, as https://platform.openai.com/docs/api-reference/chat describes them.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, zip_longest
from typing import Any, Literal

__all__ = ["ReceivedRequest", "ToolCall", "Turn", "call", "raw", "refuse", "say", "text_of"]

FRAGMENT = 12
"""Characters per piece in which the JSON of a tool's arguments is streamed."""


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """One request as the model server got it.  `body` is the decoded JSON; `gone` is set when the client disconnected
    before the response ended (from a coroutine: `await asyncio.to_thread(request.gone.wait, 5)`)."""

    method: str
    path: str
    headers: Mapping[str, str]
    raw: bytes = b""
    body: Mapping[str, Any] = field(default_factory=dict)
    gone: threading.Event = field(default_factory=threading.Event, compare=False)

    @property
    def authorization(self) -> str:
        return self.headers.get("authorization", "")

    @property
    def messages(self) -> list[dict[str, Any]]:
        return list(self.body.get("messages", ()))

    @property
    def tool_names(self) -> list[str]:
        return [tool["function"]["name"] for tool in self.body.get("tools", ())]

    @property
    def prompt(self) -> str:
        """The text of the last user message."""
        return next((text_of(message) for message in reversed(self.messages) if message["role"] == "user"), "")

    @property
    def is_safety_question(self) -> bool:
        """Claude Code in auto mode asks whether an action may run, and asks again with a larger output limit when the
        first response is yes: it expects `<block>yes` or `<block>no`."""
        asks = "</block>" in (self.body.get("stop") or ()) or "<block>" in self.prompt
        return asks and "tools" not in self.body


@dataclass(frozen=True, slots=True)
class ToolCall:
    name: str
    arguments: str
    """JSON text; not necessarily valid, as with a real model."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One response.  `status` and `body` replace the model's own when `body` is given; `after` counts streamed
    deltas."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[ToolCall, ...] = ()
    finish_reason: str = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    fault: Literal["", "cut", "stall"] = ""
    after: int = 0
    interleave: bool = False
    repeats: bool = False
    condition: Callable[[ReceivedRequest], bool] | None = None

    def __add__(self, other: Turn) -> Turn:
        """Text, then calls, of both in one response."""
        return replace(self, text=self.text + other.text, calls=self.calls + other.calls)

    def when(self, condition: Callable[[ReceivedRequest], bool]) -> Turn:
        """Only for a request that `condition` accepts; tried before the turns without a condition."""
        return replace(self, condition=condition)

    def always(self) -> Turn:
        """The turn may be used for more than one request."""
        return replace(self, repeats=True)

    def interleaved(self) -> Turn:
        """Stream the arguments of parallel calls alternately, as some servers do."""
        return replace(self, interleave=True)

    def finish(self, reason: str) -> Turn:
        """Set `finish_reason`: `length`, `content_filter`, ..."""
        return replace(self, finish_reason=reason)

    def cut(self, *, after: int) -> Turn:
        """Send `after` deltas (half of the JSON when not streaming), then close the connection's body early."""
        return replace(self, fault="cut", after=after)

    def stall(self, *, after: int = 0) -> Turn:
        """Send `after` deltas, then nothing until the client disconnects.  0: not even the status line."""
        return replace(self, fault="stall", after=after)

    def message(self, completion: str) -> dict[str, Any]:
        """The message of a chat completion whose id is `completion`."""
        message: dict[str, Any] = {"role": "assistant", "content": self.text or None, "refusal": None}
        if self.reasoning:
            message["reasoning_content"] = self.reasoning
        if self.calls:
            message["tool_calls"] = [
                {
                    "id": _call_id(completion, index),
                    "type": "function",
                    "function": {"name": each.name, "arguments": each.arguments},
                }
                for index, each in enumerate(self.calls)
            ]
        return message

    def deltas(self, completion: str) -> Iterator[dict[str, Any]]:
        """The same message in the pieces of a stream."""
        yield {"role": "assistant", "content": ""}
        yield from ({"reasoning_content": word} for word in _words(self.reasoning))
        yield from ({"content": word} for word in _words(self.text))
        streams = [_call_deltas(completion, index, each) for index, each in enumerate(self.calls)]
        if self.interleave:
            yield from (delta for row in zip_longest(*streams) for delta in row if delta)
        else:
            yield from chain.from_iterable(streams)

    @property
    def stop_reason(self) -> str:
        return self.finish_reason or ("tool_calls" if self.calls else "stop")


def say(text: str, *, reasoning: str = "") -> Turn:
    """The model responds with text, after `reasoning` if that is given."""
    return Turn(text=text, reasoning=reasoning)


def call(tool: str, /, **arguments: Any) -> Turn:
    """The model calls a tool.  Parallel calls: `call(...) + call(...)`."""
    return Turn(calls=(ToolCall(tool, json.dumps(arguments)),))


def refuse(
    status: int,
    message: str,
    *,
    type: str = "invalid_request_error",
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Turn:
    """The server responds with an error in OpenAI's envelope."""
    error = {"message": message, "type": type, "param": None, "code": code}
    return Turn(status=status, body=json.dumps({"error": error}).encode(), headers=headers or {})


def raw(body: bytes, *, status: int = 200, content_type: str = "text/event-stream") -> Turn:
    """The server responds with exactly these bytes, such as an invalid response."""
    return Turn(status=status, body=body, headers={"content-type": content_type})


def text_of(message: Mapping[str, Any]) -> str:
    """The text of a chat message, whose content may be a string, parts or null."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content)


def _call_deltas(completion: str, index: int, each: ToolCall) -> Iterable[dict[str, Any]]:
    opening = {"id": _call_id(completion, index), "type": "function", "function": {"name": each.name, "arguments": ""}}
    yield {"tool_calls": [{"index": index, **opening}]}
    for start in range(0, len(each.arguments), FRAGMENT):
        fragment = {"arguments": each.arguments[start : start + FRAGMENT]}
        yield {"tool_calls": [{"index": index, "function": fragment}]}


def _call_id(completion: str, index: int) -> str:
    return f"call_{completion.rpartition('-')[2]}_{index}"


def _words(text: str) -> list[str]:
    return re.findall(r"\s*\S+\s*\Z|\s*\S+|\s+", text)
