from __future__ import annotations

import pytest

from asgi_llmgate.safeguards.shell import commands_of

RUNS_KUBECTL = [
    "sudo kubectl get",
    "sudo -u root -E kubectl get",
    "sudo -n -- kubectl get",
    "doas kubectl get",
    "env kubectl get",
    "env -i A=1 -u B kubectl get",
    "A=1 kubectl get",
    "timeout 5 kubectl get",
    "timeout -k 3 5s kubectl get",
    "nohup nice -n 10 kubectl get &",
    "time -p kubectl get",
    "command kubectl get",
    "exec kubectl get",
    "builtin kubectl get",
    "busybox kubectl get",
    "stdbuf -oL kubectl get",
    "setsid kubectl get",
    "watch -n 1 kubectl get",
    "watch 'kubectl get'",
    "flock /tmp/l kubectl get",
    "flock /tmp/l -c 'kubectl get'",
    "script -qc 'kubectl get' /dev/null",
    "su - root -c 'kubectl get'",
    "npx -y kubectl get",
    "uv run kubectl get",
    "coproc kubectl get",
    "noglob kubectl get",
    "/usr/bin/kubectl get",
    "./kubectl get",
    "KUBECTL get",
    "kubectl.exe get",
    "\\kubectl get",
    "'kube'\"ctl\" get",
    "$'kube\\x63tl' get",
    "sh -c 'kubectl get'",
    "/bin/bash -lc 'kubectl get'",
    "bash -euo pipefail -c 'kubectl get'",
    "bash -c -- 'kubectl get'",
    "zsh -c 'cd x; kubectl get'",
    "sudo sh -c 'sh -c \"kubectl get\"'",
    "env BASH_ENV=x sh -c 'kubectl get'",
    "eval kubectl get",
    "eval 'kubectl get'",
    "eval -- kubectl get",
    "trap 'kubectl get' EXIT",
    "bash <<'E'\nkubectl get\nE",
    "bash -s <<< 'kubectl get'",
    "find . -exec kubectl get \\;",
    "find . -exec sh -c 'kubectl get' \\;",
    "fd -x kubectl get",
    "git -c alias.x='!kubectl get' x",
    "git -c core.sshCommand='kubectl get' fetch",
    "git -C d -c Core.Pager='kubectl get' log",
    "git config core.editor 'kubectl get'",
    "git -c filter.x.clean='kubectl get' add .",
    "git clone --upload-pack 'kubectl get' host:x",
    "git bisect run kubectl get",
    "git -C d bisect run 'kubectl' get",
    "git submodule foreach 'kubectl get'",
    "git submodule --quiet foreach --recursive 'cd x && kubectl get'",
    "git bisect run sh -c 'kubectl get'",
    "git rebase -x 'kubectl get' main",
    "git rebase -x'kubectl get' main",
    "git rebase -i --exec 'kubectl get' main",
    "git rebase --exec='kubectl get' main",
    "git difftool -y -x 'kubectl get'",
    "git filter-branch --tree-filter 'kubectl get' HEAD",
    "git grep --open-files-in-pager='kubectl get' x",
    "PAGER='kubectl get' git log",
    "GIT_SSH_COMMAND=\"sh -c 'kubectl get'\" git push",
    "export GIT_EDITOR='kubectl get'",
    "EDITOR='kubectl get'; git commit",
    "env LESSOPEN='|kubectl get' less x",
    "tar xf x --to-command='kubectl get'",
    "tar cf x . --checkpoint-action=exec='kubectl get'",
    "rg --pre 'kubectl get' x",
    "ssh -o ProxyCommand='kubectl get' host",
    "ssh -oproxycommand='kubectl get' host",
    "! ! kubectl get",
    "/usr/bin/sudo kubectl get",
    "SUDO kubectl get",
    "/usr/bin/env /bin/SH -c 'kubectl get'",
]


@pytest.mark.parametrize("line", RUNS_KUBECTL)
def test_what_a_command_runs_is_a_command_of_the_line(line: str) -> None:
    found = commands_of(line)
    assert found is not None
    assert ["kubectl", "get"] in found, found


@pytest.mark.parametrize("line", ["xargs kubectl get", "ls | xargs -n1 -I {} kubectl get", "env xargs kubectl get"])
def test_a_command_that_gets_more_arguments_says_so(line: str) -> None:
    found = commands_of(line)
    assert found is not None
    assert ["kubectl", "get", "$@"] in found


DOES_NOT = [
    ("echo kubectl get", [["echo", "kubectl", "get"]]),
    ("bash deploy.sh kubectl get", [["bash", "deploy.sh", "kubectl", "get"]]),
    ("bash --version", [["bash", "--version"]]),
    (". ./env.sh", [[".", "./env.sh"]]),
    ("trap x", [["trap", "x"]]),
    ("trap - EXIT", [["trap", "-", "EXIT"]]),
    ("alias", [["alias"]]),
    ("git commit -m 'x=!y'", [["git", "commit", "-m", "x=!y"]]),
    (
        "git -c core.fsmonitor=false -c user.name='a b' status",
        [["git", "-c", "core.fsmonitor=false", "-c", "user.name=a b", "status"]],
    ),
    ("NAME='a b' make", [["env", "NAME=a b", "make"], ["make"]]),
    ("xargs", [["xargs"]]),
    (
        "xargs -n 1 sed -i s/a/b/",
        [
            ["xargs", "-n", "1", "sed", "-i", "s/a/b/"],
            ["1", "sed", "-i", "s/a/b/", "$@"],
            ["sed", "-i", "s/a/b/", "$@"],
            ["s/a/b/", "$@"],
        ],
    ),
    ("sudo -l", [["sudo", "-l"]]),
    ("git bisect good", [["git", "bisect", "good"]]),
    ("git bisect run", [["git", "bisect", "run"]]),
    ("git submodule foreach --recursive", [["git", "submodule", "foreach", "--recursive"]]),
    ("git clean -x 'a b'", [["git", "clean", "-x", "a b"]]),
    ("git rebase -x", [["git", "rebase", "-x"]]),
    ("git log foreach submodule", [["git", "log", "foreach", "submodule"]]),
    ("mapfile -t lines", [["mapfile", "-t", "lines"]]),
    ("enable -n echo", [["enable", "-n", "echo"]]),
]


@pytest.mark.parametrize(("line", "commands"), DOES_NOT)
def test_nothing_else_is_a_command(line: str, commands: list[list[str]]) -> None:
    assert commands_of(line) == commands
