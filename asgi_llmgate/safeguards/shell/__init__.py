"""The simple commands that a line of shell runs, by the grammar of bash.

reader.py     walks the syntax tree, and knows what each kind of node runs
resolution.py the text that a word is for its command
words.py      quotes, escapes and braces
wrappers.py   commands that run other commands: sudo, env, xargs, find -exec
scripts.py    texts and programs that a command gives to a shell: sh -c, eval, PAGER=
values.py     variables that the line itself sets
heredocs.py   here-documents
syntax.py     the syntax tree, by tree-sitter

Where a line has a part whose commands are not certain, it has none: `commands_of` returns None.  A rule that flags then
flags, since it has no value, and a rule that lets pass does not fit.
"""

from __future__ import annotations

from asgi_llmgate.safeguards.shell.reader import commands_of

__all__ = ["commands_of"]
