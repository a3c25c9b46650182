"""docs/reference/classifier.md shows the texts that the classifier gets."""

from __future__ import annotations

import re
from pathlib import Path

from asgi_llmgate.safeguards import prompt

PAGE = (Path(__file__).parents[2] / "docs/reference/classifier.md").read_text("utf-8")


def test_the_page_has_the_prompt_in_full() -> None:
    assert re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL) == [
        prompt.read_text("frame"),
        prompt.read_text("instructions"),
    ]


def test_the_page_has_the_limits() -> None:
    for number in (prompt.MAX_INPUT, prompt.MAX_INPUTS, prompt.MAX_TURN):
        assert f"{number:,} characters" in PAGE or f"{number:,} of all" in PAGE
