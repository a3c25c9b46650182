"""The command line as a whole: suggestions, completion, and no traceback for what users, files and pipes do."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from asgi_llmgate.cli import _COMMANDS, main
from tests.helpers.installation import ROOT

LLMGATE = Path(sys.executable).with_name("llmgate")
SETTINGS = """
backends: {o: {base_url: "http://127.0.0.1:9/v1"}}
models: [{match: "*", use: o/m}]
policy: {default: allow}
auth: {mode: "off"}
usage: {ledger: {}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "llmgate.yaml").write_text(SETTINGS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def commands(group: click.Group, *names: str) -> Iterator[tuple[str, ...]]:
    """Each command that does something: ("check",), ("usage", "report")."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, *names, name)
        else:
            yield (*names, name)


COMMANDS = list(commands(main))


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("chek", "did you mean check?"),
        ("chekc", "did you mean check?"),
        ("Check", "did you mean check?"),
        ("shema", "did you mean schema?"),
        ("usages", "did you mean usage?"),
        ("usage repot", "did you mean report?"),
        ("usage trail", "did you mean tail?"),
        ("policy tests", "did you mean test?"),
        ("policy explian", "did you mean explain?"),
        ("zzz", "there is "),
        ("usage zzz", "there is drain, flags, prune, report, tail, webhook"),
    ],
)
def test_a_command_that_is_not_there(words: str, meant: str) -> None:
    result = CliRunner().invoke(main, words.split())
    assert result.exit_code == 2
    assert f"Error: there is no command '{words.split()[-1]}'; {meant}" in result.stderr


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("columns", ["20", "200"])
def test_each_command_explains_itself(command: tuple[str, ...], columns: str) -> None:
    result = CliRunner(env={"COLUMNS": columns}).invoke(main, [*command, "--help"])
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    undescribed = re.findall(r"^  (-[^ ]+(?: [A-Z]+)?)$", result.stdout, re.MULTILINE) if columns == "200" else []
    assert undescribed == []


def test_the_program_explains_itself() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    assert re.findall(r"^  ([a-z]+) {2,}\S", result.stdout, re.MULTILINE)[-len(_COMMANDS) :] == list(_COMMANDS)
    assert CliRunner().invoke(main, ["--version"]).stdout.startswith("llmgate, version ")


def test_a_line_of_help_is_the_commands_own() -> None:
    """The table has it too, so that `llmgate --help` need not import every command."""
    context = click.Context(main)
    for name, (_, line) in _COMMANDS.items():
        command = main.get_command(context, name)
        assert command is not None
        assert line.endswith(".")
        assert len(line) < 78, name


def test_the_page_has_each_command() -> None:
    page = (ROOT / "docs" / "reference" / "command-line.md").read_text("utf-8")
    rows = re.findall(r"^\| `([a-z ]+)` \|", page, re.MULTILINE)
    assert sorted(rows) == sorted(" ".join(command) for command in COMMANDS)


@pytest.mark.parametrize("command", [command for command in COMMANDS if len(command) > 1], ids=" ".join)
def test_each_group_of_commands_suggests_its_own(command: tuple[str, ...]) -> None:
    *group, name = command
    result = CliRunner().invoke(main, [*group, f"{name}x"])
    assert (result.exit_code, f"did you mean {name}?" in result.stderr) == (2, True)


def test_completion_of_commands_imports_none_of_them() -> None:
    words = {"_LLMGATE_COMPLETE": "bash_complete", "COMP_WORDS": "llmgate us", "COMP_CWORD": "1"}
    code = (
        "import sys; from asgi_llmgate.cli import main\n"
        "try: main(prog_name='llmgate')\n"
        "finally: print(sum(name.startswith('asgi_llmgate.') for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | words, capture_output=True, text=True)
    completed, modules = done.stdout.split()
    assert completed == "plain,usage"
    assert int(modules) < 10


UNREADABLE = {
    "not UTF-8": lambda path: path.write_bytes(b"a: \xff\xfe\x00b\n"),
    "binary": lambda path: path.write_bytes(bytes(range(256))),
    "empty": lambda path: path.write_bytes(b""),
    "a folder": lambda path: path.mkdir(),
    "not there": lambda path: None,
    "a list": lambda path: path.write_text("[1, 2]"),
}

READERS = [
    ["check", "--config", "FILE"],
    ["serve", "--config", "FILE"],
    ["doctor", "--config", "FILE"],
    ["convert", "agentgateway", "FILE"],
    ["policy", "test", "FILE"],
    ["policy", "explain", "--config", "FILE", "--claims", "-"],
    ["policy", "explain", "--claims", "FILE"],
    ["policy", "explain", "--token", "FILE"],
    ["usage", "report", "--config", "FILE"],
    ["usage", "tail", "--config", "FILE"],
    ["usage", "prune", "--config", "FILE"],
    ["usage", "drain", "--config", "FILE"],
]


@pytest.mark.parametrize("content", UNREADABLE)
@pytest.mark.parametrize("words", READERS, ids=" ".join)
def test_a_file_that_cannot_be_used(folder: Path, words: list[str], content: str) -> None:
    UNREADABLE[content](folder / "given")
    result = CliRunner().invoke(main, [word.replace("FILE", "given") for word in words], input="{}")
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code in (1, 2)
    assert 10 < len(result.output) < 800  # a message, whose words belong to the command


@pytest.mark.parametrize(
    "given", [b"\xff\xfe", b"", b"\x00", b"two tokens", bytes(range(256)), b"a.b.c", b"\xc3\xa9.e.e"]
)
@pytest.mark.parametrize(
    "words",
    [["check", "--token", "-"], ["policy", "explain", "--token", "-"], ["policy", "explain", "--claims", "-"]],
    ids=" ".join,
)
def test_what_is_no_token_on_standard_input(folder: Path, words: list[str], given: bytes) -> None:
    result = CliRunner().invoke(main, words, input=given)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 1


@pytest.mark.parametrize(
    "words", [["mint", "--dir", "llmgate.yaml"], ["jwks", "--dir", "llmgate.yaml/x"], ["demo", "--dir", "llmgate.yaml"]]
)
def test_a_folder_that_cannot_be_used(folder: Path, words: list[str]) -> None:
    result = CliRunner().invoke(main, words)
    assert (result.exit_code, isinstance(result.exception, SystemExit)) == (1, True)
    assert "cannot be used" in result.stderr


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["schema"], ["usage", "report", "--format", "json"]])
def test_an_output_that_is_full(folder: Path, words: list[str]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "w") as full:
        done = subprocess.run([LLMGATE, *words], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == "Error: the output cannot be written: No space left on device\n"


def test_a_reader_that_ends_first(folder: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([LLMGATE, "schema"], stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("words", [["check", "--config"], ["policy", "test"]])
def test_ctrl_c(folder: Path, words: list[str]) -> None:
    os.mkfifo(folder / "pipe")
    with (
        subprocess.Popen(
            [LLMGATE, *words, "pipe"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        ) as process,
        open(folder / "pipe", "w"),
    ):  # it is opened as soon as the command reads it
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.strip()) == (1, "Aborted!")


def test_names_that_the_outputs_encoding_lacks(folder: Path) -> None:
    environment = os.environ | {"PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([LLMGATE, "check", "詩\udcff"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "\\u8a69\\udcff: m at o" in done.stdout
