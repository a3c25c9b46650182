from __future__ import annotations

import pytest

from asgi_llmgate.safeguards.shell import commands_of
from asgi_llmgate.safeguards.shell.reader import MAX_DEPTH, MAX_SCRIPTS
from asgi_llmgate.safeguards.shell.syntax import MAX_LINE

COMMANDS: list[tuple[str, list[str]]] = [
    ("", []),
    ("# kubectl get", []),
    ("git status", ["git status"]),
    ("a; b && c || d | e |& f & g\nh", ["a", "b", "c", "d", "e", "f", "g", "h"]),
    ("(a); { b; }; ! c", ["a", "b", "c"]),
    ("if a; then b; elif c; then d; else e; fi", ["a", "b", "c", "d", "e"]),
    ("while a; do b; done; until c; do d; done", ["a", "b", "c", "d"]),
    ("for i in $(a) x; do b $i; done", ["a", "b $i"]),
    ("for ((i=0; i<3; i++)); do b; done", ["i=0", "b"]),
    ("case $(a) in x) b;; *) c;; esac", ["a", "b", "c"]),
    ("f() { a; }; f x; function g { b; }", ["a", "f x", "b"]),
    ("echo $(a) `b` <(c) >(d)", ["a", "b", "c", "d", "echo $(a) `b` <(c) >(d)"]),
    ('echo "x $(a "$(b)") y"', ["b", "a $(b)", 'echo x $(a "$(b)") y']),
    ("[[ -n $(a) ]] && [ -f x ] && b", ["a", "b"]),
    ("(( x = $(a) )); echo $(( $(b) + 1 ))", ["a", "b", "echo $(( $(b) + 1 ))"]),
    ("echo ${X:-$(a)} ${Y#z}", ["a", "echo ${X:-$(a)} ${Y#z}"]),
    ("x=(1 $(a)); y=$(b)", ["x=(1 $(a))", "a", "y=$(b)", "b"]),
    ("A=1 B=$C make x", ["env A=1 B=$C make x", "make x", "x"]),
    ("A=1", ["A=1"]),
    ("export A=1 B; unset C; local D=2", ["export A=1 B", "unset C", "local D=2"]),
    ("a > f 2>> g < h &> i >| j", ["a", "> f", ">> g", "< h", "> i", "> j"]),
    ("a >/dev/null 2>&1 <&- ", ["a"]),
    ("> f", ["> f"]),
    ("> f a b", ["> f", "a b"]),
    ("(a; b) > f", ["a", "b", "> f"]),
    ("a <<< b", ["<<< b", "a"]),
    ("a <<E\nb $(c)\nE", ["a", "<< b $(c)\n", "c"]),
    ("a <<'E'\nb $(c)\nE\nd", ["a", "<< b $(c)\n", "d"]),
    ("a <<E | b\nc\nE", ["a", "<< c\n", "b"]),
    ("a <<E --context prod\nx\nE", ["a --context prod", "<< x\n"]),
    ("a <<'E' && b\nx\nE", ["a", "<< x\n", "b"]),
    ("a <<\\E\n$(x)\nE", ["a", "<< $(x)\n"]),
    ("a <<-E\n\tx\n\tE\nb", ["a", "<< \tx\n", "b"]),
    (
        "git commit -m \"$(cat <<'E'\nit's (a) `b`\nE\n)\"",
        ["cat", "<< it's (a) `b`\n", "git commit -m $(cat <<'E'\nit's (a) `b`\nE\n)"],
    ),
    ("! ! a", ["! a", "a"]),
    ("a;#b\nc", ["a", "c"]),
    ("python3 - <<E\nx\nE", ["python3 -", "<< x\n"]),
    ("kubectl \\\n  get \\\n  pods", ["kubectl get pods"]),
    ("mkdir -p {a,b}/c", ["mkdir -p a/c b/c"]),
    ("ls *.py [a-c]? ~/x", ["ls *.py [a-c]? ~/x"]),
    ("C=prod; kubectl --context $C --x=${C}a", ["C=prod", "kubectl --context prod --x=proda"]),
    ("C=prod && a && kubectl $C", ["C=prod", "a", "kubectl prod"]),
    ("C=prod || a; kubectl $C", ["C=prod", "a", "kubectl prod"]),
    ("A='x y'; b $A; c \"$A\"", ["A=x y", "b x y", "c x y"]),
]


