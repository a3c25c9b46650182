"""Commands that run other commands, which are then commands of the line as well.

    sudo -u root kubectl get pods        ["sudo", "-u", ...], ["root", "kubectl", ...], ["kubectl", "get", "pods"]
    sh -c 'kubectl get pods'             ["sh", "-c", ...], ["kubectl", "get", "pods"]
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
    | {"parallel", "perf", "pkexec", "pnpx", "proot", "repeat", "rlwrap", "run0", "runuser", "setarch"}
    | {"setpriv", "setsid", "stdbuf", "strace", "su", "sudo", "systemd-run", "taskset", "time"}
    | {"timeout", "torify", "torsocks", "toybox", "trickle", "unbuffer", "unshare", "uvx", "valgrind"}
    | {"watch", "xargs", "xvfb-run"}
)
"""Commands that run the command in their arguments."""

RUNNERS = frozenset(
    {("uv", "run"), ("poetry", "run"), ("pipx", "run"), ("pdm", "run"), ("hatch", "run"), ("bundle", "exec")}
    | {
        ("npm", "exec"),
        ("npm", "x"),
        ("pnpm", "exec"),
        ("pnpm", "dlx"),
        ("yarn", "dlx"),
        ("yarn", "exec"),
        ("bun", "x"),
    }
    | {("mise", "exec"), ("direnv", "exec"), ("aws-vault", "exec"), ("op", "run"), ("nix", "run"), ("nix", "shell")}
)
"""The same with a subcommand."""

SHELLS = frozenset({"sh", "bash", "zsh", "dash", "ksh", "mksh", "ash", "fish", "rbash", "yash"})

_FURTHER_ARGUMENTS = frozenset({"xargs", "gxargs", "parallel", "entr"})
"""Wrappers that add arguments from their input."""

_TEXT_OPTIONS = frozenset({"su", "runuser", "flock", "script", "watch", "parallel", "entr"})
"""Commands that hand a text to a shell, if it has a blank in it."""

_EXECUTED_BY_FIND = frozenset({"-exec", "-execdir", "-ok", "-okdir", "-x", "--exec", "-X", "--exec-batch"})

_VALUES_OF_O = frozenset(
    {"pipefail", "errexit", "nounset", "xtrace", "verbose", "posix", "nullglob", "globstar", "extglob"}
)
"""Values of a shell's options `-o` and `-O`."""

_PROGRAM_OPTIONS = frozenset(
    {"--pre", "--to-command", "--use-compress-program", "--compress-program", "--rsh", "--checkpoint-action"}
    | {"--upload-pack", "--receive-pack", "--pager", "--hostname-bin", "--rsync-path", "--extcmd"}
)
"""Options whose value is a program, of ripgrep, tar, sort, rsync and git."""

_PROGRAM_VARIABLE = re.compile(
    r"(?:GIT_|MAN|SYSTEMD_|PSQL_|AWS_|GH_|BAT_)?(?:PAGER|EDITOR|BROWSER)|VISUAL|FCEDIT|SUDO_EDITOR|PROMPT_COMMAND"
    r"|GIT_(?:SSH_COMMAND|SSH|EXTERNAL_DIFF|ASKPASS|SEQUENCE_EDITOR|PROXY_COMMAND)|SSH_ASKPASS|LESSOPEN|LESSCLOSE"
    r"|RSYNC_RSH|CVS_RSH|KUBECTL_EXTERNAL_DIFF|KUBE_EDITOR"
)
"""Variables whose value is a program."""

_PROGRAM_OF_GIT = re.compile(
    r"core\.(?:pager|editor|sshcommand|fsmonitor|askpass|gitproxy)|sequence\.editor|diff\.external|credential\.helper"
    r"|pager\..+|gpg\.(?:.+\.)?program|(?:diff|merge|filter|difftool|mergetool|browser)\..+\.(?:command|cmd|driver|"
    r"textconv|clean|smudge|process)|uploadpack\.packobjectshook",
    re.IGNORECASE,
)
"""Settings of git whose value is a program."""

_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")

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
    adds = any(program_of(word.text) in _FURTHER_ARGUMENTS for word in words)
    more = (Word("$@", certain=False),) if adds else ()
    starts = [index for index, word in enumerate(words) if index and not _is_option(word)]
    if len(starts) > MAX_STARTS:
        raise Uncertain
    for index in starts:
        if words[index].certain:
            yield (*words[index:], *more)
    # The command itself, or that of a wrapper behind this one, must not be filled in.
    commands = [words, *((*words[index:], *more) for index in starts)]
    for command in filter(is_wrapper, commands):
        first = next((word for word in command[1:] if not _is_option(word)), None)
        if first is not None and not first.certain:
            raise Uncertain


