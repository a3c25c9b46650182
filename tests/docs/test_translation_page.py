"""What docs/explanation/translation.md says is dropped is dropped, and what it says is refused is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from asgi_llmgate.errors import InvalidRequest
from asgi_llmgate.exchange_values import Target
from asgi_llmgate.protocol.messages.request import decode_messages
from asgi_llmgate.protocol.servers.dialects import DIALECTS
from asgi_llmgate.protocol.translation.request.chat_request import ChatRequest, Options, to_chat

PAGE = (Path(__file__).parents[2] / "docs" / "explanation" / "translation.md").read_text("utf-8")


def names(paragraph: str) -> list[str]:
    """The fields that a paragraph of the page lists."""
    found = re.search(rf"^{paragraph}:(.*?)\n\n", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return re.findall(r"`(\w+)`", found[1])


def translated(**fields: Any) -> ChatRequest:
    body = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}], **fields}
    return to_chat(
        decode_messages(json.dumps(body).encode()),
        target=Target("b", "p", "m"),
        dialect=DIALECTS["generic"],
        options=Options(),
        request_id="r",
    )


@pytest.mark.parametrize("name", names("Dropped and named"))
def test_what_is_dropped_is_named(name: str) -> None:
    chat = translated(**{name: [{"x": 1}]})
    assert chat.dropped == (name,)
    assert name not in json.loads(chat.body)


@pytest.mark.parametrize("name", names("Refused by name"))
def test_what_is_refused_is_named(name: str) -> None:
    image = {"type": "image", "source": {"type": "file", "file_id": "f"}}
    fields: dict[str, Any] = {"messages": [{"role": "user", "content": [image]}]} if name == "file_id" else {name: "x"}
    with pytest.raises(InvalidRequest, match=name):
        translated(**fields)


def test_what_is_answered_here_asks_nobody() -> None:
    assert translated(max_tokens=0).local_text == ""
    assert translated(tools=[{"type": "web_search_20250305", "name": "web_search"}]).local_text
