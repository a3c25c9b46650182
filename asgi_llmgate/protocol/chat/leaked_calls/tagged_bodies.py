"""Syntaxes whose arguments are tags: Qwen's XML, GLM, MiniMax, DeepSeek's DSML.

Values are texts that are not escaped; the schema says which of them are strings.
"""

from __future__ import annotations

from collections.abc import Callable

from asgi_llmgate.protocol.chat.leaked_calls.found import FoundCalls
from asgi_llmgate.protocol.chat.leaked_calls.json_bodies import objects
from asgi_llmgate.protocol.chat.leaked_calls.reader import MAX_NAME, Reader, Steps


def tool_call(reader: Reader, found: FoundCalls) -> Steps[None]:
    """`<tool_call>`: JSON (Hermes, Qwen 2.5 and 3), `<function=` (Qwen3-Coder, Qwen 3.5) or a name (GLM)."""
    yield from reader.skip_space()
    first = yield from reader.peek()
    if first in ("{", "["):
        found.require("hermes")
        yield from objects(reader, found)
    elif first == "<":
        yield from reader.literal("<function=")
        yield from function(reader, found)
    else:
        found.require("glm")
        yield from glm(reader, found)


def function(reader: Reader, found: FoundCalls) -> Steps[None]:
    """`<function=name>`: `<parameter=key>value</parameter>` and so on (Qwen), or a JSON object (Llama).

    github.com/vllm-project/vllm, tool_parsers/qwen3coder_tool_parser.py
    """
    name = found.tools.resolve((yield from reader.name()))
    yield from reader.literal(">")
    yield from reader.skip_space()
    if (yield from reader.peek()) == "{":
        found.require("llama")
        found.add(name, (yield from reader.json()))
        yield from reader.skip_space()
        yield from reader.optional(("</function>",))
        return
    found.require("qwen")
    values: list[tuple[str, str, bool | None]] = []
    while (yield from reader.literal("<parameter=", "</function>")) != "</function>":
        key = yield from reader.until(">", limit=MAX_NAME)
        text = yield from reader.value("</parameter>", ("<parameter=", "</function>"))
        values.append((key.strip(), _without_line_breaks(text), None))
    found.add_values(name, values)


def glm(reader: Reader, found: FoundCalls) -> Steps[None]:
    """`name`, then `<arg_key>key</arg_key>` and `<arg_value>value</arg_value>` and so on, `</tool_call>`.

    huggingface.co/zai-org/GLM-4.6, chat_template.jinja
    """
    name = found.tools.resolve((yield from reader.name()))
    values: list[tuple[str, str, bool | None]] = []
    while True:
        yield from reader.skip_space()
        if (yield from reader.literal("<arg_key>", "</tool_call>")) == "</tool_call>":
            break
        key = yield from reader.until("</arg_key>", limit=MAX_NAME)
        yield from reader.skip_space()
        yield from reader.literal("<arg_value>")
        text = yield from reader.value("</arg_value>", ("<arg_key>", "</tool_call>"))
        values.append((key.strip(), text, None))
    found.add_values(name, values)


def invoke(prefix: str) -> Callable[[Reader, FoundCalls], Steps[None]]:
    """`<invoke name="name">`, `<parameter name="key">value</parameter>` and so on, `</invoke>`.

    That is MiniMax; DeepSeek has `prefix` in each tag.

    huggingface.co/MiniMaxAI/MiniMax-M2, docs/tool_calling_guide.md;
    huggingface.co/deepseek-ai/DeepSeek-V3.2, encoding/README.md
    """
    parameter, end = f'<{prefix}parameter name="', f"</{prefix}invoke>"

    def body(reader: Reader, found: FoundCalls) -> Steps[None]:
        name = found.tools.resolve((yield from reader.name()))
        yield from reader.literal('">')
        yield from reader.skip_space()
        values: list[tuple[str, str, bool | None]] = []
        while (yield from reader.literal(parameter, end)) != end:
            key = yield from reader.until('"', limit=MAX_NAME)
            attributes = yield from reader.until(">", limit=MAX_NAME)
            text = yield from reader.value(f"</{prefix}parameter>", (parameter, end))
            # DSML says of each value whether it is a string, and then the text is exact.
            stated = 'string="' in attributes
            is_string = 'string="true"' in attributes if stated else None
            values.append((key.strip(), text if stated else _without_line_breaks(text), is_string))
        found.add_values(name, values)

    return body


def _without_line_breaks(text: str) -> str:
    """Without the line breaks that the template puts around a value."""
    return text.removeprefix("\n").removesuffix("\n")
