"""Commands that run other commands, which are then commands of the line as well.

    sudo -u root kubectl get pods        ["sudo", "-u", ...], ["root", "kubectl", ...], ["kubectl", "get", "pods"]
    /usr/bin/Kubectl get pods            ["/usr/bin/Kubectl", ...], ["kubectl", ...]

Which options of a wrapper take a value is not known here, and need not be: the command may begin at each word behind
it, so each of them is told.  A flag rule asks whether one of the commands is what it means; a pass rule asks about all
of them, and so does not fit where one is strange to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from asgi_llmgate.safeguards.shell.words import Uncertain, Word

WRAPPERS = frozenset(
    {"!", "-", "arch", "builtin", "bunx", "busybox", "caffeinate", "chroot", "chrt", "command", "coproc"}
    | {"doas", "eatmydata", "entr", "env", "exec", "firejail", "flock", "gtimeout", "gxargs", "ionice"}
    | {"linux32", "linux64", "ltrace", "nice", "nocorrect", "noglob", "nohup", "npx", "nsenter"}
    | {"perf", "pkexec", "pnpx", "proot", "repeat", "rlwrap", "run0", "runuser", "setarch"}
    | {"setpriv", "setsid", "stdbuf", "strace", "su", "sudo", "systemd-run", "taskset", "time"}
    | {"timeout", "torify", "torsocks", "toybox", "trickle", "unbuffer", "unshare", "uvx", "valgrind"}
    | {"cgexec", "choom", "dbus-run-session", "fakeroot", "faketime", "numactl", "prlimit", "proxychains"}
    | {"proxychains4", "systemd-inhibit", "watch", "xargs", "xvfb-run"}
)
"""Commands that run the command in their arguments."""

RUNNERS = frozenset(
    {("uv", "run"), ("poetry", "run"), ("pipx", "run"), ("pdm", "run"), ("hatch", "run"), ("bundle", "exec")}
    | {("npm", "exec"), ("npm", "x"), ("pnpm", "exec"), ("pnpm", "dlx"), ("yarn", "dlx"), ("bun", "x")}
    | {("mise", "exec"), ("direnv", "exec"), ("aws-vault", "exec"), ("op", "run"), ("nix", "run"), ("nix", "shell")}
)
"""The same with a subcommand."""

_XARGS = frozenset({"xargs", "gxargs"})
"""Wrappers that add arguments from their input."""

_EXECUTED_BY_FIND = frozenset({"-exec", "-execdir", "-ok", "-okdir", "-x", "--exec", "-X", "--exec-batch"})

_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")

_SPLIT = re.compile(r"-[^-]*S|--s")
"""The option of `env` that takes a whole command as one word."""

MAX_STARTS = 100
"""Words behind a wrapper at which its command may begin."""


def program_of(word: str) -> str:
    """The name of a command without its folder, in lower case, since some file systems ignore case."""
    return word if _ASSIGNMENT.match(word) else word.rpartition("/")[2].lower().removesuffix(".exe")


def names_of(word: str) -> Iterator[str]:
    """Further names of a command."""
    yield from sorted({word.rpartition("/")[2], program_of(word)} - {word, ""} if not _ASSIGNMENT.match(word) else ())


def is_wrapper(words: Sequence[Word]) -> bool:
    """Whether the command runs the command in its arguments."""
    name = program_of(words[0].text)
    return name in WRAPPERS or (len(words) > 1 and (name, words[1].text) in RUNNERS)


def wrapped(words: Sequence[Word]) -> Iterator[Sequence[Word]]:
    """The commands that a command runs as its arguments.  Raises Uncertain where that cannot be known."""
    if program_of(words[0].text) in ("find", "fd", "fdfind"):
        yield from _executed_by_find(words)
    if not is_wrapper(words):
        return
    more: tuple[Word, ...] = ()
    if any(program_of(word.text) in _XARGS for word in words):
        _check_placeholder(words)
        more = (Word("$@", certain=False),)
    starts = [index for index, word in enumerate(words) if index and not _is_option(word)]
    if len(starts) > MAX_STARTS:
        raise Uncertain
    for index in starts:
        if words[index].certain:
            yield (*words[index:], *more)
    # The command itself, or that of a wrapper behind this one, must not be filled in.
    commands = [words, *((*words[index:], *more) for index in starts)]
    for command in filter(is_wrapper, commands):
        if program_of(command[0].text) == "env" and any(_SPLIT.match(word.text) for word in command[1:]):
            raise Uncertain
        first = next((word for word in command[1:] if not _is_option(word)), None)
        if first is not None and not first.certain:
            raise Uncertain


def _is_option(word: Word) -> bool:
    """Whether the word is an option of a wrapper, or an assignment: no name of a command."""
    return word.text.startswith(("-", "{}")) or _ASSIGNMENT.match(word.text) is not None


def _check_placeholder(words: Sequence[Word]) -> None:
    """Raises Uncertain for `xargs -I{} {} get`, and for another placeholder than `{}`: it may be in any text."""
    names = [program_of(word.text) for word in words]
    index = next(number for number, name in enumerate(names) if name in _XARGS) + 1
    while index < len(words) and (words[index].text.startswith("-") or words[index].text.isdigit()):
        option = words[index].text
        if option in ("-I", "-J"):
            index += 1
            option += words[index].text if index < len(words) else ""
        replaces = option.startswith(("-I", "-J", "-i", "--replace")) and option not in ("-i", "--replace")
        if replaces and "{}" not in option:
            raise Uncertain
        index += 1
    if index < len(words) and "{}" in words[index].text:
        raise Uncertain


def _executed_by_find(words: Sequence[Word]) -> Iterator[Sequence[Word]]:
    for index, word in enumerate(words):
        if word.text in _EXECUTED_BY_FIND and index + 1 < len(words):
            command = words[index + 1 :]
            end = next((number for number, each in enumerate(command) if each.text in (";", "+")), len(command))
            if not command[:end] or not command[0].certain or "{}" in command[0].text:
                raise Uncertain
            yield command[:end]
            yield from wrapped(command[:end])
