from __future__ import annotations

import pytest

from asgi_llmgate.clipping import clip

BAD = {
    "a line break": "a\nb",
    "an escape of a terminal": "a\x1b[2Jb",
    "a bidirectional override": "a\u202eb",
    "no width": "a\u200bb",
    "half of a pair": "a\ud800b",
    "a tag": "a\U000e0041b",
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_unsafe_characters_are_replaced(text: str) -> None:
    assert clip(text).replace("[2J", "") == "a\ufffdb"


def test_a_long_text_is_cut_with_a_mark() -> None:
    assert clip("x" * 300, 300) == "x" * 300
    assert clip("x" * 301, 300) == "x" * 299 + "…"
    assert clip("\n" * 10**6, 5) == "\ufffd" * 4 + "…"


def test_letters_of_any_script_stay() -> None:
    assert clip("naïve 数据 🙂") == "naïve 数据 🙂"
