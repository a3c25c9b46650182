"""The wordings of model servers' errors, as patterns.

This is the one place for the error texts of a new vendor.  Each table says what a match means; the modules that use it
are named beside it.  A wording that is in no table reaches the caller as it is, and nothing is corrected.

Where more than one pattern can match, the first one in the table counts; a pattern of a new vendor therefore goes
before the broad ones.  Numbers are at most nine digits where they are used for arithmetic with a request, so that a
text cannot make the gateway work with huge ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

from asgi_llmgate.errors import (
    CredentialRefused,
    Overloaded,
    QuotaExhausted,
    RequestRejected,
    UnknownModel,
    UpstreamError,
)

# Case is ignored for ASCII only: otherwise the long s would match an s, and the search for the same words in the
# request (`quotations`), which compares ASCII, would not find them.
_FLAGS = re.IGNORECASE | re.DOTALL | re.ASCII

WINDOWS = tuple(
    re.compile(pattern, _FLAGS)
    for pattern in (
        # vLLM until 2025
        r"maximum context length is (?P<window>\d{1,9}) tokens and your request has (?P<tokens>\d{1,9}) input tokens"
        r"(?: \((?P<output>\d{1,9}) >)?",
        # OpenAI, Azure, DeepSeek, OpenRouter
        r"maximum context length is (?P<window>\d{1,9}) tokens.{0,80}?\((?P<tokens>\d{1,9})"
        r" (?:in the messages|of text input)(?:, (?P<tools>\d{1,9}) of tool input)?, (?P<output>\d{1,9}) in the"
        r" (?:completion|output)",
        # vLLM
        r"maximum context length is (?P<window>\d{1,9}) tokens.{0,40}?requested (?P<output>\d{1,9}) output tokens and"
        r" your prompt contains (?P<is_lower_bound>at least )?(?P<tokens>\d{1,9}) input tokens",
        r"passed (?P<tokens>\d{1,9}) input (?P<unit>tokens|characters) and requested (?P<output>\d{1,9}) output tokens"
        r".{0,60}?only (?P<window>\d{1,9}) tokens",
        r"max_(?:completion_)?tokens=(?P<output>\d{1,9}) ?cannot be greater than max_model_len=(?:max_total_tokens=)?"
        r"(?P<window>\d{1,9})",
    )
)
"""`context_window`: prompt and output do not fit together, but the prompt may fit alone."""

OVERFLOW_IN_PARTS = re.compile(  # OpenAI, Azure, DeepSeek, vLLM before 0.9, OpenRouter
    r"maximum context length is (?P<limit>\d+) tokens\W+however,? you requested (?:about )?\d+ tokens "
    r"\((?P<parts>[^)]*)\)"
)
"""`actionable_errors`: the prompt is too long; `parts` lists numbers and what each one counts."""

OVERFLOWS = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        # OpenAI, Groq
        r"maximum context length is (?P<limit>\d+) tokens.*?resulted in (?P<prompt>\d+) tokens",
        r"configured limit of (?P<limit>\d+) tokens.*?resulted in (?P<prompt>\d+) tokens",
        # vLLM
        r"maximum context length is (?P<limit>\d+) tokens.*?requested (?P<output>\d+) output tokens"
        r".*?at least (?P<prompt>\d+) input tokens",
        r"maximum context length is (?P<limit>\d+) tokens.*?has (?P<prompt>\d+) input tokens(?: \((?P<output>\d+) >)?",
        r"passed (?P<prompt>\d+) input tokens and requested (?P<output>\d+) output tokens"
        r".*?context length is only (?P<limit>\d+)",
        r"prompt \((?:total )?length (?P<prompt>\d+)\) is (?:longer than|too long).*?length (?:of )?(?P<limit>\d+)",
        # SGLang
        r"maximum context length of (?P<limit>\d+) tokens.*?total of \d+ tokens: (?P<prompt>\d+) tokens from the input"
        r".*?and (?P<output>\d+) tokens for the completion",
        r"input \((?P<prompt>\d+) tokens\) is longer than the model's context length \((?P<limit>\d+)",
        r"input length \((?P<prompt>\d+)\) exceeds.*?length \((?P<limit>\d+)\)",
        # llama.cpp
        r"request \((?P<prompt>\d+) tokens\) exceeds the available context size \((?P<limit>\d+)",
        # TGI
        r"must be <= (?P<limit>\d+)\. given: (?P<prompt>\d+) `inputs` tokens and (?P<output>\d+)",
        # Mistral, Gemini, xAI, Moonshot, LM Studio
        r"prompt contains (?P<prompt>\d+) tokens.*?model with (?P<limit>\d+) maximum context length",
        r"token count \((?P<prompt>\d+)\) exceeds the maximum number of tokens allowed \((?P<limit>\d+)",
        r"maximum prompt length is (?P<limit>\d+) but the request contains (?P<prompt>\d+)",
        r"token limit: (?P<limit>\d+) \(requested: (?P<prompt>\d+)\)",
        r"keep the first (?P<prompt>\d+) tokens.*?context length of only (?P<limit>\d+)",
        # Anthropic, and servers that copy it
        r"prompt is too long: (?P<prompt>\d+) tokens? > (?P<limit>\d+)",
        r"exceed context limit: (?P<prompt>\d+) \+ (?P<output>\d+) > (?P<limit>\d+)",
        # any server: a sum without its parts
        r"maximum context length is (?P<limit>\d+) tokens.*?requested (?:about )?(?P<prompt>\d+) tokens",
    )
)
"""`actionable_errors`: the prompt is too long, with numbers.  In lower case, without commas in numbers."""

OVERFLOW = re.compile(
    r"context_length_exceeded|exceed_context_size_error|model_max_prompt_tokens_exceeded|contextwindowexceedederror"
    r"|maximum context length|maximum prompt length|maximum model length|maximum context limit"
    r"|exceed\w*[^.]{0,40}context (?:size|window|length|limit)|context (?:window|length) exceed|longer than the model"
    r"|prompt (?:is )?too long|input (?:is|token length) too long|prompt exceeds max length|input tokens exceed"
    r"|exceeds the maximum number of tokens allowed|exceeded model token limit|range of input length should be"
    r"|reduce the length of the (?:messages|prompt|input)|`inputs` tokens \+ `max_new_tokens` must be"
    r"|but model only supports up to|tokens in request more than max tokens allowed"
)
"""`actionable_errors`: the prompt is too long, without numbers."""

NOT_OVERFLOW = re.compile(r"string too long|expected maxlength|policy_blocked|dlp_request_denied")
"""What OVERFLOW matches but means something else."""

CAPABILITY_TOKENS = tuple(
    (re.compile(pattern, re.DOTALL), token)
    for pattern, token in (
        (r"at most [1-9]\d* image|too many images|image.{0,40}(?:too large|exceeds)", "media_budget"),
        (
            r"(?:image|vision|multimodal).{0,60}(?:not support|unsupported|not enabled|only supported by)"
            r"|(?:not support|unsupported|that support|unknown variant|unknown part type|data required for|at most 0)"
            r".{0,20}(?:image|vision|multimodal)|not a multimodal model",
            "image_block",
        ),
        (
            r"(?:\bpdf|\bfiles?\b|document).{0,40}(?:not support|unsupported)"
            r"|(?:not support|unsupported|that support|unknown variant|unknown part type)"
            r".{0,20}(?:\bpdf|\bfile|document)",
            "document_block",
        ),
        (
            r"system (?:message|role|prompt).{0,40}(?:at the beginning|not support|must be (?:the )?first)"
            r"|roles must alternate|only one system message",
            "mid_conv_system",
        ),
        (
            r"(?:response_format|json_schema|structured output).{0,80}(?:not support|unsupported|unavailable|unknown)"
            r"|(?:not support|unsupported|unknown).{0,40}(?:response_format|json_schema|structured output)",
            "structured_outputs_unsupported",
        ),
        (
            r"reasoning[_. ]effort.{0,80}(?:not support|unsupported|unrecognized|unknown|not permitted)"
            r"|(?:not support|unsupported|unrecognized|unknown).{0,40}reasoning[_. ]effort",
            "effort_unsupported",
        ),
    )
)
"""`actionable_errors`: a feature is refused; the token is Claude Code's name for it.  In lower case."""

