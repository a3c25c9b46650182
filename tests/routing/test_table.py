from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llmgate.errors import NotFound, SettingsError
from asgi_llmgate.routing import ModelRow, ModelTable, Price

VENDORS = {"openai": "openai", "vllm": "on-prem"}


def table(*rows: ModelRow) -> ModelTable:
    return ModelTable(rows, VENDORS)


@pytest.mark.parametrize(
    ("row", "asked", "backend", "model"),
    [
        pytest.param(ModelRow("*", ("openai/gpt-4o-mini",)), "claude-opus-5", "openai", "gpt-4o-mini", id="any name"),
        pytest.param(ModelRow("claude-*-5", ("openai/x",)), "claude-opus-5", "openai", "x", id="a star in the middle"),
        pytest.param(ModelRow("qwen*", ("vllm",)), "qwen3-coder", "vllm", "qwen3-coder", id="the asked name is kept"),
        pytest.param(ModelRow("*", ("vllm/org/llama",)), "x", "vllm", "org/llama", id="the first slash splits"),
        pytest.param(ModelRow("a[1m]", ("openai/x",)), "a[1m]", "openai", "x", id="brackets mean themselves"),
        pytest.param(ModelRow("a.b", ("openai/x",)), "a.b", "openai", "x", id="a dot means itself"),
    ],
)
def test_a_name_is_sent_to(row: ModelRow, asked: str, backend: str, model: str) -> None:
    (target,) = table(row).resolve(asked)
    assert (target.backend, target.model, target.vendor) == (backend, model, VENDORS[backend])


@pytest.mark.parametrize("asked", ["axb", "a.bc", "A.B", "a.b\n"], ids=["not a regex", "whole", "case", "newline"])
def test_a_plain_name_fits_only_itself(asked: str) -> None:
    with pytest.raises(NotFound) as caught:
        table(ModelRow("a.b", ("openai/x",))).resolve(asked)
    assert caught.value.message == f"model: {asked}"


def test_the_first_fitting_row_wins() -> None:
    rows = table(ModelRow("claude-haiku-*", ("openai/small",)), ModelRow("*", ("openai/large",)))
    assert rows.resolve("claude-haiku-4-5")[0].model == "small"
    assert rows.resolve("claude-opus-5")[0].model == "large"


def test_targets_keep_their_order_and_the_limits_of_their_row() -> None:
    row = ModelRow("*", ("vllm", "openai/gpt-4o-mini"), max_output_tokens=100, context_window=2000)
    first, second = table(row).resolve("qwen")
    assert (first.model, second.model) == ("qwen", "gpt-4o-mini")
    assert {(t.max_output_tokens, t.context_window) for t in (first, second)} == {(100, 2000)}


def test_a_condition_decides_whether_a_row_counts() -> None:
    rows = table(
        ModelRow("*", ("vllm/big",), when=lambda facts: facts["team"] == "research"), ModelRow("*", ("openai/s",))
    )
    assert rows.conditional
    assert rows.resolve("m", {"team": "research"})[0].model == "big"
    assert rows.resolve("m", {"team": "sales"})[0].model == "s"


def test_what_a_call_could_have_is_every_row_up_to_one_that_is_certain() -> None:
    rows = table(
        ModelRow("m", ("openai/no",), when=lambda facts: False),
        ModelRow("m", ("openai/perhaps",), when=lambda facts: None),
        ModelRow("*", ("vllm/yes", "openai/too")),
        ModelRow("m", ("openai/never",)),
    )
    assert [target.model for target in rows.possible("m", {})] == ["perhaps", "yes", "too"]
    assert rows.resolve("m", {})[0].model == "yes"
    assert table(ModelRow("m", ("openai/x",), when=lambda facts: False)).possible("m", {}) == ()


def test_a_target_without_a_backend_is_refused_with_its_place() -> None:
    with pytest.raises(SettingsError) as caught:
        table(ModelRow("a", ("openai/x",)), ModelRow("b", ("opnai/x",)))
    assert str(caught.value) == "models[1].use: no backend is named 'opnai' (backends: openai, vllm)"


def test_listed_shows_plain_names_and_named_lists_once() -> None:
    rows = table(
        ModelRow("qwen3-coder", ("vllm",), display_name="Qwen 3"),
        ModelRow("claude-*", ("openai/x",), listed=("claude-opus-5", "qwen3-coder")),
        ModelRow("*", ("openai/x",)),
    )
    assert list(rows.listed()) == [("qwen3-coder", "Qwen 3"), ("claude-opus-5", "claude-opus-5")]


def test_a_long_name_is_cut_in_the_message() -> None:
    with pytest.raises(NotFound) as caught:
        table(ModelRow("a", ("openai/x",))).resolve("m" * 10_000)
    assert len(caught.value.message) < 200


def fits(pattern: str, name: str) -> bool:
    return bool(table(ModelRow(pattern, ("vllm",))).possible(name))


@given(st.text("ab*", max_size=9), st.text("ab\n", max_size=12))
def test_a_star_stands_for_any_characters(pattern: str, name: str) -> None:
    expected = re.fullmatch(".*".join(pattern.split("*")), name, re.DOTALL)
    assert fits(pattern, name) is (expected is not None)


class Searched(str):
    """A name that counts the characters that a search for a part of it has looked at."""

    looked_at = 0

    def find(self, sub: str, start: int = 0, end: int | None = None) -> int:  # type: ignore[override]
        stop = len(self) if end is None else end
        found = super().find(sub, start, stop)
        self.looked_at += (stop if found < 0 else found + len(sub)) - start
        return found


@pytest.mark.parametrize("pattern", ["*" + "a*" * parts + "b*" for parts in range(24)])
def test_no_character_of_a_name_is_looked_at_twice(pattern: str) -> None:
    name = Searched("a" * 24 + "c")
    assert not fits(pattern, name)
    assert 0 < name.looked_at <= len(name)


def test_a_target_has_the_limits_and_the_price_of_its_row() -> None:
    rows = [
        ModelRow("a", ("x/m",), max_output_tokens=5, prices=(Price(input=1.0, output=2.0),)),
        ModelRow("q*", ("x",), max_output_tokens=7),
    ]
    table = ModelTable(rows, {"x": "v"})
    assert table.target("x/m").price is not None
    assert [table.target(f"x/{model}").max_output_tokens for model in ("m", "qwen", "other")] == [5, 7, None]
    for wrong in ("x", "x/", "y/m"):
        with pytest.raises(SettingsError):
            table.target(wrong)
