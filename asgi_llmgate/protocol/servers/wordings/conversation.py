"""The server does not accept an order of roles, or a form of `content`: errors that correct the conversation."""

from __future__ import annotations

import re

from asgi_llmgate.protocol.servers.wordings.flags import FLAGS


def _compile(*patterns: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(pattern, FLAGS) for pattern in patterns)


ALTERNATE = _compile(
    # Chat templates of Mistral, Devstral, Gemma and their relatives; Bedrock
    r"roles must alternate|must alternate between user and assistant roles",
    r"should alternate with assistant message",  # Perplexity
    r"unexpected role '?user'? after role '?user\b",
)
"""User and assistant take turns.  Some templates count no message with calls and no result, so that a user message
behind a result follows another user message for them."""

MID_SYSTEM = _compile(
    r"system messages? (?:must be|should be|is only allowed|are only allowed) (?:at )?(?:the )?"
    r"(?:beginning|first|start)",
    r"role \\{0,2}[\"']?system\\{0,2}[\"']? must be (?:at )?(?:the )?(?:beginning|first|start)",
    r"only one system message|unexpected role '?system'? after",
    r"(?:multiple|more than one|non-consecutive) system messages (?:are|is) not (?:supported|allowed)",
)
"""A system message has one place: in front."""

NO_DEVELOPER = _compile(
    # OpenAI, Mistral, serde
    r"role' does not support 'developer'|unexpected role '?developer|unknown variant `developer`",
    r"(?:unsupported|unknown|invalid) role:? ['`\"\\]{0,3}developer\b|developer role is not supported",
    r"input should be (?:'\w{1,20}'(?:, | or )){1,8}'\w{1,20}'\W{1,12}input\W{1,12}developer",  # pydantic
)
"""OpenAI's role for the system text is not known."""

NO_SYSTEM = _compile(
    # Gemma's template
    r"system['`]? (?:role|messages?|prompts?) (?:is |are )?(?:not supported|unsupported|not allowed)",
    r"(?:unsupported|unknown|invalid) role:? ['`]?system\b|does(?: not|n't) support (?:the )?system (?:role|messages?)",
    r"role' does not support 'system'",  # OpenAI's o1-mini
    r"developer instruction is not enabled",  # Gemini, for Gemma
)
"""There is no system message at all."""

USER_AFTER_TOOL = _compile(
    r"unexpected role '?user'? after role '?tool\b",  # Mistral, code 3230, and its tokenizers in vLLM
    r"role '?tool'? must be followed by (?:role |an? )?'?assistant|tool messages? must be followed by an? assistant",
)
"""A user message directly behind a tool's result."""

CALLS_AT_ONCE = _compile(
    r"only supports? single tool-?\s?calls at once|only support one tool call at once",  # Llama's templates
    r"multiple tool calls (?:in one message )?(?:is|are) not supported",
)
"""More than one tool call in a message."""

NULL_CONTENT = _compile(
    r"'content' field must be a string or an array",  # LM Studio
    r"invalid message content type: <nil>",  # Ollama
    r"content\W{1,6}(?:expected a? ?string, (?:got|received) null|invalid type: null)",  # zod, serde
    r"content\W{1,12}(?:\w+\W{1,12}){0,4}input should be a valid string\b(?!\W{1,8}input\W{0,8}\[)",  # pydantic
    r"content['\"]?\)? (?:field )?(?:cannot|can't|must not|should not|may not) be (?:null|none|nil)\b",
    r"not \\*\"?NoneType\\*\"?\) to str",  # a chat template that adds it to a text
)
"""`content: null` beside tool calls."""

EMPTY_CONTENT = _compile(
    r"text content blocks must (?:be non-empty|contain non-whitespace text)",  # Anthropic
    r"the (?:text|content) field in the (?:ContentBlock|Message) object at \S{1,60} is (?:blank|empty)",  # Bedrock
    r"content['\"]?\)? (?:field )?(?:cannot|can't|must not|should not|may not) be (?:empty|blank)\b",
    r"must have non-empty content|with role 'assistant' must not be empty",  # Anthropic; Moonshot
)
"""`content: ""` beside tool calls, or null where that counts as an empty text."""

CONTENT_PARTS = _compile(
    r"content\W{1,4}(?:field )?(?:: ?)?(?:value )?(?:must|should) be a string\b(?! or)",  # Groq, OpenAI's copies
    r"content\W{1,6}invalid type: sequence, expected a string|content\W{1,6}expected string, received array",
    r"content\W{1,12}(?:\w+\W{1,12}){0,4}(?:input should be a valid string|str type expected)"  # pydantic
    r"(?!\W{1,8}input\W{1,8}(?:null|none)\b)",
    r"content' key, expected 'String' type",  # Swift
    r"cannot unmarshal array into Go (?:struct field )?\S{1,80}content of type string",
    r"unsupported content\[\]\.type",  # llama.cpp, older
    r"messages\.content\.type.{0,120}\['text'\]",  # Zhipu, whose `text` is a text and no list (AstrBot#9293)
    r"parameter messages\.content\.type specified in the request are not valid",  # Volcengine
    r"expects a single `text` element per message",  # xAI
    r"can only concatenate str \(not \\*\"list\\*\"\) to str",  # Python, and chat templates
)
"""A list of parts as `content`."""

PREFIX = _compile(
    r"assistant with prefix true",  # Mistral, code 3230, and its tokenizers in vLLM
    r"last message must be a user message,? or an? assistant message with `?prefix",
)
"""A last message of the assistant that is not marked as one to continue."""

PREFILL = _compile(
    r"does(?: not|n't) support assistant message prefill",  # Claude from 4.6 on
    r"(?:conversation|last message) must (?:end with|be|have role) (?:a )?[`']?user",
    r"assistant response prefill is incompatible with enable_thinking",  # llama.cpp
)
"""A last message of the assistant."""
