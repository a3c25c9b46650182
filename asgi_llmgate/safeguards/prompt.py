"""The classifier's prompt: what it is told, and what it sees of the conversation and of the calls.

    system    texts/frame.txt, which says what the data and the answer are; then the instructions, which say what is to
              be flagged: texts/instructions.txt, or the company's own file
    user      a line of JSON for what restricts the agent, one for each text of the person, one for the calls

What seldom changes comes first, and what is there is not written anew: so a server's prompt cache serves all but the
last line of it.  Data is text in JSON strings, in which also `<`, `[INST]` and invisible characters are escaped: it can
neither end its string nor be a special token of a chat template.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from asgi_llmgate.exchange_values import ToolUse
from asgi_llmgate.protocol.messages.request import MessagesRequest, decode_messages
from asgi_llmgate.protocol.rawjson.objects import to_json
from asgi_llmgate.safeguards.answer import SCHEMA

MAX_TURNS = 12
"""Texts of the person beside the first one."""

_STEP = 6
"""Texts that go at a time when there are more: so the rest stays what it was for some turns, for the prompt cache."""

MAX_TURN = 2000
"""Characters of a text of the person."""

MAX_INPUT = 12_000
"""Characters of the input of one call."""

MAX_INPUTS = 48_000
"""Characters of the inputs of all calls."""

MAX_CALLS = 32

_MAX_NAME = 200

_ESCAPED = re.compile(
    r"[<>\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb"
    r"\ud800-\udfff\U000e0000-\U000e01ef]|\[(?=/?[A-Z_]+\])"
)


@dataclass(frozen=True, slots=True, repr=False)
class Question:
    """What the classifier is asked.

    ids    of the calls, in their order: numbers, since a model server could write anything into its own
    cut    those of calls that the question does not show whole
    """

    ids: Sequence[str]
    cut: Set[str]
    lines: Sequence[str]

    @classmethod
    def about(
        cls, calls: Sequence[ToolUse], person: Sequence[str], restrictions: Mapping[str, Any] | None = None
    ) -> Question:
        """`person` are the texts of the person, oldest first."""
        ids = [str(number) for number, _ in enumerate(calls, 1)]
        described = []
        left = MAX_INPUTS
        for id, call in zip(ids, calls[:MAX_CALLS], strict=False):
            described.append(_describe(id, call, min(left, MAX_INPUT)))
            left = max(0, left - len(call.input))
        lines = [_line({"restrictions": restrictions})] if restrictions else []
        lines += [_line(_shorten({"person": text}, "person", MAX_TURN)) for text in _window(person)]
        lines.append(_line({"calls": described}))
        cut = {each["id"] for each in described if "cut" in each}
        return cls(ids, cut.union(ids[MAX_CALLS:]), lines)

    def request(self, instructions: str, model: str, *, plain: bool = False) -> MessagesRequest:
        """The request to the model.  `plain`: without fields that a server may refuse."""
        lines: list[dict[str, Any]] = [{"type": "text", "text": line} for line in self.lines]
        if len(lines) > 1:
            lines[-2]["cache_control"] = _CACHED
        body: dict[str, Any] = {
            "model": model,
            "max_tokens": 4096 + 256 * len(self.ids),  # a model that thinks all the same needs room for it
            "system": [{"type": "text", "text": f"{read_text('frame')}\n{instructions}", "cache_control": _CACHED}],
            "messages": [{"role": "user", "content": lines}],
        }
        if not plain:
            body["thinking"] = {"type": "disabled"}
            body["output_config"] = {"format": {"type": "json_schema", "schema": SCHEMA}}
        return decode_messages(to_json(body))


_CACHED = {"type": "ephemeral"}


@cache
def read_text(name: Literal["frame", "instructions"]) -> str:
    """A text of the package."""
    return (Path(__file__).parent / "texts" / f"{name}.txt").read_text("utf-8")


def _window(texts: Sequence[str]) -> Iterable[str]:
    """The first text, and the last ones."""
    first, rest = texts[:1], texts[1:]
    over = max(0, len(rest) - MAX_TURNS)
    return [*first, *rest[-(-over // _STEP) * _STEP :]]


def _describe(id: str, call: ToolUse, limit: int) -> dict[str, Any]:
    """A call.  An input that is too long, or is no JSON, is shown as text."""
    shown = _shorten({"id": id, "tool": call.name}, "tool", _MAX_NAME)
    if len(call.input) <= limit:
        try:
            return {**shown, "input": json.loads(call.input)}
        except (ValueError, RecursionError):
            pass
    return _shorten({**shown, "input": call.input.decode("utf-8", "replace")}, "input", limit)


def _shorten(values: dict[str, Any], name: str, limit: int) -> dict[str, Any]:
    """The same with no more than `limit` characters of `values[name]`: its two ends, and how much is between them."""
    text = values[name]
    left_out = len(text) - limit
    if left_out <= 0:
        return values
    half = limit // 2
    end = text[len(text) - half :]
    return {**values, name: text[:half], f"{name}_end": end, "cut": values.get("cut", 0) + len(text) - 2 * half}


def _line(value: Mapping[str, Any]) -> str:
    return _ESCAPED.sub(_escape, json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    return f"\\u{ord(character):04x}" if character < "\x7f" else json.dumps(character)[1:-1]
