"""Syntaxes of special tokens: Kimi, DeepSeek V3 and R1, gpt-oss."""

from __future__ import annotations

import re

from asgi_llmgate.protocol.chat.leaked_calls.found import FoundCalls
from asgi_llmgate.protocol.chat.leaked_calls.reader import Reader, Steps

_NUMBER = re.compile(r":\d+$")

DEEPSEEK_MARKS = (("｜", "▁"), ("｜", "_"), ("｜", " "), ("|", "▁"))
"""Bars and spaces of DeepSeek's tokens.  Models write them in several ways: llama.cpp, common/chat.cpp."""

_SEPARATORS = tuple(f"<{bar}tool{space}sep{bar}>" for bar, space in DEEPSEEK_MARKS)

_HARMONY_HEADER = (
    *("<|channel|>commentary", "<|channel|>analysis", "<|constrain|>json", "<|constrain|>", "json", "code"),
    "<|message|>",
)


def kimi(reader: Reader, found: FoundCalls) -> Steps[None]:
    """`functions.name:0<|tool_call_argument_begin|>{...}`; what stands in front is the call's id.

    huggingface.co/moonshotai/Kimi-K2-Instruct, docs/tool_call_guidance.md
    """
    call_id = yield from reader.name()
    name = found.tools.resolve(_NUMBER.sub("", call_id))
    yield from reader.skip_space()
    yield from reader.literal("<|tool_call_argument_begin|>")
    yield from reader.skip_space()
    found.add(name, (yield from reader.json()), call_id)


def deepseek(reader: Reader, found: FoundCalls) -> Steps[None]:
    """`name<｜tool▁sep｜>{...}` (V3.1), or `function<｜tool▁sep｜>name` and the JSON in a fence (V3, R1).

    github.com/vllm-project/vllm, tool_parsers/deepseekv3_tool_parser.py and deepseekv31_tool_parser.py
    """
    name = yield from reader.name()
    yield from reader.skip_space()
    yield from reader.literal(*_SEPARATORS)
    yield from reader.skip_space()
    if (yield from reader.peek()) != "{":
        name = yield from reader.name()
    name = found.tools.resolve(name)
    yield from reader.skip_space()
    fence = yield from reader.optional(("```json",))
    yield from reader.skip_space()
    arguments = yield from reader.json()
    yield from reader.skip_space()
    if fence:
        yield from reader.optional(("```",))
    found.add(name, arguments)


def harmony(reader: Reader, found: FoundCalls) -> Steps[None]:
    """`name <|constrain|>json<|message|>{...}`: what follows `to=functions.`

    cookbook.openai.com/articles/openai-harmony
    """
    name = found.tools.resolve((yield from reader.name()))
    yield from reader.skip_space()
    while (yield from reader.optional(_HARMONY_HEADER)):
        yield from reader.skip_space()
    found.add(name, (yield from reader.json()))
