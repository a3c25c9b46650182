from __future__ import annotations

import pytest

from asgi_llmgate.protocol.chat.leaked_calls.places import Place


def place(words: str, size: int = 1) -> Place:
    made = Place()
    for at in range(0, len(words), size):
        made.add(words[at : at + size])
    return made


@pytest.mark.parametrize("size", [1, 4, 1000])
@pytest.mark.parametrize(
    ("words", "begins"),
    [
        ("", True),
        ("\n", True),
        ("a\n", True),
        ("a\n   ", True),
        ("a\n    ", False),
        ("a\n\t", False),
        ("a\nb", False),
        ("> ", False),
        ("```\n", False),
        ("```\na\n```\n", True),
        ("````\n```\n", False),
        ("````\n`````  \n", True),
        ("```\n~~~\n", False),
        ("```\n``` a\n", False),
        ("~~~ a`b\n", False),
        ("``` a`b\n", True),
        ("1. a\n   ```python\n", False),
        ("1. a\n   ```python\n   ```\n", True),
        ("x" * 600 + "```\n", True),
    ],
)
def test_the_beginning_of_a_line(words: str, begins: bool, size: int) -> None:
    assert place(words, size).begins_line() is begins


@pytest.mark.parametrize(
    ("words", "sentence", "word"),
    [
        ("", False, False),
        ("\n", False, False),
        ("Done.", True, True),
        ("Done. ", True, False),
        ("Done.  ", False, False),
        ("好的。", True, True),
        ("a</think>", True, True),
        ("a", False, True),
        ("a:", False, True),
        ("`a`.", True, True),
        ("`", False, False),
        ("a '", False, False),
        ("```a.", False, False),
        ("```\na.", False, False),
        ("    a.", False, False),
    ],
)
def test_behind_words(words: str, sentence: bool, word: bool) -> None:
    made = place(words)
    assert (made.ends_sentence(), made.ends_word()) == (sentence, word)


@pytest.mark.parametrize(
    "words",
    [
        "The model then writes:",
        "Here is an example:",
        "A call in this format:",
        "What Hermes does:",
        "It returns",
        "这是一个示例：",
        "Its tool call:",
        "looks like this",
        "Let me show you one:",
        "I'll paste the text.",
        "It has two. Let me write it down as follows",
        "Or, for Granite:",
        "**Granite**",
        "### Granite",
    ],
)
def test_words_that_explain(words: str) -> None:
    assert place(words).explains()
    assert not place(words + "\n" + "x " * 200).explains()


@pytest.mark.parametrize(
    "words",
    [
        "Let me read the file first.",
        "I'll check the logs, then run the tests.",
        "Now I will update package.json and the README:",
        "The test fails because of a missing import. Let me fix it:",
        "我来查看一下文件。",
        "Ich sehe mir die Datei an.",
        "First, I need to understand the structure of this project.",
        "Let me look at the parser, and at what the model returns.",
        "The function returns a list of tokens. Now I'll fix it:",
        "Great! Now let me look at the output:",
        "Checking the tests:",
        "接下来我将查看模型。",
    ],
)
def test_words_that_announce(words: str) -> None:
    assert not place(words).explains()