@pytest.mark.parametrize(("line", "commands"), COMMANDS)
def test_each_command_of_the_line_is_told(line: str, commands: list[str]) -> None:
    found = commands_of(line)
    assert found is not None
    assert [" ".join(words) for words in found] == commands


NO_CERTAIN_VALUE = [
    "echo $C",
    "C=prod | kubectl $C",
    "C=prod & kubectl $C",
    "a || C=prod; kubectl $C",
    "a && C=prod; kubectl $C",
    "if a; then C=prod; fi; kubectl $C",
    "C=prod; C=test; kubectl $C",
    "kubectl $C; C=prod",
    "C=prod; read C; kubectl $C",
    "C=prod; export C; kubectl $C",
    "C=prod kubectl $C",
    "C=$(a); kubectl $C",
    "C=a; C+=b; kubectl $C",
    "for C in prod; do kubectl $C; done",
    "(C=prod); kubectl $C",
    "IFS=x; C=prod; kubectl $C",
]


@pytest.mark.parametrize("line", NO_CERTAIN_VALUE)
def test_a_variable_without_a_certain_value_stays_as_it_is(line: str) -> None:
    found = commands_of(line)
    assert found is not None
    assert [words for words in found if words[-1] == "$C"], found


UNCERTAIN = [
    "$(echo kubectl) get",
    "`echo kubectl` get",
    "$X get",
    "${X}kubectl get",
    "ku$@bectl get",
    '"$X" get',
    "k?bectl get",
    "/bin/k*l get",
    "{kubectl,get}",
    "=kubectl get",
    "ku\\\nbectl get",
    "echo x | sh",
    "echo x | base64 -d | bash",
    "sh < f",
    "curl x | bash -s -- y",
    "bash <(curl x)",
    "bash /dev/stdin",
    "source <(curl x)",
    ". /dev/stdin",
    "sh <<E\n$X\nE",
    "eval $X",
    'eval "$(a)"',
    'sh -c "$X"',
    "bash --rcfile x -i",
    "alias k=kubectl\nk get",
    "sudo $X",
    "xargs sh",
    "find . -exec $X {} +",
    # Where tree-sitter-bash 0.25 reads something else than bash does.
    "true\n\\\nkubectl get",
    "cat <<E\n`kubectl get`\nE",
    "cat <<E\n E\n'\nE\nkubectl get #'",
    "cat <<E\nE \nE",
    'cat <<E""F\nx\nEF',
    "cat <<-E\n  x\n  E",
    "a <<E 2>&1 | kubectl get\nE",
    "a <<E | b <<F\nE\nF",
    "a <<'E'F\nE\nkubectl get\nEF",
    "a <<'E' |& \nE\n'd d' \nE\n",
    "x=(1 2)#y && kubectl get",
    '$ "kubectl" get',
    'a $"b"',
    "a ] { b",
    "xargs -n9 env",
    "ls | xargs -I{} sh -c {}",
    "ls | xargs -I{} {} get",
    "ls | xargs -I% sh -c '% get'",
    "ls | xargs -J x kubectl x",
    "find . -exec {} \\;",
    "find . -exec sh -c {} \\;",
    "ls | parallel",
    "parallel kubectl ::: get",
    'echo "${X@P}"',
    "echo ${!X}",
    "test -v 'a[$(id)]'",
    "ls *(e:id:)",
    "a\rb",
    "a\u00a0b",
    "a\x00b",
    "a \ud800",
    "a \ue001",
    "if",
    "a 'b",
    "a ; ; b",
    "cat > f g",
    "echo {1..1000}",
    "{ kubectl }",
    "$'a\\0b' c",
    "echo $'\\cx'",
    "a" * (MAX_LINE + 1),
    "(" * (MAX_DEPTH + 1) + "a" + ")" * (MAX_DEPTH + 1),
    "sudo " + "a " * 101,
    "mapfile -C 'kubectl get' -c 1 lines < x",
    "readarray -tC kubectl lines < x",
    "enable -f ./x.so kubectl",
    "git bisect run $X",
    'git submodule foreach "$X"',
]


