"""The declared tool that a model means with a name that is not declared.

Models put their own syntax around names, and servers cut it off wrongly: gpt-oss' `Bash<|channel|>commentary`
(vllm#32587, openai/harmony#114), `functions.Bash`, Gemini's `default_api:Bash`.  A name is changed only where the
result is a declared one; any other goes to the client as it is, which tells the model that there is no such tool.
"""

from __future__ import annotations

import re

import msgspec

from asgi_llmgate.protocol.rawjson.strings import escape


class _Function(msgspec.Struct):
    name: str


class _Tool(msgspec.Struct):
    function: _Function


_tools_decoder = msgspec.json.Decoder(list[_Tool])

_TOKENS = re.compile(r"<\|.*", re.DOTALL)
"""Special tokens, and all that follows the first."""

_NAMESPACE = re.compile(r".*[.:/]", re.DOTALL)


def declared_name(name: str, tools: bytes) -> str:
    """`tools`: what was declared to the model server, as JSON."""
    if b'"name":"%b"' % escape(name) in tools:
        return name
    declared = {tool.function.name for tool in _tools_decoder.decode(tools)}
    bare = _TOKENS.sub("", name).strip()
    for found in (bare, _NAMESPACE.sub("", bare)):
        if found in declared:
            return found
    # Another case, where it can be only one.
    alike = [known for known in declared if known.lower() == bare.lower()]
    return alike[0] if len(alike) == 1 else name
