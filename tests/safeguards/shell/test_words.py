"""Words as bash itself reads them."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from asgi_llmgate.safeguards.shell import commands_of
from asgi_llmgate.safeguards.shell.words import Uncertain, expand_braces, unescape_ansi

WORDS = [
    "a b",
    "'a b'",
    "''",
    '""',
    '"a b"',
    "a\\ b",
    "a\\\\b",
    "\\a\\$b\\'",
    '"a\\"b\\$c\\\\d\\e\\`f"',
    "'a\\b\"c'",
    "a'b'\"c\"d",
    '"it\'s"',
    "$'a\\nb\\tc\\'d\\\\e'",
    "$'\\x41\\101\\u00e9\\U0001f600\\e'",
    "'{a,b}'",
    "\\{a,b}",
    "{a,b}",
    "x{a,b}y{c,d}",
    "{a,{b,c}}",
    "{1..4}",
    "{4..1}",
    "{a..d}x",
    "{,a}b",
    "a{b}c",
    "{}",
    "{a",
    "a}",
    "{a,b",
    '{"a b",c}',
    "{a,'b,c'}",
    "--x={a,b}",
    "a=b",
    "-",
    "--",
    '"$"',
    '"a$"',
    "a#b",
    "'#'",
    "%",
    "a:b,c",
    "日本 é",
    "'a\nb'",
    '"a\nb"',
    "@",
    "^",
    "!x",
    "1 22 -3",
    "a.b.c",
    "x'{'y,z'}'",
]


def test_words_are_what_bash_gives_to_a_command() -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash")
    script = "".join(f"printf '%s\\0' {words}\nprintf 'END\\0'\n" for words in WORDS)
    done = subprocess.run(
        [bash, "--norc", "-c", script], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}, cwd="/proc/self"
    )
    expected = done.stdout.decode().removesuffix("\0").split("\0")
    for words in WORDS:
        found = commands_of(f"printf '%s\\0' {words}")
        end = expected.index("END")
        assert found is not None, words
        assert found[0][2:] == expected[:end], words
        del expected[: end + 1]


@pytest.mark.parametrize("text", ["{1..100}", "{a,b}" * 7, "{1..9999999}", "{1..9..2}", "{a..9}"])
def test_braces_that_are_many_or_unusual_are_uncertain(text: str) -> None:
    with pytest.raises(Uncertain):
        expand_braces(text)


@pytest.mark.parametrize("text", ["\\0", "\\x00", "\\cx", "\\xff", "\\377", "\\ud800", "\\q"])
def test_escapes_that_are_read_in_several_ways_are_uncertain(text: str) -> None:
    with pytest.raises(Uncertain):
        unescape_ansi(text)
