from __future__ import annotations

import pytest

from asgi_llmgate.config.settings_page import Row, read_page

PAGE = """
<!-- keys of the top level -->
| key | default | meaning |
|---|---|---|
| `one` | | the first: [](other.md) |
| `two.part` | `3` | a [link](x.md#y) and `code`, also with `a \\| b` |

<!-- keys of list[], map.* -->
| key | meaning |
|---|---|
| `three` | in both |

| key | default | meaning |
|---|---|---|
| `unmarked` | | not a setting |
"""


def test_the_rows_of_a_page() -> None:
    rows = list(read_page(PAGE))
    assert [(row.path, row.default, row.description) for row in rows] == [
        ("one", "", "the first"),
        ("two.part", "`3`", "a link and code, also with a \\| b"),
        ("list[].three", "", "in both"),
        ("map.*.three", "", "in both"),
    ]


@pytest.mark.parametrize(
    ("meaning", "description"),
    [
        ("when it is true: [](a.md)", "when it is true"),
        ("when it is true; see [](a.md#b)", "when it is true"),
        ("see [the list](a.md) of `names`", "see the list of names"),
        ("such as `{a: [b]}`", "such as {a: [b]}"),
    ],
)
def test_a_description_is_text(meaning: str, description: str) -> None:
    assert Row("x", "", meaning).description == description


def test_two_keys_in_one_cell_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="is not one key"):
        list(read_page(PAGE.replace("`one`", "`one`, `more`")))


def test_each_key_is_on_the_page_once() -> None:
    paths = [row.path for row in read_page()]
    assert len(paths) > 100
    assert sorted(paths) == sorted(set(paths))
