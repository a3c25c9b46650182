from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asgi_llmgate.protocol.servers.schemas.patterns import for_grammar


@pytest.mark.parametrize(
    ("pattern", "written"),
    [
        (r"^abc$", r"^abc$"),
        (r"abc", r"^.*abc.*$"),
        (r"^abc", r"^abc.*$"),
        (r"abc$", r"^.*abc$"),
        (r"^\d{4}-\d{2}$", r"^[0-9]{4}-[0-9]{2}$"),
        (r"^\w+$", r"^[a-zA-Z0-9_]+$"),
        (r"\S", r"^.*[^ \t\r\n].*$"),
        (r"^\D\W\s$", r"^[^0-9][^a-zA-Z0-9_][ ]$"),
        (r"^[\w.-]+@[a-z]+\.com$", r"^[a-zA-Z0-9_.-]+@[a-z]+\.com$"),
        (r"^[\w-.]$", r"^[a-zA-Z0-9_.-]$"),
        (r"^[a\-z]$", r"^[az-]$"),
        (r"^[-a]$", r"^[a-]$"),
        (r"^[a-\d]$", r"^[a0-9-]$"),
        (r"^[^\n\r\t]*$", r"^[^\n\r\t]*$"),
        (r"^[^\s]$", r"^[^ \t\r\n]$"),
        (r"^[\]\[\\/]$", r"^[\]\[\\/]$"),
        (r"^[[]$", r"^[\[]$"),
        (r"^[\.]$", r"^[.]$"),
        (r"^a\/b\-c$", r"^a/b-c$"),
        (r"^(?:a|b){1,3}(c|d)?$", r"^(a|b){1,3}(c|d)?$"),
        (r"^a{2,}$", r"^a{2,}$"),
        (r"^a\$$", r"^a\$$"),
        (r"^\\d$", r"^\\d$"),
        (r"^.*$", r"^.*$"),
        (r"^aé+$", r"^a[é]+$"),
        (r"^[|]$", r"^[|]$"),
    ],
)
def test_a_pattern_is_written_without_what_a_grammar_does_not_know(pattern: str, written: str) -> None:
    assert for_grammar(pattern) == written


NOT_WRITTEN = ["", "^$", "x" * 501, '^"$', "^a|b$", "^(?=a)b$", "^(?!a)b$", "(?<n>a)", r"^(a)\1$", r"\bword\b"]
NOT_WRITTEN += ["^a*?$", "^a++$", "a{2}{3}", "a{1000}", "a{,3}", "{3}", "*a", "(|a)", "(*a)", "()", "(a", "a)"]
NOT_WRITTEN += ["[a", "[]", "[^]", "a^b", "a$b", r"^\u0041$", r"^[\u0041]$", r"^[\S]$", r"^[z-\w]\p{L}$", "^[a-\\"]
NOT_WRITTEN += ["a\\", "[a\\", "^a\nb$", "[\n]", r"^\t$", "[+--]", r"[\x00-a]"]


@pytest.mark.parametrize("pattern", NOT_WRITTEN)
def test_a_pattern_that_cannot_be_written_is_not(pattern: str) -> None:
    assert for_grammar(pattern) is None


PIECES = ["a", "b", "-", ".", r"\d", r"\w", r"\.", r"\-", "[ab]", r"[^a]", r"[\d-]", r"[a-c]", "(a|b)", "(?:ab)"]
PIECES += ["?", "*", "+", "{2}", "{1,2}", "(a", ")", "|", "^", "$", r"[\w.]", r"\S", "/"]


@given(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=6),
    st.sampled_from(["^{}$", "{}", "^{}", "{}$"]),
    st.text("ab1-. _/c", max_size=6),
)
@example(["a", "|", "b"], "^{}$", "ax")
def test_a_pattern_that_is_written_means_the_same(pieces: list[str], frame: str, text: str) -> None:
    pattern = frame.format("".join(pieces))
    written = for_grammar(pattern)
    if written is not None:
        assert (re.search(pattern, text) is None) is (re.search(written, text) is None)
        assert not re.search(r"\\[dwsDWSbB/-]", written), "unknown escapes break the whole grammar"
