"""The syntaxes of tool calls, by the words with which they open.

A leaked call is the end of a text: after it come more calls, closing words and end tokens, or nothing.  `LeakParser`
reads such an end of a text piece by piece, and says as soon as it is something else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from asgi_llmgate.lazy_pattern import lazy_pattern
from asgi_llmgate.protocol.chat.leaked_calls import json_bodies, tagged_bodies, token_bodies
from asgi_llmgate.protocol.chat.leaked_calls.found import DeclaredTools, FoundCalls, LeakedCall
from asgi_llmgate.protocol.chat.leaked_calls.reader import Reader, Steps
from asgi_llmgate.protocol.chat.leaked_calls.token_bodies import DEEPSEEK_MARKS
from asgi_llmgate.protocol.rawjson.strings import DECODE_ERRORS

Body: TypeAlias = Callable[[Reader, FoundCalls], Steps[None]]


def _nothing(reader: Reader, found: FoundCalls) -> Steps[None]:
    """The body of a word that only opens a list of calls, which have opening words of their own."""
    yield from ()


_DSML_PREFIXES = tuple(f"{bar}DSML{bar}" for bar in ("｜", "|", "‖", "｜｜", "||"))
"""DeepSeek's prefix, as models write it: lsdefine/GenericAgent#804."""

OPENINGS: Mapping[str, tuple[frozenset[str], Body]] = MappingProxyType(
    {
        "<tool_call>": (frozenset({"hermes", "qwen", "glm"}), tagged_bodies.tool_call),
        # Also of Qwen2.5-Coder; llama.cpp's parser of Hermes accepts them too.
        "<tools>": (frozenset({"hermes"}), json_bodies.objects),
        "<function_call>": (frozenset({"hermes"}), json_bodies.objects),
        "<TOOLCALL>": (frozenset({"hermes"}), json_bodies.objects),  # Nemotron
        "<function=": (frozenset({"qwen", "llama"}), tagged_bodies.function),
        "<|python_tag|>": (frozenset({"llama"}), json_bodies.objects),
        "<|python_start|>": (frozenset({"llama"}), json_bodies.objects),  # Llama 4: vllm-project/vllm#16214
        "[TOOL_CALLS]": (frozenset({"mistral"}), json_bodies.mistral),
        "[TOOL_REQUEST]": (frozenset({"lmstudio"}), json_bodies.objects),  # openclaw/openclaw#66178
        "<|tool_calls_section_begin|>": (frozenset({"kimi"}), _nothing),
        "<|tool_call_section_begin|>": (frozenset({"kimi"}), _nothing),
        "<|tool_call_begin|>": (frozenset({"kimi"}), token_bodies.kimi),
        "<minimax:tool_call>": (frozenset({"minimax"}), _nothing),
        "<function_calls>": (frozenset({"minimax"}), _nothing),
        '<invoke name="': (frozenset({"minimax"}), tagged_bodies.invoke("")),
        **{
            f"<{bar}tool{space}calls{space}begin{bar}>": (frozenset({"deepseek"}), _nothing)
            for bar, space in DEEPSEEK_MARKS
        },
        **{
            f"<{bar}tool{space}call{space}begin{bar}>": (frozenset({"deepseek"}), token_bodies.deepseek)
            for bar, space in DEEPSEEK_MARKS
        },
        **{
            f"<{prefix}{word}>": (frozenset({"deepseek"}), _nothing)
            for prefix in _DSML_PREFIXES
            for word in ("function_calls", "tool_calls", "calls")
        },
        **{
            f'<{prefix}invoke name="': (frozenset({"deepseek"}), tagged_bodies.invoke(prefix))
            for prefix in _DSML_PREFIXES
        },
        **{
            f"{start}{channel} to=functions.": (frozenset({"harmony"}), token_bodies.harmony)
            for start in ("<|channel|>", "<|start|>assistant<|channel|>")
            for channel in ("commentary", "analysis")
        },
        "<|start|>assistant to=functions.": (frozenset({"harmony"}), token_bodies.harmony),
        # Without its special tokens: raullenchai/Rapid-MLX#480.
        "commentary to=functions.": (frozenset({"harmony"}), token_bodies.harmony),
        "assistantcommentary to=functions.": (frozenset({"harmony"}), token_bodies.harmony),
    }
)
"""The words that open a call, their formats, and what reads the rest."""

