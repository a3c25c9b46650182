"""What a model turns out not to have: images, documents, a system message in the middle, answers in a schema.

A dialect is what is known of a kind of server; its models differ, and an operator may not have said so.  The refusal
does, and it corrects the call (`learnt`): the conversation is written as for a dialect that lacks it.
Handed on instead, it would end the conversation: Claude Code asks for the same again, six times, and the image that it
has read stays in everything that it sends from then on.

Only a sentence about the model counts, not one about this image or that schema, and only where it stands at the
beginning of the error: servers quote requests behind it, and a request says what its author likes.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import msgspec

from asgi_llmgate.protocol.servers.dialects import Dialect

Capability: TypeAlias = Literal["images", "documents", "mid_system", "same_role_twice", "json_schema"]

_STATUSES = frozenset({400, 404, 422, 500})
"""404 is OpenRouter's, 500 llama.cpp's."""

_LOOK_AT = 400
"""Characters of an error that can teach a lack."""

_SAID: Mapping[Capability, str] = MappingProxyType(
    {
        "images": r"image_url is only supported by certain models"  # OpenAI
        r"|not a multimodal model|at most 0 image"  # vLLM
        r"|image input is not supported"  # llama.cpp
        r"|missing data required for image input"  # Ollama
        r"|endpoints found that support image input"  # OpenRouter
        r"|unknown variant `image_url`"  # DeepSeek
        r"|does(?: not|n't) support (?:images?|vision|image inputs?|multimodal)\b",
        "documents": r"invalid value: 'file'"  # OpenAI
        r"|unknown part type: file"  # vLLM
        r"|unknown variant `file`"
        r"|endpoints found that support (?:file|pdf)"
        r"|does(?: not|n't) support (?:files?|pdfs?|documents?|file inputs?|file content types?|pdf inputs?)\b",
        "mid_system": r"system message must be (?:at the beginning|(?:the )?first)|only one system message"
        r"|roles must alternate",
        "same_role_twice": r"roles must alternate",
        "json_schema": r"'response_format' of type 'json_schema' is not supported"  # OpenAI
        r"|this response_format type is unavailable"  # DeepSeek
        r"|does(?: not|n't) support (?:json_schema|structured outputs?)\b",
    }
)
_PATTERNS: Mapping[Capability, re.Pattern[str]] = MappingProxyType(
    {lack: re.compile(words, re.IGNORECASE | re.ASCII) for lack, words in _SAID.items()}
)

_WITHOUT: Mapping[Capability, Mapping[str, Any]] = MappingProxyType(
    {
        "images": {"images": "none"},
        "documents": {"pdf": "none"},
        "mid_system": {"mid_system": "user"},
        "same_role_twice": {"alternate_roles": True},
        "json_schema": {"response_format": "none"},
    }
)


def missing_capabilities(status: int, error_text: str) -> Iterable[tuple[tuple[int, int], frozenset[Capability]]]:
    """What the refusal says that the model does not have, each with the place of the words that say it."""
    if status not in _STATUSES:
        return ()
    text, found = error_text[:_LOOK_AT], defaultdict[tuple[int, int], set[Capability]](set)
    for lack, pattern in _PATTERNS.items():
        if (match := pattern.search(text)) is not None:
            found[match.span()].add(lack)
    return [(span, frozenset(missing)) for span, missing in found.items()]


def without_capabilities(dialect: Dialect, missing: frozenset[Capability]) -> Dialect:
    """The row for a model that lacks this."""
    return _fitted(dialect, missing) if missing else dialect


@lru_cache(maxsize=1024)
def _fitted(dialect: Dialect, missing: frozenset[Capability]) -> Dialect:
    columns = {column: value for lack in missing for column, value in _WITHOUT[lack].items()}
    return msgspec.structs.replace(dialect, **columns)
