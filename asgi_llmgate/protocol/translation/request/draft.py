"""A chat request while it is being written, and what the modules that write its parts share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw

from asgi_llmgate.protocol.messages.request import MessagesRequest
from asgi_llmgate.protocol.servers.context_window import PromptCount
from asgi_llmgate.protocol.servers.corrections.tool_schemas import SentTool
from asgi_llmgate.protocol.servers.dialects import Dialect
from asgi_llmgate.protocol.translation.carriers import Seal
from asgi_llmgate.protocol.translation.request.target_format import TargetFormat
from asgi_llmgate.protocol.translation.request.tool_names import ToolNames

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
_UNSAFE = re.compile(r"[^\w.:\[\]-]", re.ASCII)
_MAX_LENGTH = 80
"""Characters of one name."""
_MAX_NAMES = 50


class Dropped(msgspec.Struct):
    """Names of what was left out or changed, such as `messages[].content[].cache_control`.

    The names have no indices, so that they can be counted.  They go into usage records and logs.  So a word of the
    caller's that could be any text is not among them (`safe_name`), and every name is limited in length and alphabet.
    """

    names: dict[str, None] = {}
    """The names in the order in which they were added: a set that keeps it."""

    def add(self, name: str) -> None:
        """Add a name, once."""
        if name not in self.names and len(self.names) < _MAX_NAMES:
            self.names[_UNSAFE.sub("_", name[:_MAX_LENGTH])] = None

    def add_unknown(self, prefix: str, fields: Mapping[str, Raw], known: frozenset[str]) -> None:
        """Add every field that is not known here.  `prefix` is what stands before the field's name."""
        if not fields.keys() <= known:
            for name in fields:
                if name not in known and prefix + name not in self.names:
                    self.add(prefix + safe_name(name))


def safe_name(word: str) -> str:
    """A name in the request (of a field, of a block's type), if it is an identifier; else "other"."""
    return word if _IDENTIFIER.fullmatch(word) else "other"


class Draft(msgspec.Struct, kw_only=True, eq=False):
    """The request of the client, what is known of the server, and the fields written so far.

    `dialect` is that of the format.  `input_estimate` is the prompt's tokens; `prompt_count` is what the server stated
    about them when it refused the request.  `excess_images` is how many of the next images are too many for the model.
    `body` holds the fields of the chat request: plain values, in which a `Raw` is JSON that is copied.  `prefill` is
    the text of a last message of the assistant, which the model is to continue.  `schema` is the schema of the
    response, if it is sent as one.  `seal` opens what the client kept for the server (`carriers`).
    """

    request: MessagesRequest
    format: TargetFormat
    dialect: Dialect
    input_estimate: int
    prompt_count: PromptCount
    tool_names: ToolNames
    excess_images: int = 0
    dropped: Dropped = msgspec.field(default_factory=Dropped)
    body: dict[str, Any] = {}
    prefill: str = ""
    schema: SentTool | None = None
    seal: Seal | None = None
