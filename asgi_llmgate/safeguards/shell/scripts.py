"""Texts that a command gives to a shell, and programs that it starts: what they run are commands of the line as well.

sh -c 'kubectl get'                  eval, trap, su -c, and here-documents of a shell
PAGER='kubectl get' git log          programs in variables
git -c core.pager='kubectl get' log  programs in settings of git
git bisect run kubectl get           commands in arguments of git
tar --to-command='kubectl get' -x    programs in options
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator, Sequence

from asgi_llmgate.safeguards.shell.words import Uncertain, Word
from asgi_llmgate.safeguards.shell.wrappers import program_of

_SHELLS = frozenset({"sh", "bash", "zsh", "dash", "ksh", "mksh", "ash", "fish", "rbash", "yash"})

_TEXT_OPTIONS = frozenset({"compgen", "complete", "emulate", "entr", "flock", "runuser", "script", "sg", "su", "watch"})
"""Commands that hand a text to a shell, if it has a blank in it."""

_STREAM = re.compile(r"<\(|/{1,2}(?:dev|proc)/|(?:.*/)?(?:stdin|fd/[0-9]+)$|-$")

_PROGRAM_OPTIONS = frozenset(
    {"--pre", "--to-command", "--use-compress-program", "--compress-program", "--rsh", "--checkpoint-action"}
    | {"--upload-pack", "--receive-pack", "--pager", "--hostname-bin", "--rsync-path", "--extcmd", "--exec"}
    | {"--tree-filter", "--index-filter", "--msg-filter", "--env-filter", "--parent-filter", "--commit-filter"}
    | {"--tag-name-filter", "--open-files-in-pager"}
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


_RUN_BY_GIT = {"run": "bisect", "foreach": "submodule"}
"""`git bisect run COMMAND`, `git submodule foreach COMMAND`."""


def scripts(words: Sequence[Word], stdin: Word | None) -> Iterator[Word]:
    """The texts that the command gives to a shell.

    `stdin` is what it reads, where that is known.  Raises Uncertain where what it runs is not known.
    """
    name, arguments = program_of(words[0].text), words[1:]
    if name in _SHELLS:
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
    elif name == "parallel":
        raise Uncertain  # its input may be commands
    elif name == "alias":
        if any("=" in word.text for word in arguments):
            raise Uncertain  # from the next line on, words mean something else
    elif name == "hash":
        if any(word.text.startswith("-p") for word in arguments):
            raise Uncertain  # from now on, a name means another program
    elif name in ("mapfile", "readarray", "enable"):
        if any(re.match("-[^-]*[Cf]", word.text) for word in arguments):
            raise Uncertain  # it runs a text for each line, or code that it loads from a file
    elif name in _TEXT_OPTIONS:
        yield from (word for word in arguments if " " in word.text)
    if name == "git":
        yield from _programs_of_git(arguments)
        yield from _commands_of_git(arguments)
    yield from _programs_in_variables(words)
    yield from _programs_in_options(arguments)


def _scripts_of_shell(arguments: Sequence[Word], stdin: Word | None) -> Iterator[Word]:
    options = ""
    operand: Word | None = None
    is_value = False  # of an option `-o` or `-O`
    for word in arguments:
        if word.text in ("--version", "--help"):
            return
        if not word.certain or word.text in ("--rcfile", "--init-file"):
            operand = word
            break
        if is_value or word.text == "-" or word.text.startswith("--"):
            is_value = False
            continue
        if not word.text.startswith(("-", "+")):
            operand = word
            break
        options += word.text
        is_value = word.text[-1] in "oO"
        if re.search("[oO].", word.text):
            raise Uncertain  # shells differ in where the value is
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
    return _STREAM.match(posixpath.normpath(word.text)) is not None


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


def _commands_of_git(arguments: Sequence[Word]) -> Iterator[Word]:
    """`git bisect run COMMAND`, `git submodule foreach TEXT`, `git rebase -x TEXT`."""
    before: set[str] = set()
    for index, word in enumerate(arguments):
        rest = arguments[index + 1 :]
        if _RUN_BY_GIT.get(word.text) in before:
            while rest and rest[0].text.startswith("-"):
                rest = rest[1:]
            if rest:
                text = " ".join([rest[0].text, *(shlex.quote(each.text) for each in rest[1:])])
                yield Word(text, all(each.certain for each in rest))
            return
        if word.text.startswith("-x") and before & {"rebase", "difftool"}:
            yield from [Word(word.text[2:], word.certain)] if len(word.text) > 2 else rest[:1]
        before.add(word.text)


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