END_TOKENS = (
    *("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<|call|>", "<|return|>", "<|endoftext|>"),
    *("<|end_of_text|>", "<|im_sep|>", "<end_of_turn>", "<｜end▁of▁sentence｜>", "</s>"),
    *("<|observation|>", "<|user|>"),  # GLM
)
"""Tokens that end a model's turn.  A server that does not know them sends them as text."""

_CLOSINGS = (
    *(
        "</tool_call>",
        "</tools>",
        "</function_call>",
        "</TOOLCALL>",
        "<|im_start|>",
        "<|python_end|>",
        "[/TOOL_CALLS]",
        "[END_TOOL_REQUEST]",
    ),
    *("<|tool_call_end|>", "<|tool_calls_section_end|>", "<|tool_call_section_end|>"),
    *("</minimax:tool_call>", "</function_calls>"),
    *(f"<{bar}tool{space}{word}{space}end{bar}>" for bar, space in DEEPSEEK_MARKS for word in ("call", "calls")),
    *(f"</{prefix}{word}>" for prefix in _DSML_PREFIXES for word in ("function_calls", "tool_calls", "calls")),
    "<|start|>assistant",
)
"""What may stand behind a call.  None of them is required: with the last one a server may have stopped the model."""

ANYWHERE = tuple(word for word in OPENINGS if word.startswith(("<|", "<｜", "<‖", "[TOOL_CALLS]")))
"""Openings that are special tokens: they follow a sentence without a line break."""

SPOKEN_OF = (
    *("<|im_start|>", "<|start|>", "<|channel|>", "<|message|>", "<|start_header_id|>", "<tool_response>", "[INST]"),
    *OPENINGS,
)
"""Words that no text has but one that explains such things, or a call."""

MARKERS = lazy_pattern("|".join(map(re.escape, SPOKEN_OF)))

MAX_TEXT = 2**20
"""Characters of all calls of a text."""


class LeakParser:
    """Reads the end of a text that begins with one of `first`, or with a bare JSON object (`is_bare`).

    `begun`: one of its words has been read, so that the text speaks of such things in any case.
    """

    __slots__ = ("_found", "_reader", "_size", "_steps", "begun")

    def __init__(
        self, tools: DeclaredTools, formats: frozenset[str], first: Iterable[str], *, is_bare: bool = False
    ) -> None:
        self.begun = False
        self._found = FoundCalls(tools, formats)
        self._reader = Reader()
        self._size = 0
        self._steps = self._read(tuple(first), is_bare=is_bare)

    def feed(self, text: str) -> bool:
        """Read the next piece.  Returns whether the text can still be calls to its end."""
        self._size += len(text)
        self._reader.add(text)
        return self._size <= MAX_TEXT and self._advance() is not None

    def end(self) -> list[LeakedCall] | None:
        """The calls, at the end of the text: none where it is only end tokens, None where it is something else."""
        self._reader.ended = True
        return self._found.calls if self._advance() is False else None

    def _advance(self) -> bool | None:
        """Whether more text is needed; None where the text is not what it should be."""
        try:
            next(self._steps)
        except StopIteration:
            return False
        except DECODE_ERRORS:
            return None
        return True

    def _read(self, first: tuple[str, ...], *, is_bare: bool) -> Steps[None]:
        reader, found = self._reader, self._found
        choices, is_call = first, is_bare
        while True:
            word = yield from reader.optional(choices)
            if word:
                self.begun = True
            if word in OPENINGS:
                is_call = True
                formats, body = OPENINGS[word]
                if not formats & found.formats:
                    raise ValueError("a format that the dialect does not have")
                yield from body(reader, found)
            elif not word:
                if not is_bare:
                    raise ValueError("something else")
                yield from json_bodies.objects(reader, found)
            choices = _BEHIND_CALL if found.calls else _BEHIND_OPENING
            yield from reader.skip_space()
            if not (yield from reader.peek()):
                break
        if is_call and not found.calls:
            raise ValueError("no call")


_BEHIND_OPENING = (*OPENINGS, *END_TOKENS, "<|start|>assistant")
_BEHIND_CALL = (*OPENINGS, *END_TOKENS, *_CLOSINGS)
