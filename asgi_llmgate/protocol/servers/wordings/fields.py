"""A field of the request, or its value, is not accepted."""

from __future__ import annotations

import re

from asgi_llmgate.protocol.servers.wordings.flags import FLAGS


def _compile(*patterns: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(pattern, FLAGS) for pattern in patterns)


_LONG = (
    r"stream_options|parallel_tool_calls|reasoning_?effort|chat_template_kwargs|enable_thinking|prompt_cache_key|top_[kp]"
    r"|continue_final_message|add_generation_prompt"
)
"""Names that stand for nothing else."""
_SHORT = r"temperature|stop|user|reasoning|thinking"
"""Names that are also words.  They count in a few places: behind "parameter", in a path from the body, in quotation
marks (`user` is also a role)."""

_FIELD = (
    rf"(?:\b({_LONG})\b"
    rf"|(?:\b(?:parameters?|arguments?|fields?|property|key|name|supplied|this model)(?:\(s\))?:? ?[\\'\"`\[]{{0,4}}"
    rf"|\bbody\b\W{{1,8}}|\bparam\W{{1,6}})({_SHORT})\b"
    r"|['`](temperature|stop|reasoning|thinking)['`])"
)
_COMPLAINT = (
    r"(?:not support|unsupported|not (?:permitted|allowed|available|recognized|accepted)|unrecognized|unknown"
    r"|unexpected|deprecated|extraneous|extra_forbidden|literal_error"  # pydantic's last two
    r"|only (?:allowed|supported|permitted)|only (?:the default )?\(?[\d.]{1,6}\)? (?:is|value)"  # Moonshot, OpenAI
    r"|may only be set|must be unset|or unset)"  # Anthropic, with thinking
)
_BETWEEN = r"(?:(?!expected).){0,60}?"
"""What may stand between them.  A list of fields that are expected begins with that word."""

REFUSED_FIELD = re.compile(
    rf"{_FIELD}{_BETWEEN}(?P<telling>{_COMPLAINT})|(?P<telling2>{_COMPLAINT}){_BETWEEN}{_FIELD}", FLAGS
)
"""`corrections`: a field of the request is not accepted.  Field and complaint stand close together: servers also quote
whole requests, which name every field, in errors about one of them."""

_SAFEGUARDS = r"\b(?:safeguards|dangerous-tool-use)\b"

REFUSED_SAFEGUARDS = re.compile(
    rf"{_SAFEGUARDS}{_BETWEEN}(?P<telling>{_COMPLAINT}|invalid)"
    rf"|(?P<telling2>{_COMPLAINT}|invalid){_BETWEEN}{_SAFEGUARDS}",
    FLAGS,
)
"""`corrections`: a server of Anthropic's wire does not accept the field `safeguards`, or its value of
`anthropic-beta`."""

FIELD_GROUPS = (1, 2, 3, 6, 7, 8)
"""The groups of REFUSED_FIELD that hold the name."""

OTHER_NAMES = {"reasoningeffort": "reasoning_effort", "enable_thinking": "chat_template_kwargs"}
"""How an error may call a field of ours: xAI and Vercel's gateway, chat templates."""

REFUSED_FIELD_TEXTS = (
    ("does not support thinking", "reasoning_effort"),  # Ollama
    ("chat_template is not supported", "chat_template_kwargs"),  # Mistral's tokenizers in vLLM
    ("Reasoning is mandatory", "reasoning"),  # OpenRouter
)
"""`corrections`: the same without the field's name; the field is beside the text."""

_QUOTE = r"\\{0,2}['\"`]?"
_VALUE = rf"{_QUOTE}\w{{1,12}}{_QUOTE}"
_VALUES = rf"{_VALUE}(?:(?:, (?:and |or )?| and | or ){_VALUE}){{0,8}}"

KNOWN_EFFORTS = _compile(
    # OpenAI; vLLM and other users of pydantic; Groq
    rf"reasoning_?effort\b.{{0,80}}?(?P<telling>(?:supported values are:?|input should be|must be one of:?"
    rf"|expected one of:?|allowed values are:?) \[?{_VALUES})",
    rf"invalid value: {_QUOTE}(?:none|minimal|low|medium|high|xhigh|max){_QUOTE}\."
    rf" (?P<telling>supported values are:? {_VALUES})",
    rf"invalid reasoning value: .{{0,40}}?(?P<telling>\(must be {_VALUES})",  # Ollama
)
"""`corrections`: the values of `reasoning_effort` that the model accepts."""

ONE_OF_TWO = _compile(r"temperature\W{1,4}and \W{0,2}top_p\W{1,4}(?P<telling>cannot both be (?:specified|set|used))")
"""`corrections`: `temperature` and `top_p` are not accepted together; Claude from 4.5 on."""

ONE_TEMPERATURE = _compile(
    r"\btemperature\b\W{0,4}(?:must be |should be )?(?P<telling>only (?:the default )?\(?[\d.]{1,6}\)?"
    r" (?:is|can be|value))",  # Moonshot
    r"\btemperature\b\W{0,4}(?P<telling>is (?:deprecated|not supported|not allowed|fixed|unsupported))",  # Anthropic
    r"(?P<telling>only temperature ?= ?[\d.]{1,6} is supported)",  # LiteLLM
    r"\btemperature\b\W{0,4}(?P<telling>must be (?:set to )?(?:exactly )?[\d.]{1,6} (?:for|when|with))",
)
"""`corrections`: the model has one temperature, which it uses without the field."""

_NUMBER = r"\d(?:\.\d{1,3})?"
TEMPERATURES = _compile(
    # MiniMax
    rf"temperature\b.{{0,90}}?(?P<telling>(?P<open>[\[(]) ?(?P<low>{_NUMBER}) ?, ?(?P<high>{_NUMBER}) ?[\])])",
    rf"temperature\b.{{0,60}}?(?P<telling>between (?P<low>{_NUMBER}) and (?P<high>{_NUMBER}))",
    r"temperature\b.{0,40}?(?P<telling>(?P<open>strictly positive|greater than 0\b|> ?0\b))",  # TGI
)
"""`corrections`: the values of `temperature` that the model accepts.  `open`: the lowest one is not among them."""

STOP_LIMITS = _compile(
    r"\bstop\b\W{1,8}array too long.{0,40}?maximum length (?P<telling>\d{1,2})",  # OpenAI, Azure
    r"len\(stop\) > (?P<telling>\d{1,2})",  # Groq
    r"stop_?sequences?\b.{0,60}?(?:must not exceed|at most|exceeds? (?:the )?(?:maximum|max|limit)(?: limit)?(?: of)?"
    r"|up to|less than or equal to) (?P<telling>\d{1,2})\b",  # Gemini, Bedrock
    r"\bstop['`\"\\]{1,3}.{0,40}?(?:at most|up to|maximum (?:of|number of items is)) (?P<telling>\d{1,2})\b",  # TGI
)
"""`corrections`: how many stop sequences the server accepts."""

THINKING_WITH_TOOLS = _compile(r"(?P<telling>function tools with reasoning_effort are not supported)")
"""`corrections`: OpenAI from GPT-5.4 on; the model must not think in a request that has tools."""

UNSTREAMED_THINKING = _compile(
    r"enable_thinking\W{0,4}(?:must be set to false for non-streaming|\u5fc5\u987b\u8bbe\u7f6e\u4e3afalse)"
)
"""`corrections`: DashScope, for models that think unasked."""
