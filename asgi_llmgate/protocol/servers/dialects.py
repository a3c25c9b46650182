"""The dialect table: what each kind of model server understands.

A new vendor is one row here or in `vendors`, and its error texts in `wordings`.  Models of one vendor may differ as
well, so a row may have families: the first family whose pattern fits the model's name replaces some columns.  An
operator starts from a row and replaces columns in the settings: `dialect: {base: vllm, reasoning: template}`.

Sources: OpenAI, https://platform.openai.com/docs/api-reference/chat/create and .../guides/reasoning; vLLM,
https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html; llama.cpp, tools/server/README.md; Ollama,
https://docs.ollama.com/api/openai-compatibility; OpenRouter, https://openrouter.ai/docs/api-reference/parameters;
DeepSeek, https://api-docs.deepseek.com/guides/thinking_mode.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, get_type_hints

import msgspec

from asgi_llmgate.errors import SettingsError
from asgi_llmgate.mistakes import Mistakes
from asgi_llmgate.protocol.servers.columns import EFFORTS, Dialect, Effort, Family
from asgi_llmgate.protocol.servers.vendors import VENDORS
from asgi_llmgate.type_words import describe_value, did_you_mean, explain_mismatch, fits, generic_in

__all__ = ["DIALECTS", "EFFORTS", "Dialect", "Effort", "Family", "derive"]

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
"""The order counts: the first pattern that fits decides.

