"""What a server wants back as it was, but no block of Anthropic's wire holds: signatures and encrypted reasoning.

Gemini signs calls (`extra_content.google.thought_signature`) and refuses a history without its signatures; OpenRouter
has `reasoning_details`, LiteLLM `thinking_blocks` and `provider_specific_fields`, Copilot `reasoning_opaque`.  They
travel in the `signature` of a thinking block, which clients send back as they got it.  They are sealed: a client can
neither read them nor make them up, and they go back only to the server and model, and for the caller, that they come
from.  Nothing is stored here, so what the client does not send back is gone.

    https://ai.google.dev/gemini-api/docs/thought-signatures
    https://openrouter.ai/docs/use-cases/reasoning-tokens#preserving-reasoning-blocks
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import msgspec
from msgspec import Raw, Struct

from asgi_llmgate.protocol.messages.events import SIGNATURE
from asgi_llmgate.protocol.rawjson.objects import to_json
from asgi_llmgate.protocol.rawjson.strings import DECODE_ERRORS

MAX_SIGNATURE = 16 * 1024
"""Characters of a signature with carriers."""

CALL_FIELDS = ("extra_content", "provider_specific_fields")
"""Fields of a tool call that a server wants back."""

MESSAGE_FIELDS = ("extra_content", "reasoning_opaque", "reasoning_signature")
"""Fields of a message that a server wants back; the last value counts."""

LIST_FIELDS = ("reasoning_details", "thinking_blocks")
"""Fields of a message that are lists, which come in pieces in a stream."""

_TEXTS = ("text", "summary", "thinking")
"""Where an entry of such a list has the text of the thinking."""

_PREFIX = SIGNATURE + "."


class Seal(Protocol):
    """Seals what is for one server, model and caller."""

    def seal(self, content: bytes) -> str: ...

    def open(self, sealed: str) -> bytes | None:
        """The content; None for what was not sealed for the same server, model and caller."""


class Carriers(Struct, omit_defaults=True):
    """The carriers of one message, or of a part of it.

    `calls` are fields of calls by `call_ids.make_call_id` without the server's id, `ids` the server's ids that do not
    fit into the client's, by the same; `fields` and `lists` are fields of the message.  With `cut` the texts in `lists`
    are replaced by their lengths: they are those of the thinking block.
    """

    calls: dict[str, dict[str, Raw]] = {}
    ids: dict[str, str] = {}
    fields: dict[str, Raw] = {}
    lists: dict[str, list[dict[str, Any]]] = {}
    cut: bool = False

    def add(self, more: Carriers) -> None:
        """Add those of the next thinking block of the same message."""
        self.calls.update(more.calls)
        self.ids.update(more.ids)
        self.fields.update(more.fields)
        for name, entries in more.lists.items():
            self.lists.setdefault(name, []).extend(entries)

    def message_fields(self) -> Mapping[str, Any]:
        """The fields of the message."""
        return {**self.fields, **self.lists}


_decode = msgspec.json.Decoder(Carriers).decode


def write_signature(carriers: Carriers, seal: Seal) -> str | None:
    """The signature that holds some carriers; None where they are too large."""
    signature = _PREFIX + seal.seal(to_json(carriers))
    if len(signature) > MAX_SIGNATURE and carriers.lists:
        signature = _PREFIX + seal.seal(to_json(_without_texts(carriers)))
    return signature if len(signature) <= MAX_SIGNATURE else None


def has_carriers(signature: str) -> bool:
    """Whether a signature is one of `write_signature`."""
    return signature.startswith(_PREFIX)


def read_signature(signature: str, thinking: str, seal: Seal | None) -> Carriers | None:
    """The carriers in a signature of `write_signature`; `thinking` is the text of its block.

    None where it was not sealed here for the same server, model and caller, or where the text is another one.
    """
    content = seal.open(signature[len(_PREFIX) :]) if seal is not None and len(signature) <= MAX_SIGNATURE else None
    try:
        carriers = None if content is None else _decode(content)
    except DECODE_ERRORS:
        return None
    return _with_texts(carriers, thinking) if carriers is not None and carriers.cut else carriers


def _without_texts(carriers: Carriers) -> Carriers:
    lists = {
        name: [
            {key: len(value) if key in _TEXTS and isinstance(value, str) else value for key, value in entry.items()}
            for entry in entries
        ]
        for name, entries in carriers.lists.items()
    }
    return msgspec.structs.replace(carriers, lists=lists, cut=True)


def _with_texts(carriers: Carriers, thinking: str) -> Carriers | None:
    for entries in carriers.lists.values():
        at = 0
        for entry in entries:
            for key in _TEXTS:
                if isinstance(length := entry.get(key), int):
                    entry[key] = thinking[at : at + length]
                    at += length
        if at != len(thinking):
            return None
    return carriers


def is_opaque(entry: Mapping[str, Any]) -> bool:
    """Whether an entry of a list holds more than a text that the client sees anyway."""
    return bool(entry.get("signature") or entry.get("data"))


def join_entries(known: list[dict[str, Any]], more: Iterable[dict[str, Any]]) -> None:
    """Add entries of a list as they come in a stream: one entry may come in pieces, of one type and index.

    Anthropic's thinking comes so, its signature last and without a text (agno-agi/agno#5802); an entry with encrypted
    data is always whole.
    """
    for entry in more:
        last = known[-1] if known else {}
        if known and _continues(last, entry):
            for key, value in entry.items():
                old = last.get(key)
                is_text = key in _TEXTS and isinstance(value, str) and isinstance(old, str)
                last[key] = old + value if is_text else old if value is None else value
        else:
            known.append(entry)


def _continues(last: Mapping[str, Any], entry: Mapping[str, Any]) -> bool:
    ids = (last.get("id"), entry.get("id"))
    return (
        all(last.get(key) == entry.get(key) for key in ("type", "index"))
        and "data" not in last
        and "data" not in entry
        and (None in ids or ids[0] == ids[1])
    )
