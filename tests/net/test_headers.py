from __future__ import annotations

import httpx
import pytest

from asgi_llmgate.net import header_name, header_value

UNSENDABLE = [
    "a\nb",
    "a\r\nx: y",
    "a\rb",
    "a\n",
    "\na",
    "a\0b",
    "a\x1b[1m",
    "a\x7f",
    "kl\u0142ucz",
    "\u201cquoted\u201d",
    "\U0001f511",
]
"""Values that a header cannot contain."""


@pytest.mark.parametrize("text", UNSENDABLE, ids=ascii)
def test_what_no_header_can_hold_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match="a header cannot contain") as caught:
        header_value(text)
    assert text not in str(caught.value)


@pytest.mark.parametrize("text", ["", "sk-1", "a b", "a\tb", "M\xfcller", "~!@#$%^&*()_+"])
def test_what_a_header_can_hold_goes_as_it_is(text: str) -> None:
    assert httpx.Headers([(b"x", header_value(text))])["x"] == text


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\n", "\xe4", "a\0", "(a)"], ids=ascii)
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="not a header name"):
        header_name(name)


def test_names_are_lower_case() -> None:
    assert header_name("X-Org_1") == b"x-org_1"
