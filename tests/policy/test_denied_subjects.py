from __future__ import annotations

import logging
import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_llmgate import SettingsError
from asgi_llmgate.policy import denied_subjects as module
from asgi_llmgate.policy.denied_subjects import MAX_SUBJECT_LENGTH, DeniedSubjects


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "denied.txt"
    path.write_text("# left on Friday\nmallory\n\n  eve@example.com\n  # the end\n")
    return path


def written(folder: Path, data: bytes | str) -> Path:
    path = folder / "denied.txt"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def test_a_line_is_a_subject(file: Path) -> None:
    denied = DeniedSubjects(file)
    assert "mallory" in denied
    assert "eve@example.com" in denied
    assert "" not in denied
    assert "mall" not in denied
    assert "# the end" not in denied


E_ACUTE, E_AND_ACUTE = "\u00e9", "e\u0301"

SUBJECTS = [
    "user_ext#EXT#@tenant.onmicrosoft.com",
    "repo:acme/app:ref:refs/heads/fix#12",
    "a#",
    "a##b",
    "00u1a2b3c4D5E6F7",
    "auth0|5f7c8ec7c33c6c004bbafe82",
    "google-oauth2|1089",
    "system:serviceaccount:ns:name",
    "tenant/object-id",
    "CN=Alice Smith,OU=Staff,O=Acme",
    "two  blanks",
    "a;b,c=d:e",
    "'quoted'",
    '"quoted"',
    "-",
    "!x",
    "%23",
    "jos\u00e9",
    "\u5f20\u4f1f",
    "\U0001f600",
    "\ufb01n",
    "stra\u00dfe",
    "x" * MAX_SUBJECT_LENGTH,
]


@pytest.mark.parametrize("subject", SUBJECTS, ids=ascii)
@pytest.mark.parametrize("form", ["{}", "\ufeff{}", "\ufeff{}\r\n", "a\r\n{}\r\nb", "a\r{}\rb", " \t{}\t \n", "#\n{}"])
def test_whoever_stands_in_a_line_is_locked_out(tmp_path: Path, subject: str, form: str) -> None:
    denied = DeniedSubjects(written(tmp_path, form.format(subject)))
    assert subject in denied
    assert subject + "x" not in denied
    assert subject[:-1] not in denied or subject[:-1] in ("a", "")


@pytest.mark.parametrize(
    ("listed", "asked"), [(E_ACUTE, E_AND_ACUTE), (E_AND_ACUTE, E_ACUTE), ("\u212b", "\u00c5"), ("A\u030a", "\u212b")]
)
def test_two_spellings_of_one_text_in_unicode_are_one_subject(tmp_path: Path, listed: str, asked: str) -> None:
    assert f"jos{asked}" in DeniedSubjects(written(tmp_path, f"jos{listed}"))


@pytest.mark.parametrize(("listed", "asked"), [("Eve", "eve"), ("eve", "EVE"), ("\ufb01n", "fin"), ("\uff45ve", "eve")])
def test_case_and_compatible_letters_tell_subjects_apart(tmp_path: Path, listed: str, asked: str) -> None:
    assert asked not in DeniedSubjects(written(tmp_path, listed))


@settings(deadline=None)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp", "Zs"]), min_size=1, max_size=30).filter(
            lambda text: not text.startswith("#")
        ),
        min_size=1,
    ),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
    st.sampled_from(["NFC", "NFD"]),
)
def test_any_subjects_that_can_be_seen_are_found_again(
    tmp_path_factory: pytest.TempPathFactory, subjects: list[str], end: str, mark: bool, form: str
) -> None:
    data = ("\ufeff" if mark else "") + end.join(subjects)
    denied = DeniedSubjects(written(tmp_path_factory.getbasetemp(), data))
    assert all(unicodedata.normalize(form, subject) in denied for subject in subjects)  # type: ignore[arg-type]


WRONG = [
    ("mallory # her laptop", "a comment needs a line of its own"),
    ("mallory\t# her laptop", "a comment needs a line of its own"),
    ("mallory  #", "a comment needs a line of its own"),
    ("mal\tlory", "U+0009"),
    ("mal\0lory", "U+0000"),
    ("mal\x0blory", "U+000B"),
    ("mal\x0clory", "U+000C"),
    ("mal\x1clory", "U+001C"),
    ("mal\x1b[0mlory", "U+001B"),
    ("mal\x7flory", "U+007F"),
    ("mal\u0085lory", "U+0085"),
    ("\u00a0mallory", "U+00A0"),
    ("mallory\u00a0", "U+00A0"),
    ("mal\u00adlory", "U+00AD"),
    ("mal\u200blory", "U+200B"),
    ("mallory\u200d", "U+200D"),
    ("\u202emallory", "U+202E"),
    ("mal\u2028lory", "U+2028"),
    ("mal\u2029lory", "U+2029"),
    ("mallory\u3000", "U+3000"),
    ("\u2003mallory", "U+2003"),
    ("\ufeffmallory", "U+FEFF"),
    ("\ufeff# joined with another file", "U+FEFF"),
    ("m" * (MAX_SUBJECT_LENGTH + 1), f"longer than {MAX_SUBJECT_LENGTH} characters"),
]


