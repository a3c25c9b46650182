from __future__ import annotations

import pytest

import asgi_llmgate

ALIASES = {"ASGIApp", "DIALECTS", "Layer", "Message", "Receive", "Routes", "Scope", "Send", "Session", "Variable"}
"""Of types, and a mapping: these have no docstring at run time."""


@pytest.mark.parametrize("name", sorted({*asgi_llmgate.__all__} - {"__version__"} - ALIASES))
def test_a_public_name_is_there_and_says_what_it_is(name: str) -> None:
    assert getattr(asgi_llmgate, name).__doc__


def test_the_names_are_listed() -> None:
    assert ALIASES <= set(asgi_llmgate.__all__) <= set(dir(asgi_llmgate))


def test_a_name_that_is_none_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Getaway'"):
        _ = asgi_llmgate.Getaway
