"""The prompt, or prompt and output together, do not fit into the context window."""

from __future__ import annotations

import re

from asgi_llmgate.protocol.servers.wordings.flags import FLAGS

WINDOWS = tuple(
    re.compile(pattern, FLAGS)
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
"""`errors.actionable`: the prompt is too long; `parts` lists numbers and what each one counts."""

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
"""`errors.actionable`: the prompt is too long, with numbers.  In lower case, without commas in numbers."""

OVERFLOW = re.compile(
    r"context_length_exceeded|exceed_context_size_error|model_max_prompt_tokens_exceeded|contextwindowexceedederror"
    r"|maximum context length|maximum prompt length|maximum model length|maximum context limit"
    r"|exceed\w*[^.]{0,40}context (?:size|window|length|limit)|context (?:window|length) exceed|longer than the model"
    r"|prompt (?:is )?too long|input (?:is|token length) too long|prompt exceeds max length|input tokens exceed"
    r"|exceeds the maximum number of tokens allowed|exceeded model token limit|range of input length should be"
    r"|reduce the length of the (?:messages|prompt|input)|`inputs` tokens \+ `max_new_tokens` must be"
    r"|but model only supports up to|tokens in request more than max tokens allowed"
)
"""`errors.actionable`: the prompt is too long, without numbers."""

NOT_OVERFLOW = re.compile(r"string too long|expected maxlength|policy_blocked|dlp_request_denied")
"""What OVERFLOW matches but means something else."""