Capability: TypeAlias = Literal["images", "documents", "mid_system", "same_role_twice", "json_schema"]

MISSING_CAPABILITIES: Mapping[Capability, re.Pattern[str]] = MappingProxyType(
    {
        "images": re.compile(
            r"image_url is only supported by certain models"  # OpenAI
            r"|not a multimodal model|at most 0 image"  # vLLM
            r"|image input is not supported"  # llama.cpp
            r"|missing data required for image input"  # Ollama
            r"|endpoints found that support image input"  # OpenRouter
            r"|unknown variant `image_url`"  # DeepSeek
            r"|does(?: not|n't) support (?:images?|vision|image inputs?|multimodal)\b",
            re.IGNORECASE | re.ASCII,
        ),
        "documents": re.compile(
            r"invalid value: 'file'"  # OpenAI
            r"|unknown part type: file"  # vLLM
            r"|unknown variant `file`"
            r"|endpoints found that support (?:file|pdf)"
            r"|does(?: not|n't) support (?:files?|pdfs?|documents?|file inputs?|file content types?|pdf inputs?)\b",
            re.IGNORECASE | re.ASCII,
        ),
        "mid_system": re.compile(
            r"system message must be (?:at the beginning|(?:the )?first)|only one system message"
            r"|roles must alternate",
            re.IGNORECASE | re.ASCII,
        ),
        "same_role_twice": re.compile(r"roles must alternate", re.IGNORECASE | re.ASCII),
        "json_schema": re.compile(
            r"'response_format' of type 'json_schema' is not supported"  # OpenAI
            r"|this response_format type is unavailable"  # DeepSeek
            r"|does(?: not|n't) support (?:json_schema|structured outputs?)\b",
            re.IGNORECASE | re.ASCII,
        ),
    }
)
"""`capabilities`: the model does not have this at all.  Narrower than CAPABILITY_TOKENS, because a match changes the
request: it must be a sentence about the model, not about this image or that schema."""

