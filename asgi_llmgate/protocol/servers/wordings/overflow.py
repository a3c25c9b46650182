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
        # SGLang
        r"maximum context length of (?P<window>\d{1,9}) tokens.{0,60}?: (?P<tokens>\d{1,9}) tokens from the input"
        r" messages and (?P<output>\d{1,9}) tokens for the completion",
        # TGI, Together
        r"`max_new_tokens` must be <= (?P<window>\d{1,9})\. given: (?P<tokens>\d{1,9}) `inputs`? tokens and"
        r" (?P<output>\d{1,9})",
        # Cloudflare, SiliconFlow, Cerebras: a sum without its parts
        r"current length is \d{1,9} while limit is (?P<window>\d{1,9})",
        r"input and maximum output tokens \(\d{1,9}\) exceeded this model context window limit \((?P<window>\d{1,9})",
        r"max_total_tokens \(\d{1,9}\) must be less than or equal to max_seq_len \((?P<window>\d{1,9})",
        # Anthropic
        r"exceed context limit: (?P<tokens>\d{1,9}) \+ (?P<output>\d{1,9}) > (?P<window>\d{1,9})",
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
        r"input prompt \((?P<prompt>\d+) tokens\) is too long and exceeds (?:the )?(?:limit|capacity) of"
        r" (?P<limit>\d+)",
        r"prompt length (?P<prompt>\d+) exceeds the max_model_len (?P<limit>\d+)",
        # SGLang, Together
        r"maximum context length of (?P<limit>\d+) tokens.*?total of \d+ tokens: (?P<prompt>\d+) tokens from the input"
        r".*?and (?P<output>\d+) tokens for the completion",
        r"input \((?P<prompt>\d+) tokens\) is longer than the model's context length \((?P<limit>\d+)",
        r"input length \((?P<prompt>\d+)(?: tokens)?\) exceeds.*?length \((?P<limit>\d+)(?: tokens)?\)",
        # llama.cpp, llama-cpp-python, ds4
        r"request \((?P<prompt>\d+) tokens\) exceeds the available context size \((?P<limit>\d+)",
        r"requested tokens \((?P<prompt>\d+)\) exceed context window of (?P<limit>\d+)",
        r"prompt has (?P<prompt>\d+) tokens?, but the configured context size is (?P<limit>\d+)",
        # TGI
        r"must be <= (?P<limit>\d+)\. given: (?P<prompt>\d+) `inputs`? tokens and (?P<output>\d+)",
        r"inputs`? must have less than (?P<limit>\d+) tokens\. given: (?P<prompt>\d+)",
        # TensorRT-LLM: also with a limit for one batch
        r"prompt length \((?P<prompt>\d+)(?:\.\d+)?\) exceeds maximum (?:sequence|input) length \((?P<limit>\d+)",
        r"prompt length \((?P<prompt>\d+)(?:\.\d+)?\), query length \(\d+\) should not exceed max_num_tokens"
        r" \((?P<limit>\d+)",
        # Mistral, Gemini, Vertex, xAI, Moonshot
        r"prompt contains (?P<prompt>\d+) tokens.*?model with (?P<limit>\d+) maximum context length",
        r"token count \((?P<prompt>\d+)\) exceeds the maximum number of tokens allowed \((?P<limit>\d+)",
        r"token count is (?P<prompt>\d+) but (?:the )?model only supports up to (?P<limit>\d+)",
        r"maximum prompt length is (?P<limit>\d+) but the request contains (?P<prompt>\d+)",
        r"token limit: (?P<limit>\d+) \(requested: (?P<prompt>\d+)\)",
        # LM Studio
        r"keep the first (?P<prompt>\d+) tokens.*?context length of only (?P<limit>\d+)",
        r"n_keep:? \(?(?P<prompt>\d+)\)? ?>= ?n_ctx:? \(?(?P<limit>\d+)",
        # Cohere, watsonx, Copilot, Bedrock, Fireworks
        r"tokens in the prompt cannot exceed (?P<limit>\d+) - received (?P<prompt>\d+)",
        r"number of input tokens (?P<prompt>\d+) cannot exceed the total tokens limit (?P<limit>\d+)",
        r"prompt token count of (?P<prompt>\d+) exceeds the limit of (?P<limit>\d+)",
        r"prompt tokens \((?P<prompt>\d+)\) exceeds? (?:model maximum|context size) \((?P<limit>\d+)",
        r"prompt is too long: (?P<prompt>\d+), model maximum context length: (?P<limit>\d+)",
        # Volcengine, Poolside and DeepInfra; SiliconFlow
        r"input length (?P<prompt>\d+) exceeds (?:the )?(?:(?:maximum|allowed|input|context) )+length (?:of )?"
        r"(?P<limit>\d+)",
        r"prompt_tokens \((?P<prompt>\d+)\) must be less than max_seq_len \((?P<limit>\d+)",
        # Cloudflare, SiliconFlow, Cerebras: with the output
        r"current length is (?P<prompt>\d+) while limit is (?P<limit>\d+)",
        r"tokens \((?P<prompt>\d+)\) exceeded this model context window limit \((?P<limit>\d+)",
        r"max_total_tokens \((?P<prompt>\d+)\) must be less than or equal to max_seq_len \((?P<limit>\d+)",
        # Foundry Local (onnxruntime-genai)
        r"input_ids size \((?P<prompt>\d+)\).{0,60}? exceeds max length \((?P<limit>\d+)",
        # Anthropic, and servers that copy it
        r"prompt is too long: (?P<prompt>\d+) tokens? > (?P<limit>\d+)",
        r"exceed context limit: (?P<prompt>\d+) \+ (?P<output>\d+) > (?P<limit>\d+)",
        # any server: a sum without its parts
        r"maximum context length is (?P<limit>\d+) tokens.*?requested (?:about )?(?P<prompt>\d+) tokens",
        # any server: a sentence about the tokens of the prompt, and two numbers
        r"\b(?:prompt|input|messages?)\b[^.]{0,30}?\b(?P<prompt>\d{3,9})\)? tokens?\b[^.]{0,40}?"
        r"\b(?:exceeds?|exceeded|longer than|more than|larger than|greater than)\b[^.]{0,60}?\b(?P<limit>\d{3,9})\b",
    )
)
"""`errors.actionable`: the prompt is too long, with numbers.  In lower case, without commas in numbers."""

