"""Syntaxes whose calls are JSON: Hermes and Qwen, Llama, Mistral, LM Studio.

A body is what comes after the opening words of a call (`parser`).
"""

from __future__ import annotations

from asgi_llmgate.lazy_pattern import lazy_pattern
from asgi_llmgate.protocol.chat.leaked_calls.found import CALL_FIELDS, FoundCalls
from asgi_llmgate.protocol.chat.leaked_calls.reader import Reader, Steps

_BEGINS = lazy_pattern(r"\s*(?:\[\s*)?(?:\{\s*(?:\"|$)|$)")
_FIRST_FIELD = lazy_pattern(r"[\s\[]*\{\s*\"([^\"\\]*)\"(?:\s*:\s*\"([^\"\\]*)\")?")


def objects(reader: Reader, found: FoundCalls) -> Steps[None]:
    """`{"name": ..., "arguments": {...}}`: one, or several after one another, or a list of them.

    Llama writes `parameters`, and `;` between calls: github.com/meta-llama/llama-models, models/llama3_1
    """
    while True:
        yield from reader.skip_space()
        is_list = (yield from reader.peek()) == "["
        text = yield from reader.json(lambda beginning: _may_be_call(found, beginning))
        if is_list:
            found.add_list(text)
        else:
            found.add_object(text)
        yield from reader.skip_space()
        yield from reader.optional((";", ","))
        yield from reader.skip_space()
        if (yield from reader.peek()) != "{":
            return


def mistral(reader: Reader, found: FoundCalls) -> Steps[None]:
    """`[TOOL_CALLS]` and a list of calls, or `name[ARGS]{...}`, also with `[CALL_ID]id` or without `[ARGS]`.

    github.com/mistralai/mistral-common, tokens/tokenizers/instruct.py (v3, v7, v11, v13)
    """
    yield from reader.skip_space()
    if (yield from reader.peek()) in ("[", "{"):
        yield from objects(reader, found)
        return
    name = found.tools.resolve((yield from reader.name()))
    has_id = yield from reader.optional(("[CALL_ID]",))
    call_id = (yield from reader.name()) if has_id else ""
    yield from reader.optional(("[ARGS]",))
    yield from reader.skip_space()
    found.add(name, (yield from reader.json()), call_id)


def _may_be_call(found: FoundCalls, beginning: str) -> bool:
    """Whether enough of an object has been seen.  Raises ValueError where it is not a call of a declared tool."""
    if not _BEGINS.match(beginning):
        raise ValueError("not a call")
    first = _FIRST_FIELD.match(beginning)
    if first is None:
        return False
    if first[1] not in CALL_FIELDS:
        raise ValueError("not a call")
    if first[1] != "name":
        return True
    if first[2] is None:
        return False
    found.tools.resolve(first[2])
    return True