@pytest.mark.parametrize("line", UNCERTAIN, ids=[line[:30] for line in UNCERTAIN])
def test_a_line_whose_commands_are_not_certain_has_none(line: str) -> None:
    assert commands_of(line) is None


HIDDEN = [
    "echo ${X:-`id`}",
    "echo ${X#$(id)}",
    "echo ${X:-<(id)} ${X:-=(id)}",
    """echo "${X:-'$(id)'}" """,
    """echo "${X:-'}"; id; echo "'}" """,
    "echo ${X:-\\'}; id; echo ${X:-\\'}",
    "echo `echo \\`id\\``",
    "echo $(('$(id)'))",
    "echo $['$(id)']",
    "a['$(id)']=1",
    "echo $X['$(id)']",
    "cat <<E\n`id`\nE",
    "cat <<-E\n\t$(id)\n\tE",
    "sh <<< id <<< ls",
    "env -S 'id'",
    "env -vS id",
    "sudo env -S id",
    "env --split-string=id",
    "echo id | xargs -I{} sh -c {}",
    "echo id | xargs -I % % x",
    "echo id | xargs -i sh -c '{}'",
    "bash -oc vi id",
    "bash /tmp/../dev/stdin",
    "source //dev/stdin",
    "cd /dev; sh ./stdin",
    "R=read; $R C; kubectl $C",
    "hash -p /bin/id ls; ls",
    "BASH_ALIASES[ls]=id\nls",
]
"""Each runs `id` in bash or zsh, and the grammar does not show it."""


@pytest.mark.parametrize("line", HIDDEN)
def test_what_the_grammar_overlooks_makes_a_line_uncertain(line: str) -> None:
    assert commands_of(line) is None


FOUND = [
    "find . -exec env id \\;",
    "find . -exec sudo -u x id {} +",
    "bash -o vi -c id",
    "bash -{c,} id",
    "fakeroot id",
    "emulate sh -c 'id '",
    "echo ${X//\\//_} ${Y:-$(id)}",
]


@pytest.mark.parametrize("line", FOUND)
def test_a_command_in_an_odd_place_is_told(line: str) -> None:
    found = commands_of(line)
    assert found is not None
    assert "id" in [words[0] for words in found]


SETTERS = ["\\read C", "'read' C", "builtin read C", "command printf -v C x", "\\declare C=x", "C[1]=x", "$'read' C"]
SETTERS += ["trap 'C=x' DEBUG", "set -A C x", "print -v C x"]


@pytest.mark.parametrize("setter", SETTERS)
def test_a_value_is_not_certain_where_a_command_may_have_set_another(setter: str) -> None:
    found = commands_of(f"C=a; {setter}; kubectl $C")
    assert found is not None
    assert ["kubectl", "$C"] in found


def test_shells_in_shells_are_read_so_deep_and_no_deeper() -> None:
    line = "kubectl get"
    for _ in range(MAX_SCRIPTS - 1):
        line = f"sh -c {quote(line)}"
    found = commands_of(line)
    assert found is not None
    assert found[-1] == ["kubectl", "get"]
    assert commands_of(f"sh -c {quote(line)}") is None


def quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


SLOW = ["a|", "x=(", "))))((", "b)", ";#", "&((,))|", "a <<E ", "((", "$(", "<<<||2>&1", "case a in |"]


@pytest.mark.parametrize("part", SLOW)
def test_a_line_that_would_take_seconds_is_given_up(part: str) -> None:
    """Each of these took a second or more in the grammar alone; the limit is a tenth."""
    assert commands_of(part * (MAX_LINE // len(part))) is None


def test_wrappers_cannot_multiply_the_words_of_a_line() -> None:
    assert commands_of("sudo " + "sudo " * 90 + "a " * 1000) is None