From gpt-5.4 on, chat completions refuse function tools together with an effort other than "none".  From gpt-5.5 on they
also refuse tools without an effort, since the model then uses its default effort.  Hence `tools_effort`."""

_OPENAI = Dialect(
    name="openai",
    mid_system="inplace",
    pdf="file",
    min_output_tokens=16,
    stop_max=4,
    strict_tools=True,
    # https://platform.openai.com/docs/guides/function-calling, and what its refusals say
    tool_schemas=frozenset({"array_items", "flat_root"}),
    call_ids="up_to_40",  # vercel/ai#5171; longer ones come from other servers
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
                reasoning_history="reasoning",  # renamed there, and the only name that is read: vllm#27752, vllm#38488
                prefill={"continue_final_message": True, "add_generation_prompt": False},
                sampling=frozenset({"temperature", "top_p", "top_k"}),
                # vLLM gives "none" to chat templates as `enable_thinking`.  Older versions refuse it: a correction.
                reasoning="effort",
                efforts=("none", "minimal", "low", "medium", "high", "xhigh"),
                leaked_calls=("all",),  # vllm#39056, #48931, #34955, #16214
                families=(Family(("*gpt-oss*",), {"efforts": ("low", "medium", "high")}),),
            ),
            Dialect(
                name="ollama",  # what openai/openai.go reads; it ignores the rest (`top_k`, `tool_choice`)
                mid_system="inplace",
                images="data",
                reasoning_history="reasoning",
                reasoning="effort",
                efforts=("none", "low", "medium", "high"),
                tool_choice="none",
                parallel_tool_calls=False,
                leaked_calls=("all",),  # ollama#12174, #13931; anomalyco/opencode#46625, #33959
            ),
            Dialect(
                name="llamacpp",  # build 11549 ignores a named tool_choice and reports nothing
                tokenizer="template",
                reasoning_history="reasoning_content",
                echoes_prefill=True,
                sampling=frozenset({"temperature", "top_p", "top_k"}),
                reasoning="template",
                tool_choice="required",
                tool_schemas=frozenset({"grammar"}),
                leaked_calls=("all",),  # llama.cpp#22581, #14697, #12279, #15181
            ),
            Dialect(
                name="sglang",  # python/sglang/srt/entrypoints/openai/protocol.py
                reasoning_history="reasoning_content",
                prefill={"continue_final_message": True},
                sampling=frozenset({"temperature", "top_p", "top_k"}),
                # "none" is given to chat templates as `thinking` and `enable_thinking`.
                reasoning="effort",
                efforts=("none", "minimal", "low", "medium", "high", "xhigh", "max"),
                leaked_calls=("all",),
                families=(Family(("*gpt-oss*",), {"efforts": ("low", "medium", "high")}),),
            ),
            Dialect(
                name="lmstudio",
                empty_content="string",  # lmstudio-bug-tracker#261
                sampling=frozenset({"temperature", "top_p", "top_k"}),
                tool_schemas=frozenset({"grammar"}),  # lmstudio-bug-tracker#2168
                tool_choice="required",  # lmstudio-bug-tracker#670
                parallel_tool_calls=False,
                leaked_calls=("all",),
            ),
            Dialect(
                name="huggingface",  # text-generation-inference, docs/openapi.json: ChatRequest
                stop_max=4,
                response_format="none",  # a schema has another form there
                parallel_tool_calls=False,
                user=False,
            ),
            Dialect(
                name="openrouter",
                mid_system="inplace",
                pdf="file",
                reasoning_history="reasoning",
                sampling=frozenset({"temperature", "top_p", "top_k"}),
                reasoning="openrouter",
                efforts=("none", "minimal", "low", "medium", "high", "xhigh"),
                leaked_calls=("deepseek", "kimi", "minimax"),  # earendil-works/pi#368
            ),
            Dialect(
                name="deepseek",
                mid_system="inplace",
                images="none",
                reasoning_history="reasoning_content",
                reasoning_scope="calls",  # https://api-docs.deepseek.com/guides/thinking_mode#tool-calls
                stop_max=16,
                reasoning="toggle",
                response_format="json_object",
                parallel_tool_calls=False,
                user=False,
                leaked_calls=("deepseek",),  # TokenRhythm/opensquilla#985
            ),
            *VENDORS,
            Dialect(name="generic"),
            Dialect(name="anthropic", wire="messages", path="/messages", key_header="x-api-key"),
        )
    }
)


def derive(base: str, overrides: Mapping[str, Any]) -> Dialect:
    """A row of the table with columns replaced, as the settings say: `{base: vllm, max_tokens_field: ...}`.

    A replaced column holds for every model: families do not change it any more.  Raises SettingsError for a row, a
    column or a value that does not exist.
    """
    mistakes = Mistakes()
    row = DIALECTS.get(base) if isinstance(base, str) else None
    if row is None:
        shown = repr(base) if isinstance(base, str) else describe_value(base)
        hint = _hint_for(str(base), DIALECTS)
        mistakes.add(SettingsError(f"there is no dialect {shown}", path="base", hint=hint))
        row = DIALECTS["generic"]
    with mistakes.under("native"):
        overrides = _with_wire(overrides)
    _check_columns(overrides, mistakes)
    mistakes.raise_if_any()
    plain = {name: getattr(row, name) for name in Dialect.__struct_fields__}
    families = [Family(f.patterns, {k: v for k, v in f.facts.items() if k not in overrides}) for f in row.families]
    return msgspec.convert({**plain, **overrides, "families": families}, Dialect, from_attributes=True)


def _check_columns(overrides: Mapping[str, Any], mistakes: Mistakes) -> None:
    """All columns and values that do not exist."""
    for column, value in overrides.items():
        if column not in _columns():
            hint = _hint_for(str(column), _columns())
            mistakes.add(SettingsError("a dialect has no such column", path=str(column), hint=hint))
            continue
        for member, item, kind in _misfits(value, _columns()[column]):
            words = explain_mismatch(item, kind)
            mistakes.add(SettingsError(words.message, path=column + member, hint=words.hint))


@cache
def _columns() -> Mapping[str, Any]:
    """The columns with their types, which take Python a millisecond to find."""
    kinds = get_type_hints(Dialect, include_extras=True)
    return MappingProxyType({name: kind for name, kind in kinds.items() if name not in ("name", "families")})


def _misfits(value: Any, kind: Any) -> Iterator[tuple[str, Any, Any]]:
    """What does not fit: the members of a list, each with its place, or the value itself."""
    members = generic_in(kind, tuple) or generic_in(kind, frozenset)
    if members is not None and isinstance(value, list | tuple):
        for index, item in enumerate(value):
            if not fits(item, members[0]):
                yield f"[{index}]", item, members[0]
    elif not fits(value, kind):
        yield "", value, kind


def _with_wire(overrides: Mapping[str, Any]) -> Mapping[str, Any]:
    """The overrides with `wire` in place of `native: true | false`, the column's earlier name."""
    if "native" not in overrides:
        return overrides
    replaced = dict(overrides)
    native = replaced.pop("native")
    if not isinstance(native, bool):
        raise SettingsError(explain_mismatch(native, bool).message)
    if "wire" in replaced:
        raise SettingsError("`native` is the earlier name of `wire`: remove it")
    return {**replaced, "wire": "messages" if native else "chat"}


def _hint_for(word: str, known: Iterable[str]) -> str:
    return did_you_mean(word, known) or "known: " + ", ".join(known)
