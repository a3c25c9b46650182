"""Collects the carriers of one response (`translation.carriers`) until a thinking block can hold them."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from asgi_llmgate.protocol.buffer_limit import BufferLimit
from asgi_llmgate.protocol.chat.chunks import Delta, ToolCall
from asgi_llmgate.protocol.messages.events import Emitter
from asgi_llmgate.protocol.rawjson import arrays
from asgi_llmgate.protocol.rawjson.strings import DECODE_ERRORS
from asgi_llmgate.protocol.translation.call_ids import make_call_id
from asgi_llmgate.protocol.translation.carriers import (
    CALL_FIELDS,
    LIST_FIELDS,
    MESSAGE_FIELDS,
    Carriers,
    Seal,
    is_opaque,
    join_entries,
    write_signature,
)

_decode_entries = msgspec.json.Decoder(list[dict[str, Any]]).decode


class CarrierCollector:
    """Collects the carriers of one response.

    `seal` is None where the client gets no thinking blocks: then they are lost.  What is lost is named in `changed`.
    `message_id` is the response's; `retained` counts what is kept.
    """

    __slots__ = ("_lists", "_message_id", "_retained", "_seal", "_waiting", "changed")

    def __init__(self, seal: Seal | None, message_id: str, retained: BufferLimit) -> None:
        self.changed: list[str] = []
        self._seal = seal
        self._message_id = message_id
        self._retained = retained
        self._waiting: Carriers | None = None  # until there are some
        self._lists: dict[str, list[dict[str, Any]]] = {}  # in which nothing is opaque so far

    def read_message(self, delta: Delta) -> None:
        """The carriers beside the content of a delta."""
        for name in MESSAGE_FIELDS:
            if self._keeps(value := getattr(delta, name), name):
                self._carriers().fields[name] = value.copy()
        for name in LIST_FIELDS:
            self._read_list(name, bytes(getattr(delta, name)))

    def read_call(self, number: int, call: ToolCall) -> None:
        """The carriers of a piece of a call; `number` is the call's."""
        for name in CALL_FIELDS:
            if self._keeps(value := getattr(call, name), f"tool_calls.{name}"):
                self._carriers().calls.setdefault(make_call_id(self._message_id, number), {})[name] = value.copy()

    def hold_id(self, number: int, call_id: str) -> None:
        """The server's id of a call, which does not fit into the client's."""
        if self._seal is not None:
            self._retained.add(len(call_id))
            self._carriers().ids[make_call_id(self._message_id, number)] = call_id

    def take_signature(self) -> str:
        """The signature of the thinking block that ends here; "" where nothing waits, or what waits is too large."""
        for name, entries in self._lists.items():
            if any(map(is_opaque, entries)):
                self._carriers().lists[name] = entries
        waiting = self._waiting
        if waiting is None:
            return ""
        self._waiting, self._lists = None, {}
        signature = None if self._seal is None else write_signature(waiting, self._seal)
        if signature is None:
            self._report_lost("signature")
        return signature or ""

    def write_block(self, emitter: Emitter) -> None:
        """Write what waits as a thinking block without a text; before a block of another kind."""
        if signature := self.take_signature():
            emitter.open_block("thinking")
            emitter.close(signature)

    def end(self) -> None:
        """The response has ended.  What waits is lost: a last block of thinking would hide the text from clients."""
        if self.take_signature():
            self._report_lost("signature")

    def _carriers(self) -> Carriers:
        """What waits, to be added to."""
        if self._waiting is None:
            self._waiting = Carriers()
        return self._waiting

    def _read_list(self, name: str, value: bytes) -> None:
        arrays.check_length(value)
        try:
            entries = _decode_entries(value)
        except DECODE_ERRORS:
            return
        if self._seal is not None:
            self._retained.add(len(value))
            join_entries(self._lists.setdefault(name, []), entries)
        elif any(map(is_opaque, entries)):
            self._report_lost(name)

    def _keeps(self, value: Raw, place: str) -> bool:
        if bytes(value) in (b"", b"null", b"{}", b"[]", b'""'):
            return False
        if self._seal is None:
            self._report_lost(place)
            return False
        self._retained.add(len(value))
        return True

    def _report_lost(self, name: str) -> None:
        if name not in self.changed:
            self.changed.append(name)
