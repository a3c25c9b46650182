"""The server does not accept the ids or the reasoning in a history: errors that correct the conversation."""

from __future__ import annotations

import re

from asgi_llmgate.protocol.servers.wordings.flags import FLAGS


def _compile(*patterns: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(pattern, FLAGS) for pattern in patterns)


NINE_CHARACTERS = _compile(
    r"must be a-z, A-Z, 0-9, with a length of 9",  # Mistral, code 3280, and its tokenizers in vLLM
)
"""Ids of tool calls have nine letters and digits."""

ID_LENGTH = _compile(
    # OpenAI and Azure; LiteLLM in front of them
    r"tool_call(?:s\[\d{1,5}\]\.|_)id'?: string too long\. expected a string with maximum length (?P<telling>\d{1,6})",
    # Bedrock, Anthropic; pydantic
    r"(?:toolUseId|tool_use\.id|tool_use_id|tool_call_id)\W.{0,200}?"
    r"(?:length less than or equal to|at most) (?P<telling>\d{1,6})",
)
"""Ids of tool calls are too long.  `telling` is how long they may be."""

ID_ALPHABET = _compile(
    r"(?:tool_use\.id|tool_use_id|toolUseId|tool_call_id)\W.{0,200}?(?:match|satisfy|regular expression) .{0,40}?"
    r"\[a-zA-Z0-9_-\]",
)
"""Ids of tool calls have letters, digits, `_` and `-`."""

REPEATED_IDS = _compile(
    r"`?tool_use`? ids must be unique",  # Anthropic behind another server
    r"duplicated? (?:value for )?['`\"]?(?:tool_call_id|tool_use_id|toolUseId|tool call ids?)",
    r"(?:tool_call_id|tool call id|toolUseId)\b.{0,80}? (?:is|are) (?:duplicated?|not unique)",
)
"""An id of a tool call is used twice in the conversation."""

UNSIGNED_CALLS = _compile(
    r"missing a [`'\"]?thought[_ ]?signature",  # Gemini and Vertex
)
"""A call must come back with the signature that came with it."""

CALLS_WITHOUT_DETAILS = _compile(
    r"require OpenRouter reasoning details to be preserved",
)
"""The same, in OpenRouter's form."""

CALLS_WITHOUT_REASONING = _compile(
    r"reasoning_content is missing in assistant",  # Moonshot
    r"reasoning_content[`'\"\\]* (?:in the thinking mode )?must be (?:passed|sent) back",  # DeepSeek
    r"missing [`'\"\\]*reasoning_content[`'\"\\]* (?:field )?in the assistant message",  # DeepSeek, earlier
)
"""A message with calls must come back with its reasoning."""

REASONING_IN_HISTORY = _compile(
    r"\"reasoning(?:_content)?\"\], ?\"msg\": ?\"Extra inputs are not permitted",  # Mistral; pydantic
    r"property '(?:messages\W\w{1,8}\W{1,3})?reasoning(?:_content)?' is (?:unsupported|not supported)",  # Groq
    r"reasoning_content[`'\"\\]* (?:field )?(?:should|must) not be (?:included|present|in)",  # DeepSeek R1
)
"""No message may have reasoning."""