def _is_option(word: Word) -> bool:
    """Whether the word is an option of a wrapper, or an assignment: no name of a command."""
    return word.text.startswith(("-", "{")) or _ASSIGNMENT.match(word.text) is not None


def _executed_by_find(words: Sequence[Word]) -> Iterator[Sequence[Word]]:
    for index, word in enumerate(words):
        if word.text in _EXECUTED_BY_FIND and index + 1 < len(words):
            command = words[index + 1 :]
            end = next((number for number, each in enumerate(command) if each.text in (";", "+")), len(command))
            if not command[:end] or not command[0].certain:
                raise Uncertain
            yield command[:end]


def scripts(words: Sequence[Word], stdin: Word | None) -> Iterator[Word]:
    """The texts that the command gives to a shell.

    `stdin` is what it reads, where that is known.  Raises Uncertain where what it runs is not known.
    """
    name, arguments = program_of(words[0].text), words[1:]
    if name in SHELLS:
        yield from _scripts_of_shell(arguments, stdin)
    elif name == "eval":
        evaluated = arguments[1:] if arguments and arguments[0].text == "--" else arguments
        yield Word(" ".join(word.text for word in evaluated), all(word.certain for word in evaluated))
    elif name == "trap":
        first = [word for word in arguments if word.text != "--"][:1]
        yield from (word for word in first if len(arguments) > 1 and word.text != "-")
    elif name in (".", "source"):
        if not arguments or _is_stream(arguments[0]):
            raise Uncertain
    elif name == "alias":
        if any("=" in word.text for word in arguments):
            raise Uncertain  # from the next line on, words mean something else
    elif name in _TEXT_OPTIONS:
        yield from (word for word in arguments if " " in word.text)
    if name == "git":
        yield from _programs_of_git(arguments)
    yield from _programs_in_variables(words)
    yield from _programs_in_options(arguments)


def _scripts_of_shell(arguments: Sequence[Word], stdin: Word | None) -> Iterator[Word]:
    options = ""
    operand: Word | None = None
    for word in arguments:
        if word.text in ("--version", "--help"):
            return
        if not word.certain or word.text in ("--rcfile", "--init-file"):
            operand = word
            break
        if word.text.startswith("--") or word.text in _VALUES_OF_O:
            continue
        if not word.text.startswith(("-", "+")) or len(word.text) == 1:
            operand = word
            break
        options += word.text
    if "c" in options and operand is not None:
        yield operand
    elif operand is not None and "s" not in options:
        if not operand.certain or operand.text.startswith("--") or _is_stream(operand):
            raise Uncertain
    elif stdin is not None:
        yield stdin
    else:
        raise Uncertain  # what it reads is not known


def _is_stream(word: Word) -> bool:
    """Whether a script is read from something that is no file: `<(curl ...)`, `/dev/stdin`."""
    return word.text.startswith(("<(", "/dev/", "/proc/")) or word.text == "-"


def _programs_of_git(arguments: Sequence[Word]) -> Iterator[Word]:
    """`git -c core.pager=PROGRAM log`, `git config core.pager PROGRAM`, and aliases that begin with `!`."""
    for index, word in enumerate(arguments):
        name, equals, value = word.text.partition("=")
        if not equals and index + 1 < len(arguments):
            value, word = arguments[index + 1].text, arguments[index + 1]
        if _PROGRAM_OF_GIT.fullmatch(name) and value not in ("", "true", "false"):
            yield Word(value.removeprefix("!"), word.certain)
        elif value.startswith("!") and name.startswith("alias."):
            yield Word(value[1:], word.certain)


def _programs_in_variables(words: Sequence[Word]) -> Iterator[Word]:
    """`PAGER=PROGRAM git log`, also by `env` and `export`: programs that other programs run."""
    for word in words:
        name, equals, value = word.text.partition("=")
        if equals and _PROGRAM_VARIABLE.fullmatch(name):
            yield Word(value.removeprefix("|"), word.certain)
        if not equals and words[0].text not in ("env", "export", "declare"):
            return


def _programs_in_options(arguments: Sequence[Word]) -> Iterator[Word]:
    """`tar --to-command=PROGRAM`, `ssh -o ProxyCommand=PROGRAM`."""
    for index, word in enumerate(arguments):
        name, equals, value = word.text.partition("=")
        if not equals and index + 1 < len(arguments):
            value, word = arguments[index + 1].text, arguments[index + 1]
        if name in _PROGRAM_OPTIONS and value:
            yield Word(value.removeprefix("exec="), word.certain)
        elif name.lower().removeprefix("-o") == "proxycommand" and value:
            yield Word(value, word.certain)
