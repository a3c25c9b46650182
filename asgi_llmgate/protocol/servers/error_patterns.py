"""Errors that a client acts on, recognised in the words of each model server and said in the words that it knows.

Claude Code reads error texts.  `prompt is too long: N tokens > M maximum` makes it compact the conversation, ``input
length and `max_tokens` exceed context limit: A + B > C`` makes it ask for less, and `capability_rejected: <token>`
makes it leave something out and try again.  Every server says these things differently; a wording that is not listed
here reaches the client as it is, and the client does nothing.
"""

from __future__ import annotations

import re

from asgi_llmgate.protocol.servers import context_window

_IN_PARTS = re.compile(  # OpenAI, Azure, DeepSeek, vLLM before 0.9, OpenRouter
    r"maximum context length is (?P<limit>\d+) tokens\W+however,? you requested (?:about )?\d+ tokens "
    r"\((?P<parts>[^)]*)\)"
)
_PART = re.compile(r"(\d+)([^\d,;]*)")

_NUMBERS = tuple(
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
        # a sum that nobody explains
        r"maximum context length is (?P<limit>\d+) tokens.*?requested (?:about )?(?P<prompt>\d+) tokens",
    )
)

_OVERFLOW = re.compile(
    r"context_length_exceeded|exceed_context_size_error|model_max_prompt_tokens_exceeded|contextwindowexceedederror"
    r"|maximum context length|maximum prompt length|maximum model length|maximum context limit"
    r"|exceed\w*[^.]{0,40}context (?:size|window|length|limit)|context (?:window|length) exceed|longer than the model"
    r"|prompt (?:is )?too long|input (?:is|token length) too long|prompt exceeds max length|input tokens exceed"
    r"|exceeds the maximum number of tokens allowed|exceeded model token limit|range of input length should be"
    r"|reduce the length of the (?:messages|prompt|input)|`inputs` tokens \+ `max_new_tokens` must be"
    r"|but model only supports up to|tokens in request more than max tokens allowed"
)
_NO_OVERFLOW = re.compile(r"string too long|expected maxlength|policy_blocked|dlp_request_denied")

_CAPABILITIES = tuple(
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

_COMMA_IN_NUMBER = re.compile(r"(?<=\d),(?=\d{3}\b)")


def overflow_message(text: str, codes: str = "") -> str | None:
    """The message that says that the conversation does not fit, if that is what `text`, or an error code among `codes`,
    says; None otherwise."""
    words = _COMMA_IN_NUMBER.sub("", f"{text} {codes}".lower())
    numbers = _numbers(words)
    if numbers is not None:
        prompt, output, limit = numbers
        if prompt > limit:
            return f"prompt is too long: {prompt} tokens > {limit} maximum"
        if 0 < output <= context_window.MIN_OUTPUT_TOKENS:  # less can hardly be asked for
            return f"prompt is too long: {prompt} tokens > {limit - output} maximum"
        if output:
            return f"input length and `max_tokens` exceed context limit: {prompt} + {output} > {limit}"
    elif not _OVERFLOW.search(words) or _NO_OVERFLOW.search(words):
        return None
    return f"prompt is too long (capability_rejected: prompt_too_long): {text}"


def capability_token(text: str) -> str | None:
    """The token of the feature that `text` refuses."""
    words = text.lower()
    return next((token for pattern, token in _CAPABILITIES if pattern.search(words)), None)


def _numbers(words: str) -> tuple[int, int, int] | None:
    """Tokens of the prompt, tokens of the answer (0 where nobody says), and the limit for both."""
    counted = context_window.read_prompt_count(words)
    if counted.tokens:
        return counted.tokens, counted.output, counted.window
    if found := _IN_PARTS.search(words):
        prompt = output = 0
        for count, what in _PART.findall(found["parts"]):
            if "completion" in what or "output" in what:
                output += int(count)
            else:
                prompt += int(count)
        return prompt, output, int(found["limit"])
    for pattern in _NUMBERS:
        if found := pattern.search(words):
            return int(found["prompt"]), int(found.groupdict().get("output") or 0), int(found["limit"])
    return None
