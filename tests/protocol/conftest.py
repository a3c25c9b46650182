from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from asgi_llmgate.exchange_values import Target
from asgi_llmgate.protocol.messages.request import MessagesRequest, decode_messages
from asgi_llmgate.protocol.servers.dialects import DIALECTS, Dialect
from asgi_llmgate.protocol.translation.request.chat_request import ChatRequest, Options, to_chat
from tests.helpers.openai_sdk import read_by_the_sdk

Decode = Callable[..., MessagesRequest]
Translate = Callable[..., "Translated"]


_OPTIONS = Options()
"""Those of most requests: the same object, so that what is kept by it is used."""


@dataclass(frozen=True)
class Translated:
    """A translated request, read back."""

    chat: ChatRequest
    body: dict[str, Any]

    @property
    def messages(self) -> list[dict[str, Any]]:
        return self.body["messages"]

    @property
    def functions(self) -> list[dict[str, Any]]:
        return [tool["function"] for tool in self.body.get("tools", [])]

    @property
    def dropped(self) -> set[str]:
        return set(self.chat.dropped)


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """The bytes of a Messages request, as JavaScript's `JSON.stringify` writes it; keywords replace or add fields."""

    def encode(**fields: Any) -> bytes:
        body = {
            "model": "claude-opus-5-5",
            "max_tokens": 100,
            "messages": [{"role": "user", "content": "hi"}],
            **fields,
        }
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()

    return encode


@pytest.fixture(scope="session")
def decode(encode: Callable[..., bytes]) -> Decode:
    return lambda **fields: decode_messages(encode(**fields))


@pytest.fixture(scope="session")
def translate(decode: Decode) -> Translate:
    """Translate a request.  What goes to OpenAI's own dialects must be what OpenAI's own SDK would send."""

    def translate(
        *,
        dialect: str | Dialect = "openai",
        to: str = "gpt-4o",
        target: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        session_id: str = "",
        caller: tuple[str, ...] = (),
        more: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Translated:
        row = DIALECTS[dialect] if isinstance(dialect, str) else dialect
        chat = to_chat(
            decode(**fields),
            target=Target("backend", "provider", to, **(target or {})),
            dialect=row,
            options=Options(**options) if options else _OPTIONS,
            request_id="req_1",
            session_id=session_id,
            caller=caller,
            **(more or {}),
        )
        body = json.loads(chat.body) if chat.body else {}
        if body and row.name in ("openai", "azure"):
            assert read_by_the_sdk(body) == body
        return Translated(chat, body)

    return translate


@pytest.fixture(scope="session")
def short_of_stack() -> Callable[..., Any]:
    """`short_of_stack(frames, act)`: what `act` gives where so many Python frames are left."""

    def deeper(act: Callable[[], Any], frames: int) -> Any:
        return act() if frames <= 0 else deeper(act, frames - 1)

    def short_of_stack(frames: int, act: Callable[[], Any]) -> Any:
        return deeper(act, sys.getrecursionlimit() - len(inspect.stack(0)) - frames)

    return short_of_stack
