"""What differs between model servers that all say "OpenAI-compatible", as a table.

A dialect is a row of facts; nothing in this package asks for a dialect by name.  OpenAI's own models differ among
themselves as well, so a row may hold families: the first one whose pattern fits the model's name replaces some columns.
An operator starts from a row and replaces columns too, in the settings: `dialect: {base: vllm, reasoning: template}`.

Sources: OpenAI, https://platform.openai.com/docs/api-reference/chat/create and .../guides/reasoning; vLLM,
https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html; llama.cpp, tools/server/README.md; Ollama,
https://docs.ollama.com/api/openai-compatibility; OpenRouter, https://openrouter.ai/docs/api-reference/parameters;
DeepSeek, https://api-docs.deepseek.com/guides/thinking_mode.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from asgi_llmgate.errors import SettingsError
from asgi_llmgate.exchange import Wire

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
"""OpenAI's words for how long to think, from least to most.  Anthropic's are the last five but `minimal` and `none`."""

EFFORTS: tuple[Effort, ...] = get_args(Effort)


class Family(msgspec.Struct, frozen=True, eq=False):
    """Models of one dialect that differ from its row: shell patterns for the name, and the columns that change."""

    patterns: tuple[str, ...]
    facts: dict[str, Any]


class Dialect(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """One row.  The defaults are what the plainest server understands."""

    name: str
    wire: Wire = "chat"
    """What the server speaks: chat completions, or Anthropic's Messages, which are forwarded and not translated."""

    path: str = "/chat/completions"
    """Of the completions endpoint, under the base URL."""
    key_header: str = "authorization"
    """Which header carries our key; in `authorization` it stands after `Bearer`."""
    tokenizer: Literal["none", "messages", "template"] = "none"
    """What counts tokens at the server's root: `/tokenize` for a conversation, `/tokenize` for the text that
    `/apply-template` makes of one, or nothing."""

    system_role: Literal["system", "developer"] = "system"
    mid_system: Literal["inplace", "user"] = "user"
    """A system message after the first: left where it is, or told as a user message, for templates that refuse it."""
    alternate_roles: bool = False
    """Whether the template refuses two user messages in a row: they are merged then."""
    images: Literal["all", "data", "none"] = "all"
    """Image parts by URL and by value, by value only, or not at all."""
    pdf: Literal["file", "none"] = "none"
    """Whether a `file` content part is understood."""
    reasoning_history: Literal["drop", "reasoning_content", "reasoning"] = "drop"
    """The field in which a finished turn's thinking is taken back."""
    prefill: dict[str, bool] = {}
    """What must be said so that a last assistant message is gone on with, not answered."""
    echoes_prefill: bool = False
    """Whether an answer that is not streamed repeats that message before it goes on."""

    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    min_output_tokens: int = 1
    """The least `max_tokens` that is not refused."""
    stop_max: int | None = None
    """The most stop sequences that are taken; None is no limit."""
    sampling: frozenset[Literal["temperature", "top_p", "top_k"]] = frozenset({"temperature", "top_p"})
    reasoning: Literal["none", "effort", "openrouter", "template", "toggle"] = "none"
    """How thinking is asked for: `reasoning_effort`; OpenRouter's `reasoning` object; `enable_thinking` for the chat
    template; `thinking: {type}`; or there is no way."""
    efforts: tuple[Effort, ...] = ("low", "medium", "high")
    """The efforts that the model knows, from least to most."""
    tools_effort: Effort | None = None
    """The only effort that goes together with function tools."""
    think_tags: bool = False
    """Whether the model writes `<think>...</think>` into its text."""

    response_format: Literal["json_schema", "json_object", "none"] = "json_schema"
    strict_tools: bool = False
    """Whether `strict` in a function is understood."""
    tool_choice: Literal["named", "required", "none"] = "named"
    """The most exact choice that is understood: one function, at least one call, or none of it."""
    parallel_tool_calls: bool = True
    """Whether the parameter is understood."""
    include_usage: bool = True
    """Whether `stream_options: {include_usage: true}` is understood."""
    user: bool = True
    """Whether `user` is understood."""
    prompt_cache_key: bool = False
    """Whether `prompt_cache_key` is understood."""
    region: str = ""
    """Where the server runs, to answer an `inference_geo` with; empty: not stated."""

    families: tuple[Family, ...] = ()

    def for_model(self, model: str) -> Dialect:
        """The row with the columns of the model's family."""
        return _for_model(self, model) if self.families else self


@lru_cache(maxsize=1024)
def _for_model(dialect: Dialect, model: str) -> Dialect:
    for family in dialect.families:
        if any(fnmatchcase(model, pattern) for pattern in family.patterns):
            return msgspec.structs.replace(dialect, families=(), **family.facts)
    return dialect


_REASONING_MODEL: Mapping[str, Any] = {
    "max_tokens_field": "max_completion_tokens",
    "reasoning": "effort",
    "sampling": frozenset(),
    "stop_max": 0,
}