@pytest.mark.parametrize(("line", "why"), WRONG, ids=[ascii(line)[:40] for line, _ in WRONG])
def test_a_line_that_could_match_nobody_is_an_error_with_its_place(tmp_path: Path, line: str, why: str) -> None:
    path = written(tmp_path, f"eve\n#\n{line}\nbob")
    with pytest.raises(SettingsError) as caught:
        DeniedSubjects(path)
    assert caught.value.path == "deny_subjects.file"
    assert f"{path}:3: " in caught.value.message
    assert why in caught.value.message
    assert "mal" not in caught.value.message.replace(str(path), "")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("mallory\n".encode("utf-16"), "is UTF-16; save it as UTF-8"),
        (b"\xfe\xff" + "mallory\n".encode("utf-16-be"), "is UTF-16; save it as UTF-8"),
        ("mallory\n".encode("utf-16-le"), ":1: contains the invisible U+0000"),
        ("eve\r\njos\u00e9\r\n".encode("latin-1"), ":2: not UTF-8"),
        (b"eve\rbob\r\xff", ":3: not UTF-8"),
        (b"eve\n\xed\xa0\x80", ":2: not UTF-8"),
    ],
    ids=ascii,
)
def test_another_encoding_is_an_error(tmp_path: Path, data: bytes, why: str) -> None:
    with pytest.raises(SettingsError) as caught:
        DeniedSubjects(written(tmp_path, data))
    assert why in caught.value.message


def test_a_file_without_an_end_is_not_read_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="not a regular file"):
        DeniedSubjects("/dev/zero")
    with pytest.raises(SettingsError, match="not a regular file"):
        DeniedSubjects(tmp_path)
    monkeypatch.setattr(module, "MAX_FILE_SIZE", 2**20)
    with pytest.raises(SettingsError, match="is larger than 1 MiB"):
        DeniedSubjects(written(tmp_path, b"eve\n" * 2**18 + b"x"))


def test_a_changed_file_counts_after_a_second_and_is_not_looked_at_before(file: Path) -> None:
    clock = Clock()
    denied = DeniedSubjects(file, now=clock)
    file.write_text("bob\n")
    clock.now = 0.9
    assert "bob" not in denied
    clock.now = 1.0
    assert "bob" in denied
    assert "mallory" not in denied


def test_a_file_put_in_its_place_counts_even_with_the_same_size_and_time(file: Path, tmp_path: Path) -> None:
    clock = Clock()
    denied = DeniedSubjects(file, now=clock)
    other = tmp_path / "new"
    other.write_bytes(file.read_bytes().replace(b"mallory", b"malcolm"))
    stamp = file.stat().st_mtime_ns
    os.utime(other, ns=(stamp, stamp))
    other.replace(file)
    clock.now = 1.0
    assert "malcolm" in denied


def test_when_the_file_is_gone_the_last_list_stays_and_the_log_says_so_once(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    denied = DeniedSubjects(file, now=clock)
    file.unlink()
    for clock.now in (1.0, 2.0, 3.0):
        assert "mallory" in denied
    assert "cannot be read (FileNotFoundError)" in caplog.text
    assert "mallory" not in caplog.text
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


@pytest.mark.parametrize(
    ("data", "new"),
    [
        (b"bob\nalice # on leave\ncarol\n", True),
        (b"bob\ncarol\nmal\xc2\xa0lory", True),
        ("bob\ncarol\n".encode("utf-16"), False),
        (b"bob\n\xff\ncarol\n", False),
    ],
    ids=ascii,
)
def test_a_later_list_that_is_wrong_lets_nobody_in(
    file: Path, caplog: pytest.LogCaptureFixture, data: bytes, new: bool
) -> None:
    clock = Clock()
    denied = DeniedSubjects(file, now=clock)
    file.write_bytes(data)
    for clock.now in (1.0, 2.0):
        assert "mallory" in denied
        assert [name in denied for name in ("bob", "carol")] == [new, new]
    assert len(caplog.records) == 1
    assert "the last one remains valid" in caplog.text
    file.write_text("carol\n")
    clock.now = 3.0
    assert "carol" in denied
    assert "mallory" not in denied


def test_a_file_that_is_not_there_at_start_is_a_settings_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"deny_subjects\.file"):
        DeniedSubjects(tmp_path / "nothing")
