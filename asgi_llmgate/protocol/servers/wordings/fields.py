"""A field of the request, or its value, is not accepted."""

from __future__ import annotations

import re

from asgi_llmgate.protocol.servers.wordings.flags import FLAGS

_FIELD = (
    r"(?:\b(stream_options|parallel_tool_calls|reasoning_effort|chat_template_kwargs|prompt_cache_key|top_[kp])\b"
    r"|['`](temperature|stop)['`])"
)
_COMPLAINT = (
    r"(?:not support|unsupported|not (?:permitted|allowed)|unrecognized|unknown|unexpected"
    r"|extra_forbidden|literal_error)"  # pydantic's
)

REFUSED_FIELD = re.compile(
    rf"{_FIELD}.{{0,60}}?(?P<telling>{_COMPLAINT})|(?P<telling2>{_COMPLAINT}).{{0,60}}?{_FIELD}", FLAGS
)
"""`corrections`: a field of the request is not accepted.  Field and complaint stand close together: servers also quote
whole requests, which name every field, in errors about one of them."""

REFUSED_FIELD_TEXTS = (
    ("does not support thinking", "reasoning_effort"),  # Ollama
    ("chat_template is not supported", "chat_template_kwargs"),  # Mistral's tokenizers in vLLM
    ("Reasoning is mandatory", "reasoning"),  # OpenRouter
)
"""`corrections`: the same without the field's name; the field is beside the text."""

KNOWN_EFFORTS = re.compile(  # OpenAI; vLLM
    r"reasoning_effort\b.{0,80}?(?P<telling>(?:supported values are:|input should be)"
    r" (?:['`]\w+['`](?:,? and |,? or |, )?)+)",
    FLAGS,
)
"""`corrections`: the values of `reasoning_effort` that the model accepts."""