_OPENAI_FAMILIES = (
    Family(("gpt-5-chat*",), {"max_tokens_field": "max_completion_tokens"}),
    Family(
        ("gpt-5", "gpt-5-*"),
        {**_REASONING_MODEL, "efforts": ("minimal", "low", "medium", "high")},
    ),
    Family(
        ("gpt-5.1", "gpt-5.1-*"),
        {**_REASONING_MODEL, "efforts": ("none", "low", "medium", "high")},
    ),
    Family(
        ("gpt-5.[23]", "gpt-5.[23]-*"),
        {**_REASONING_MODEL, "efforts": ("none", "low", "medium", "high", "xhigh")},
    ),
    Family(
        ("gpt-5.*", "gpt-[6-9]*"),
        {**_REASONING_MODEL, "efforts": ("none", "low", "medium", "high", "xhigh"), "tools_effort": "none"},
    ),
    Family(
        ("o[1-9]*",),
        {
            **_REASONING_MODEL,
            "efforts": ("low", "medium", "high"),
            "system_role": "developer",
            "parallel_tool_calls": False,
        },
    ),
)
"""From gpt-5.4 on, chat completions refuse function tools together with an effort other than "none", and from gpt-5.5
on also with none given, since the model then takes its own."""

_OPENAI = Dialect(
    name="openai",
    mid_system="inplace",
    pdf="file",
    min_output_tokens=16,
    stop_max=4,
    strict_tools=True,
    prompt_cache_key=True,
    families=_OPENAI_FAMILIES,
)

DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {
        dialect.name: dialect
        for dialect in (
            _OPENAI,
            msgspec.structs.replace(_OPENAI, name="azure", key_header="api-key"),
            Dialect(
                name="vllm",
                tokenizer="messages",
                reasoning_history="reasoning",  # read alone since it has that name there: vllm#27752, vllm#38488
                prefill={"continue_final_message": True, "add_generation_prompt": False},
                sampling=frozenset({"temperature", "top_p", "top_k"}),
                reasoning="effort",  # "none" is told to templates as `enable_thinking`; older servers refuse it: learnt
                efforts=("none", "minimal", "low", "medium", "high", "xhigh"),
                families=(Family(("*gpt-oss*",), {"efforts": ("low", "medium", "high")}),),
            ),
            Dialect(
                name="ollama",  # what openai/openai.go reads; the rest (`top_k`, `tool_choice`) it passes over
                mid_system="inplace",
                images="data",
                reasoning_history="reasoning",
                reasoning="effort",
                efforts=("none", "low", "medium", "high"),
                tool_choice="none",
                parallel_tool_calls=False,
            ),
            Dialect(
                name="llamacpp",  # build 11549: a named tool_choice is ignored without a word
                tokenizer="template",
                reasoning_history="reasoning_content",
                echoes_prefill=True,
                sampling=frozenset({"temperature", "top_p", "top_k"}),
                reasoning="template",
                tool_choice="required",
            ),
            Dialect(
                name="openrouter",
                mid_system="inplace",
                pdf="file",
                reasoning_history="reasoning",
                sampling=frozenset({"temperature", "top_p", "top_k"}),
                reasoning="openrouter",
                efforts=("none", "minimal", "low", "medium", "high", "xhigh"),
            ),
            Dialect(
                name="deepseek",
                mid_system="inplace",
                images="none",
                reasoning_history="reasoning_content",
                stop_max=16,
                reasoning="toggle",
                response_format="json_object",
                parallel_tool_calls=False,
                user=False,
            ),
            Dialect(name="generic"),
            Dialect(name="anthropic", wire="messages", path="/messages", key_header="x-api-key"),
        )
    }
)


def derive(base: str, overrides: Mapping[str, Any]) -> Dialect:
    """A row of the table with columns replaced, as the settings say: `{base: vllm, max_tokens_field: ...}`.

    A column that is replaced holds for every model, whatever its family says.  Raises `SettingsError` for a row, a
    column or a value that does not exist.
    """
    row = DIALECTS.get(base)
    if row is None:
        raise SettingsError(f"there is no dialect {base!r}", path="base", hint=_did_you_mean(base, DIALECTS))
    if "native" in overrides:
        overrides = _with_wire(overrides)
    columns = [name for name in Dialect.__struct_fields__ if name not in ("name", "families")]
    for column in overrides:
        if column not in columns:
            raise SettingsError("a dialect has no such column", path=column, hint=_did_you_mean(column, columns))
    plain = {name: getattr(row, name) for name in Dialect.__struct_fields__}
    families = [Family(f.patterns, {k: v for k, v in f.facts.items() if k not in overrides}) for f in row.families]
    try:
        return msgspec.convert({**plain, **overrides, "families": families}, Dialect, from_attributes=True)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `$.")
        column = place.rstrip("`").split("[")[0]
        raise SettingsError(reason, path=column, hint=_choices(column)) from None


def _with_wire(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The overrides with `wire` in place of `native: true | false`, the column's earlier name."""
    replaced = dict(overrides)
    native = replaced.pop("native")
    if not isinstance(native, bool):
        raise SettingsError(f"Expected `bool`, got `{type(native).__name__}`", path="native")
    if "wire" in replaced:
        raise SettingsError("`native` is the earlier name of `wire`: remove it", path="native")
    return {**replaced, "wire": "messages" if native else "chat"}


def _choices(column: str) -> str:
    """The values that a column of words can have."""
    known = get_type_hints(Dialect).get(column)
    return "one of: " + ", ".join(get_args(known)) if get_origin(known) is Literal else ""


def _did_you_mean(word: str, known: Mapping[str, Any] | list[str]) -> str:
    close = get_close_matches(word, known, n=1)
    return f"did you mean {close[0]}?" if close else "known: " + ", ".join(known)