OVERFLOW = re.compile(
    r"context_length_exceeded|exceed_context_size_error|model_max_prompt_tokens_exceeded|contextwindowexceedederror"
    r"|model_context_window_exceeded|tokens_limit_reached|tokens_too_long"
    r"|maximum context length|maximum prompt length|maximum model length|maximum context limit"
    r"|exceed\w{0,6}[^.]{0,40}context (?:size|window|length|limit)"
    r"|context (?:size|window|length|limit) (?:has been |was |is )?exceed|longer than the model"
    r"|greater than the context length|exceeds maximum (?:sequence|input) length"
    r"|prompt (?:is )?too long|input (?:is|token length|length) too long(?! for (?:the )?(?:field|parameter))"
    r"|prompt exceeds max length|tokens too long"
    r"|input tokens exceed|exceeds? the max(?:imum)?(?: number of| allowed)? input (?:token|length)"
    r"|exceeds the maximum number of tokens allowed|exceeded model token limit|range of input length should be"
    r"|reduce the length of the (?:messages|prompt|input)|`inputs` tokens \+ `max_new_tokens` must be"
    r"|but model only supports up to|tokens in request more than max tokens allowed|exceed max message tokens"
    r"|too many tokens: (?:total|size)|prompt ?超长|超过最大长度"
)
"""`errors.actionable`: the prompt is too long, without numbers."""

NOT_OVERFLOW = re.compile(
    r"string too long|expected maxlength|policy_blocked|dlp_request_denied"
    r"|rate.?limit|too many requests|throttl|\bper (?:min|day|hour)"
)
"""What OVERFLOW matches but means something else."""
