"""Thinking that the gateway has signed itself, cut out of a conversation for a server of Anthropic's wire.

After `/model` a conversation goes on at another server.  Anthropic's refuses a thinking block whose signature is not
its own, so one of another model, which has the gateway's, must not go there.  Every other byte stays the client's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Raw

from asgi_llmgate.protocol.messages.blocks import Block, Message
from asgi_llmgate.protocol.messages.events import SIGNATURE
from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.body import locate_values

_BETWEEN = re.compile(rb"[\s,]*")

_Span = tuple[int, int]


def cut_own_thinking(value: Raw, messages: Sequence[Message]) -> bytes | None:
    """`messages` (their JSON is `value`) without such blocks, and without a message of the assistant that has no other.

    None where nothing is cut.
    """
    cuts = [[_is_own(block) for block in message.content] for message in messages]
    if not any(map(any, cuts)):
        return None
    elements = objects.read_elements(value)
    kept = [not cut or not all(cut) for cut in cuts]
    if not any(kept):
        return None
    changed = [
        _without_blocks(bytes(element), cut) if any(cut) and not all(cut) else bytes(element)
        for element, cut in zip(elements, cuts, strict=True)
    ]
    return _without(bytes(value), elements, kept, changed)


def _is_own(block: Block) -> bool:
    signature = objects.read_str(block.fields.get("signature")) if block.type == "thinking" else ""
    return signature == SIGNATURE or signature.startswith(SIGNATURE + ".")


def _without_blocks(element: bytes, cut: Sequence[bool]) -> bytes:
    [fields] = objects.require_objects(Raw(b"[%s]" % element), "messages")
    content = fields["content"]
    blocks = objects.read_elements(content)
    starts: dict[str, int] = {}
    locate_values(element, 0, fields, starts)
    start = starts["content"]
    rest = _without(bytes(content), blocks, [not each for each in cut], [bytes(block) for block in blocks])
    return element[:start] + rest + element[start + len(content) :]


def _without(array: bytes, elements: Sequence[Raw], kept: Sequence[bool], changed: Sequence[bytes]) -> bytes:
    """The array with some elements, each as it is in `changed`.  At least one is kept."""
    spans: list[_Span] = []
    at = 1  # behind the bracket
    for element in elements:
        separator = _BETWEEN.match(array, at)
        assert separator is not None
        at = separator.end() + len(element)
        spans.append((separator.end(), at))
    pieces = [array[: spans[0][0]]]
    end = 0  # of the last element that was kept
    for number, (span, keep) in enumerate(zip(spans, kept, strict=True)):
        if keep:
            # What stands before an element goes with it, but for the first one.
            pieces += ([array[spans[number - 1][1] : span[0]]] if end else []) + [changed[number]]
            end = span[1]
    return b"".join(pieces) + array[spans[-1][1] :]
