"""What a row of the dialect table can say.

Servers that call themselves OpenAI-compatible differ in the fields that they accept, in the values of these fields, and
in what their models support.  A `Dialect` has a column for each such difference.  The rows are in `dialects`; nothing
in this package asks for a dialect by name.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Annotated, Any, Literal, get_args

import msgspec

from asgi_llmgate.exchange_values import Wire
from asgi_llmgate.protocol.servers.schemas.rewrites import NAMES, PROFILES

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
"""OpenAI's values of `reasoning_effort`, from least to most.  Anthropic has the last five: `low` to `max`."""

EFFORTS: tuple[Effort, ...] = get_args(Effort)

SchemaRewrite = Annotated[str, msgspec.Meta(pattern=rf"^(?:-\$?[A-Za-z]{{1,40}}|{'|'.join([*NAMES, *PROFILES])})$")]
"""The name of a rewrite or of a profile, or `-keyword`."""

CallIds = Literal["any", "nine", "up_to_40", "up_to_64", "unique"]
"""Ids of tool calls that a server accepts: nine letters and digits (Mistral), up to 40 characters (OpenAI), up to 64
letters, digits, `_` and `-` (Bedrock), or up to 40 of them, each id in one place of a conversation only (Anthropic).
The nine letters and digits are in one place only, too."""


LeakedCallFormat = Literal[
    "all", "hermes", "qwen", "llama", "mistral", "kimi", "glm", "deepseek", "minimax", "harmony", "lmstudio", "json"
]
"""A syntax of tool calls; `json` is a response that is nothing but `{"name": ..., "arguments": {...}}`."""

LEAKED_CALL_FORMATS: frozenset[LeakedCallFormat] = frozenset(get_args(LeakedCallFormat))


class Family(msgspec.Struct, frozen=True, eq=False):
    """Models of one dialect that differ from its row.

    `patterns` are shell patterns for the name of a model; `facts` are the columns that change, by name.
    """

    patterns: tuple[str, ...]
    facts: dict[str, Any]


