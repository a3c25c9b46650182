"""The model does not have a capability: errors that correct the request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

from asgi_llmgate.lazy_pattern import lazy_pattern

Capability: TypeAlias = Literal[
    "images",
    "documents",
    "json_schema",
    "unstreamed_thinking",
    "thinking_with_tools",
    # what `wordings.conversation` is about
    "developer",
    "system",
    "mid_system",
    "same_role_twice",
    "user_after_tool",
    "calls_at_once",
    "null_content",
    "empty_content",
    "content_parts",
    "plain_prefill",
    "prefill",
    # what `wordings.history` is about
    "long_ids",
    "ids_over_40",
    "free_ids",
    "repeated_ids",
    "unsigned_calls",
    "calls_without_details",
    "calls_without_reasoning",
    "reasoning_in_history",
]

MISSING_CAPABILITIES: Mapping[Capability, re.Pattern[str]] = MappingProxyType(
    {
        "images": lazy_pattern(
            r"image_url is only supported by certain models"  # OpenAI
            r"|not a multimodal model|at most 0 image"  # vLLM
            r"|image inputs? (?:is |are )?not (?:supported|enabled|available)"  # llama.cpp, Mistral, Moonshot, xAI
            r"|images? (?:content|parts?|understanding|input modality) (?:is|are) not (?:supported|enabled)"  # Gemini
            r"|not supported for vision"  # GitHub Copilot
            r"|(?:cannot|can't|unable to) (?:process|see|read|handle|accept) images\b"
            r"|input should be 'text'.{0,120}image_url"  # pydantic
            r"|images are not (?:supported|enabled|allowed)"
            r"|multi-?modal (?:processing|data|inputs?) (?:is|are) not (?:supported|enabled)"  # TensorRT-LLM, NIM
            r"|not compiled for multimodal"  # llama.cpp before 2025, llamafile
            r"|missing data required for image input"  # Ollama
            r"|endpoints found that support image input"  # OpenRouter
            r"|contain image_url, which this model cannot process"  # DashScope
            r"|unknown variant `image_url`"  # DeepSeek
            r"|(?:unsupported|unknown|invalid) content (?:part )?type:? [^.]{0,40}\bimage_url\b"
            r"|content type ['`\"\\]{0,3}image_url['`\"\\]{0,3} is not supported"
            r"|messages\.content\.type.{0,120}\['text'\]"  # Zhipu, also with escaped Chinese
            r"|parameter messages\.content\.type specified in the request are not valid"  # Volcengine
            r"|does(?: not|n't) support (?:the )?(?:images?|vision|image (?:inputs?|content)|multimodal)\b",
            re.IGNORECASE | re.ASCII,
        ),
        "documents": lazy_pattern(
            r"invalid value: 'file'"  # OpenAI
            r"|unknown part type: file"  # vLLM
            r"|unknown variant `file`"
            r"|endpoints found that support (?:file|pdf)"
            r"|does(?: not|n't) support (?:files?|pdfs?|documents?|file inputs?|file content types?|pdf inputs?)\b",
            re.IGNORECASE | re.ASCII,
        ),
        "json_schema": lazy_pattern(
            r"'response_format' of type 'json_schema' is not supported"  # OpenAI
            r"|this response_format type is unavailable"  # DeepSeek
            r"|does(?: not|n't) support (?:json_schema|structured outputs?)\b",
            re.IGNORECASE | re.ASCII,
        ),
    }
)
"""`capabilities`: the model does not have this at all.  Narrower than CAPABILITY_TOKENS, because a match changes the
request: it must be a sentence about the model, not about this image or that schema."""

IMAGE_FORMAT = lazy_pattern(
    r"(?:type|format)s?:? [`'\"\\]{0,3}image/|\bimage/(?:tiff|bmp|heic|avif|svg)", re.IGNORECASE | re.ASCII
)
"""The error is about the format of one image."""
