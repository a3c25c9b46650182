from __future__ import annotations

import pytest

import asgi_llmgate


@pytest.mark.parametrize("name", [name for name in asgi_llmgate.__all__ if name != "__version__"])
def test_a_public_name_is_there_and_says_what_it_is(name: str) -> None:
    assert getattr(asgi_llmgate, name).__doc__


def test_the_names_are_sorted_and_listed() -> None:
    assert asgi_llmgate.__all__ == sorted(asgi_llmgate.__all__)
    assert set(asgi_llmgate.__all__) <= set(dir(asgi_llmgate))


def test_a_name_that_is_none_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Getaway'"):
        _ = asgi_llmgate.Getaway
