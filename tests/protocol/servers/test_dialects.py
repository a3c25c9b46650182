from __future__ import annotations

from typing import Any

import pytest

from asgi_llmgate.errors import SettingsError
from asgi_llmgate.protocol.servers.dialects import DIALECTS, derive


def test_each_dialect_has_the_name_of_its_row_and_only_anthropic_is_not_translated() -> None:
    assert all(name == dialect.name for name, dialect in DIALECTS.items())
    assert [name for name, dialect in DIALECTS.items() if dialect.wire == "messages"] == ["anthropic"]


@pytest.mark.parametrize(
    ("model", "field", "efforts", "tools_effort"),
    [
        ("gpt-4o-mini", "max_tokens", None, None),
        ("my-own-model", "max_tokens", None, None),
        ("gpt-5-chat-latest", "max_completion_tokens", None, None),
        ("gpt-5", "max_completion_tokens", "minimal low medium high", None),
        ("gpt-5-mini-2025-08-07", "max_completion_tokens", "minimal low medium high", None),
        ("gpt-5.1", "max_completion_tokens", "none low medium high", None),
        ("gpt-5.2", "max_completion_tokens", "none low medium high xhigh", None),
        ("gpt-5.4", "max_completion_tokens", "none low medium high xhigh", "none"),
        ("gpt-5.5-2026-04-23", "max_completion_tokens", "none low medium high xhigh", "none"),
        ("gpt-5.10", "max_completion_tokens", "none low medium high xhigh", "none"),
        ("gpt-6", "max_completion_tokens", "none low medium high xhigh", "none"),
        ("o3", "max_completion_tokens", "low medium high", None),
        ("o4-mini", "max_completion_tokens", "low medium high", None),
    ],
)
@pytest.mark.parametrize("dialect", ["openai", "azure"])
def test_openais_families_of_models(
    dialect: str, model: str, field: str, efforts: str | None, tools_effort: str | None
) -> None:
    row = DIALECTS[dialect].for_model(model)
    assert row.max_tokens_field == field
    assert row.reasoning == ("none" if efforts is None else "effort")
    assert row.tools_effort == tools_effort
    if efforts is not None:
        assert row.efforts == tuple(efforts.split())


def test_a_family_is_no_matter_of_other_dialects() -> None:
    assert DIALECTS["vllm"].for_model("gpt-5") is DIALECTS["vllm"]


def test_an_operators_column_holds_for_every_family() -> None:
    row = derive("openai", {"max_tokens_field": "max_tokens", "region": "eu"}).for_model("gpt-5")
    assert row.max_tokens_field == "max_tokens"
    assert row.region == "eu"
    assert row.reasoning == "effort"


def test_lists_in_the_settings_become_what_the_table_holds() -> None:
    row = derive("vllm", {"reasoning": "effort", "efforts": ["low", "high"], "sampling": [], "prefill": {}})
    assert row.efforts == ("low", "high")
    assert row.sampling == frozenset()
    assert row.name == "vllm"


@pytest.mark.parametrize(
    ("base", "overrides", "told"),
    [
        ("vlm", {}, "base: there is no dialect 'vlm' (did you mean vllm?)"),
        ("x", {}, "base: there is no dialect 'x' (known: openai, azure"),
        (
            "vllm",
            {"max_token_field": "x"},
            "max_token_field: a dialect has no such column (did you mean max_tokens_field?)",
        ),
        ("vllm", {"name": "x"}, "name: a dialect has no such column"),
        ("vllm", {"families": []}, "families: a dialect has no such column"),
        (
            "vllm",
            {"reasoning": "templat"},
            "reasoning: must be one of none, effort, openrouter, template, toggle, not 'templat'",
        ),
        ("vllm", {"stop_max": "four"}, "stop_max: must be a whole number, not a text"),
        (
            "vllm",
            {"efforts": ["low", "lots"]},
            "efforts[1]: must be one of none, minimal, low, medium, high, xhigh, max, not 'lots'",
        ),
    ],
)
def test_a_mistake_in_the_settings_is_named(base: str, overrides: Any, told: str) -> None:
    with pytest.raises(SettingsError) as refused:
        derive(base, overrides)
    assert str(refused.value).startswith(told)


@pytest.mark.parametrize(("native", "wire"), [(True, "messages"), (False, "chat")])
def test_the_earlier_name_of_the_wire_still_works(native: bool, wire: str) -> None:
    assert derive("openai", {"native": native}).wire == wire
    assert derive("openai", {"wire": wire}).wire == wire


@pytest.mark.parametrize(
    ("overrides", "path", "message"),
    [
        ({"native": "yes"}, "native", "must be true or false, not a text"),
        ({"native": True, "wire": "chat"}, "native", "`native` is the earlier name of `wire`: remove it"),
        ({"wire": "responses"}, "wire", "must be one of messages, chat, not 'responses'"),
    ],
)
def test_a_wire_that_cannot_be_is_refused(overrides: dict[str, Any], path: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as refused:
        derive("openai", overrides)
    assert refused.value.path == path