_FIELD = (
    r"(?:\b(stream_options|parallel_tool_calls|reasoning_effort|chat_template_kwargs|prompt_cache_key|top_[kp])\b"
    r"|['`](temperature|stop)['`])"
)
_COMPLAINT = (
    r"(?:not support|unsupported|not (?:permitted|allowed)|unrecognized|unknown|unexpected"
    r"|extra_forbidden|literal_error)"  # pydantic's
)

REFUSED_FIELD = re.compile(
    rf"{_FIELD}.{{0,60}}?(?P<after>{_COMPLAINT})|(?P<before>{_COMPLAINT}).{{0,60}}?{_FIELD}", _FLAGS
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
    _FLAGS,
)
"""`corrections`: the values of `reasoning_effort` that the model accepts."""

OTHER_MAX_TOKENS_FIELD = re.compile(r"use ['`]?(max_tokens|max_completion_tokens)['`]? instead", _FLAGS)
"""`corrections`: the name of the limit.  OpenAI and Azure say so for reasoning models; Azure's deployments have names
that do not tell the model."""

OUTPUT_LIMIT = re.compile(
    r"supports? at most (\d{1,9}) (?:completion|output) tokens"
    r"|max_tokens: \d+ > (\d{1,9})"
    r"|max_(?:completion_)?tokens\b.{0,60}?\[1, ?(\d{1,9})\]"
    r"|max_(?:completion_)?tokens\b.{0,60}?(?:less than or equal to|<=|at most|cannot exceed) ?[`']?(\d{1,9})",
    _FLAGS,
)
"""`corrections`: the most output tokens of the model."""

IMAGE_LIMIT = re.compile(r"at most ([1-9]\d?) image", _FLAGS)
"""`corrections`: images per request; vLLM's `--limit-mm-per-prompt`."""

ERROR_RULES: tuple[tuple[frozenset[int], re.Pattern[str], type[UpstreamError]], ...] = tuple(
    (frozenset(statuses), re.compile(pattern, re.DOTALL), error)
    for statuses, pattern, error in (
        (
            (400, 403, 429),
            r"insufficient_quota|billing_(?:hard_limit|not_active)|exceeded your current quota|insufficient balance"
            r"|insufficient credits|credit balance|key limit exceeded|arrearage",
            QuotaExhausted,
        ),
        ((403,), r"moderation|flagged|content[_ ]?(?:filter|policy)", RequestRejected),
        # LiteLLM 1.108.7 looks up an unknown key in a database, and says so where it has none.
        ((400,), r"invalid_api_key|api key not valid|incorrect api key|no_db_connection", CredentialRefused),
        ((404,), r"no endpoints found that support", RequestRejected),
        (
            (400, 404, 422),
            r"model_not_found|deploymentnotfound|not a valid model|no such model|invalid model\b|no endpoints found for"
            r"|(?:model|deployment)\b:? ?(?:[`'\"][^`'\"]{1,200}[`'\"]|\S{1,200})? ?"
            r"(?:was |is |does )?not (?:found|exist|available)",
            UnknownModel,
        ),
        ((400, 500), r"loading model|model is (?:still |currently )?loading", Overloaded),
        # llama.cpp: its chat template refuses the messages.
        ((500,), r"mmproj|system message must be|roles must alternate", RequestRejected),
    )
)
"""`upstream_errors`: what a text with one of these statuses means, where the status alone would mean something else.
Text and codes in lower case."""

UNKNOWN_MODEL_NAME = re.compile(
    r"(?:model|deployment)\b[^`'\"]{0,40}[`'\"]([^`'\"\s]{1,200})[`'\"]|(\S{1,200}) is not a valid model"
    r"|invalid model name passed in model=(\S{1,200}?)\.?(?:\s|$)",  # LiteLLM 1.108.7
    re.IGNORECASE,
)
"""`upstream_errors`: the name of the model in an error that says that there is none."""
