"""Channels of gpt-oss in the content.

gpt-oss writes `<|channel|>analysis<|message|>` and its reasoning, then `<|end|>`, `<|start|>assistant`, and
`<|channel|>final<|message|>` and its text.  A server without a parser for that sends it all as content
(ggml-org/llama.cpp#15181, lablup/mlxcel#654).  Only the very beginning of a response counts, as for `think_tags`.  A
tool call, which has a channel of its own, is text here (`leaked_calls`).

https://cookbook.openai.com/articles/openai-harmony
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from asgi_llmgate.protocol.chat.delta_content import Passage
from asgi_llmgate.protocol.rawjson.strings import escape, unescape

_START = "<|start|>assistant"
_HEADS = {
    start + f"<|channel|>{channel}<|message|>": channel == "analysis"
    for start in ("", _START)
    for channel in ("analysis", "final", "commentary")
}
"""The words that begin a channel, and whether it is reasoning."""

_ENDS = ("<|end|>", "<|start|>", "<|channel|>")
"""What ends the reasoning; all but the first belong to what follows."""

_END = re.compile("|".join(map(re.escape, _ENDS)))

_MAX_CHANNELS = 16
"""Channels with reasoning that are taken out of one response."""


class HarmonyChannels:
    """Splits the content of one response.  Once it is `settled`, all further content is text."""

    __slots__ = ("_channels", "_held", "_in_reasoning", "settled")

    def __init__(self) -> None:
        self.settled = False
        self._held = ""
        self._in_reasoning = False
        self._channels = 0

    def split(self, raw: bytes) -> Iterator[Passage]:
        """The passages that are certain so far.  Must be iterated."""
        self._held += unescape(raw)
        while True:
            if self._in_reasoning:
                end = _END.search(self._held)
                certain = len(self._held) - _partial_end(self._held) if end is None else end.start()
                if certain:
                    yield "thinking", escape(self._held[:certain])
                self._held = self._held[certain:]
                if end is None:
                    return
                self._held = self._held.removeprefix("<|end|>")
                self._in_reasoning = False
            head = next((head for head in _HEADS if self._held.startswith(head)), "")
            if not head or self._channels == _MAX_CHANNELS:
                break
            self._channels += 1
            self._held = self._held.removeprefix(head)
            if not _HEADS[head]:
                yield self.rest()
                return
            self._in_reasoning = True
        if head or not any(head.startswith(self._held) for head in _HEADS):
            yield self.rest()

    def rest(self) -> Passage:
        """The buffered text, where nothing more can change its kind."""
        self.settled = True
        held, self._held = self._held, ""
        return ("thinking" if self._in_reasoning else "text"), escape(held)


def _partial_end(text: str) -> int:
    """How many of the last characters may be the beginning of an end."""
    last = text[-10:]
    return next((len(last) - at for at in range(len(last)) if any(end.startswith(last[at:]) for end in _ENDS)), 0)