class Dialect(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """One row of the table.  The defaults are what a plain server understands."""

    name: str
    wire: Wire = "chat"
    """What the server speaks: chat completions, or Anthropic's Messages, which are forwarded and not translated."""

    path: str = "/chat/completions"
    """Path of the completions endpoint, under the base URL."""
    key_header: str = "authorization"
    """The header that carries the API key; in `authorization` the key stands after `Bearer`."""
    tokenizer: Literal["none", "messages", "template"] = "none"
    """How the server counts tokens: `/tokenize` takes the conversation (messages), or `/apply-template` renders it to
    text and `/tokenize` takes that (template), or there is no way."""

    system_role: Literal["system", "developer", "user"] = "system"
    """Who the system text is from; `user`: it stands at the beginning of the first user message, for chat templates
    that know no system message."""
    mid_system: Literal["inplace", "user"] = "user"
    """A system message after the first: left where it is, or sent as a user message, for templates that refuse it."""
    alternate_roles: bool = False
    """Whether the chat template refuses two user messages in a row; they are merged then."""
    user_after_tool: bool = True
    """Whether a user message may follow a tool's result directly, without a message of the assistant between them."""
    calls_at_once: bool = True
    """Whether one message of the assistant may have several tool calls; else each has a message of its own."""
    empty_content: Literal["none", "string", "absent"] = "none"
    """The `content` beside tool calls without a text: null (none), "" (string), or no such field (absent)."""
    content_parts: bool = True
    """Whether `content` may be a list of parts; else it is one text, and images and documents are described."""
    images: Literal["all", "data", "none"] = "all"
    """Image parts by URL and by value, by value only, or not at all."""
    pdf: Literal["file", "none"] = "none"
    """Whether a `file` content part is understood."""
    reasoning_history: Literal["drop", "reasoning_content", "reasoning"] = "drop"
    """The field in which the thinking of an unfinished tool loop goes back to the server; `drop`: it does not."""
    reasoning_scope: Literal["tool_loop", "calls"] = "tool_loop"
    """Which thinking goes back: that of the unfinished tool loop; or that of the whole conversation, where each message
    with calls must have some, and gets a placeholder for what is not known."""
    prefill: dict[str, bool] = {}
    """Fields that make the server continue a last assistant message instead of starting a new one."""
    last_assistant: Literal["plain", "prefix", "user"] = "plain"
    """A last message of the assistant: sent as it is, with `prefix: true`, or followed by a user message that asks to
    continue it, for servers that accept no such end."""
    echoes_prefill: bool = False
    """Whether a response that is not streamed repeats that message before its continuation."""

    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    min_output_tokens: int = 1
    """The least `max_tokens` that the server accepts."""
    stop_max: int | None = None
    """How many stop sequences the server accepts; None: any number."""
    sampling: frozenset[Literal["temperature", "top_p", "top_k"]] = frozenset({"temperature", "top_p"})
    """The sampling parameters that the server accepts."""
    reasoning: Literal["none", "effort", "openrouter", "template", "toggle"] = "none"
    """How thinking is asked for: see `thinking_switches`."""
    unstreamed_thinking: bool = True
    """Whether the model may think in a response that is not streamed; else it gets `enable_thinking: false` (Qwen at
    DashScope)."""
    efforts: tuple[Effort, ...] = ("low", "medium", "high")
    """The efforts that the model accepts, from least to most."""
    tools_effort: Effort | None = None
    """The only effort that the model accepts together with function tools; None: any."""
    think_tags: bool = False
    """Whether the model writes `<think>...</think>` into its text."""

    response_format: Literal["json_schema", "json_object", "none"] = "json_schema"
    """The most exact `response_format` that the server accepts; below `json_schema` the schema is put into words."""
    strict_tools: bool = False
    """Whether the server accepts `strict` in a function."""
    tool_schemas: frozenset[SchemaRewrite] = frozenset()
    """How the schemas of tools are rewritten for the server: see `schemas.rewrites`."""
    tool_names: Literal["any", "letter_first"] = "any"
    """What the names of tools must begin with."""
    max_tools: int | None = None
    """How many tools the server accepts; None: any number."""
    max_tool_description: int | None = None
    """How many characters of a tool's description the server accepts; None: any number."""
    tool_choice: Literal["named", "required", "auto", "none"] = "named"
    """The most exact choice that the server accepts: one function (named), at least one call (required), whether there
    may be calls (auto), or none."""
    choice_while_thinking: bool = True
    """Whether a call can be demanded while the model thinks."""
    tools_for_history: bool = False
    """Whether a conversation with calls in it needs declared tools."""

    call_ids: CallIds = "any"
    """The ids of tool calls that the server accepts; others are replaced by a hash of that shape."""
    call_signatures: Literal["optional", "google", "openrouter"] = "optional"
    """Whether calls must come back with the signature that came with them: if it is not known they get the placeholder
    that Gemini accepts, in Google's form or in OpenRouter's."""
    parallel_tool_calls: bool = True
    """Whether the server accepts the parameter."""
    leaked_calls: tuple[LeakedCallFormat, ...] = ()
    """The syntaxes in which the server's parser is known to leave tool calls in the text; they become calls."""
    include_usage: bool = True
    """Whether the server accepts `stream_options: {include_usage: true}`."""
    user: bool = True
    """Whether the server accepts `user`."""
    prompt_cache_key: bool = False
    """Whether the server accepts `prompt_cache_key`."""
    region: str = ""
    """Where the server runs; a request with that `inference_geo` is let through.  Empty: not stated."""

    families: tuple[Family, ...] = ()

    @property
    def reasoning_field(self) -> str:
        """The field for the thinking in the conversation; "" for none."""
        if self.reasoning_history == "drop":
            return "reasoning_content" if self.reasoning_scope == "calls" else ""
        return self.reasoning_history

    def for_model(self, model: str) -> Dialect:
        """The row for a model: with the columns of the first family whose pattern fits its name."""
        return _for_model(self, model) if self.families else self


@lru_cache(maxsize=1024)
def _for_model(dialect: Dialect, model: str) -> Dialect:
    for family in dialect.families:
        if any(fnmatchcase(model, pattern) for pattern in family.patterns):
            return msgspec.structs.replace(dialect, families=(), **family.facts)
    return dialect
