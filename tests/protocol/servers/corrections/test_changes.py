from __future__ import annotations

import pytest

from asgi_llmgate.protocol.servers.corrections.changes import NO_CORRECTIONS, Corrections


def test_lessons_add_up_and_of_two_limits_the_smaller_counts() -> None:
    first = Corrections(
        refused_fields=frozenset({"stop"}), missing=frozenset({"images"}), max_output_tokens=4096, context_window=9999
    )
    second = Corrections(refused_fields=frozenset({"top_k"}), max_output_tokens=8192, max_images=2, efforts=("low",))
    both = Corrections(
        refused_fields=frozenset({"stop", "top_k"}),
        missing=frozenset({"images"}),
        efforts=("low",),
        max_output_tokens=4096,
        context_window=9999,
        max_images=2,
    )
    assert first.merge(second) == second.merge(first) == both
    assert both.merge(NO_CORRECTIONS) == NO_CORRECTIONS.merge(both) == both
    assert Corrections(max_tokens_field="a").merge(Corrections(max_tokens_field="b")).max_tokens_field == "b"


def test_a_complaint_about_what_has_been_corrected_is_known_again() -> None:
    corrected = Corrections(refused_fields=frozenset({"stop"}), missing=frozenset({"images"}), max_output_tokens=4096)
    assert Corrections(refused_fields=frozenset({"stop"})).repeats(corrected)
    assert Corrections(missing=frozenset({"images", "documents"})).repeats(corrected)
    assert not Corrections(refused_fields=frozenset({"top_k"}), missing=frozenset({"documents"})).repeats(corrected)
    assert not Corrections(max_output_tokens=4096).repeats(corrected), "limits come down step by step"


@pytest.mark.parametrize("limit", [1, 50, 1023, 1024, 8192])
def test_a_limit_that_no_model_has_is_for_one_call(limit: int) -> None:
    said = Corrections(
        max_output_tokens=limit, context_window=4 * limit, max_images=1, refused_fields=frozenset({"stop"})
    )
    kept = said.shareable()
    assert kept == (said if limit >= 1024 else Corrections(max_images=1, refused_fields=frozenset({"stop"})))
