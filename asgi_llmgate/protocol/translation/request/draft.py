"""A chat request while it is being written, and what the modules that write its parts share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Raw

from asgi_llmgate.exchange_values import Target
from asgi_llmgate.protocol.messages.request import MessagesRequest
from asgi_llmgate.protocol.servers.context_window import PromptCount
from asgi_llmgate.protocol.servers.corrections.changes import Corrections
from asgi_llmgate.protocol.servers.corrections.tool_schemas import SentTool
from asgi_llmgate.protocol.servers.dialects import Dialect
from asgi_llmgate.protocol.translation.carriers import Seal
from asgi_llmgate.protocol.translation.request.tool_names import ToolNames


class TranslationOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The operator's choices where a translation can be made in more than one way, for all model servers alike.

    unsupported_tools   a call whose only tools are ones that only Anthropic can run: the gateway responds with a text
                        (answer), or it is sent without the tools (drop), or refused (reject)
    repair_tool_pairs   calls and results that do not match are repaired instead of refused
    tool_references     what the model reads about a tool that a search has loaded: its name, or its schema as well
    response_model      the model's name in the response: the upstream's, or the one that was requested
    strict              refuse a request from which something that matters would be left out
    user_id             whether a hash of the caller's subject is sent as `user`
    """

    unsupported_tools: Literal["answer", "drop", "reject"] = "answer"
    repair_tool_pairs: bool = False
    tool_references: Literal["names", "schemas"] = "names"
    response_model: Literal["upstream", "requested"] = "upstream"
    strict: bool = False
    user_id: Literal["hashed", "off"] = "hashed"


class Options(TranslationOptions, frozen=True, kw_only=True):
    """The choices for one model server.

    extra_body          fields that are merged into the request last
    max_output_tokens   limit for every response; 0: none
    """

    extra_body: Mapping[str, Any] = {}
    max_output_tokens: int = 0


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

    _names: dict[str, None] = {}  # a set that keeps the order

    def add(self, name: str) -> None:
        """Add a name, once."""
        if name not in self._names and len(self._names) < _MAX_NAMES:
            self._names[_UNSAFE.sub("_", name[:_MAX_LENGTH])] = None

    def add_unknown(self, prefix: str, fields: Mapping[str, Raw], known: frozenset[str]) -> None:
        """Add every field that is not known here.  `prefix` is what stands before the field's name."""
        if not fields.keys() <= known:
            for name in fields:
                if name not in known:
                    self.add(prefix + safe_name(name))

    @property
    def names(self) -> tuple[str, ...]:
        """The names in the order in which they were added."""
        return tuple(self._names)


def safe_name(word: str) -> str:
    """A name in the request (of a field, of a block's type), if it is an identifier; else "other"."""
    return word if _IDENTIFIER.fullmatch(word) else "other"


class Draft(msgspec.Struct, kw_only=True, eq=False):
    """The request of the client, what is known of the server, and the fields written so far.

    `dialect` is the row for the target's model.  `input_estimate` is the prompt's tokens; `prompt_count` is what the
    server stated about them when it refused the request.  `excess_images` is how many of the next images are too many
    for the model.  `body` holds the fields of the chat request: plain values, in which a `Raw` is JSON that is copied.
    `prefill` is the text of a last message of the assistant, which the model is to continue.  `format` is the schema of
    the response, if it is sent as one.  `seal` opens what the client kept for the server (`carriers`).
    """

    request: MessagesRequest
    target: Target
    dialect: Dialect
    options: Options
    corrections: Corrections
    input_estimate: int
    prompt_count: PromptCount
    tool_names: ToolNames
    excess_images: int = 0
    dropped: Dropped = msgspec.field(default_factory=Dropped)
    body: dict[str, Any] = {}
    prefill: str = ""
    format: SentTool | None = None
    seal: Seal | None = None
