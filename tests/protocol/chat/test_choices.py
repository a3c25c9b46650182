from __future__ import annotations

import pytest

from asgi_llmgate.protocol.chat.choices import ChoiceSelector
from asgi_llmgate.protocol.chat.chunks import Choice


def selected(*indexes: int | None, end: int | None = None) -> tuple[str, bool]:
    """Which of some chunks with one choice each are read, in the order of reading; `end` is the number of the chunk
    with the finish reason."""
    selector, letters, read = ChoiceSelector(), "abcdefgh", ""
    for number, index in enumerate(indexes):
        choice = Choice(index=index, finish_reason=letters[number])
        found = (
            [choice]
            if index == selector.index
            else selector.select(
                choice, several=False, has_content=bool(read), has_ended=end is not None and number > end
            )
        )
        read += "".join(one.finish_reason or "" for one in found)
    read += "".join(one.finish_reason or "" for one in selector.rest())
    return read, selector.ignored


@pytest.mark.parametrize(
    ("indexes", "read", "ignored"),
    [
        ((0, 0, 0), "abc", False),
        ((None, None), "ab", False),
        ((1, 1, 1), "abc", False),
        ((0, 1, 2, 3), "abcd", False),
        ((5, 6, 7), "abc", False),
        ((0, 0, 1, 2), "abcd", False),
        ((0, 1), "ab", False),
        ((0, 1, None, 2), "abcd", False),
        ((0, 1, 0, 1), "ac", True),
        ((0, 1, 1, 0), "ad", True),
        ((0, 2, 0), "ac", True),
        ((0, 1, 0, 2, 1), "ac", True),
        ((1, 0, 1), "ac", True),
    ],
    ids=str,
)
def test_one_choice_is_read_whatever_its_index_is(indexes: tuple[int | None, ...], read: str, ignored: bool) -> None:
    assert selected(*indexes) == (read, ignored)


def test_a_choice_that_comes_after_the_end_of_the_first_is_another() -> None:
    assert selected(0, 0, 1, 1, end=1) == ("ab", True)


def test_of_several_choices_in_one_chunk_the_first_with_content_is_read() -> None:
    selector = ChoiceSelector()
    first, second = Choice(index=0), Choice(index=1)
    assert selector.select(first, several=True, has_content=False, has_ended=False) == [first]
    assert selector.select(second, several=True, has_content=True, has_ended=False) == []
    assert (selector.index, selector.ignored) == (0, True)
    assert selector.rest() == []
