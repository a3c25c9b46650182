"""Cells of a CSV file, and what they must become: what a spreadsheet may take for a formula, and what it does not."""

from __future__ import annotations

_BLANKS = (
    "",
    " ",
    "   ",
    "\t",
    "\r",
    "\n",
    "\r\n",
    "\x0b",
    "\x0c",
    "\u00a0",
    "\u2003",
    "\u3000",
    "\ufeff",
    "\u200b",
    "\0",
)
_SIGNS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\u2212", "\ufe66", "\ufe62", "\ufe63", "\ufe6b")


def _lead(blank: str) -> str:
    """What already begins with one of these is marked at its beginning as well, as OWASP has it."""
    return "'" if blank.startswith(("\t", "\r", "\n")) else ""


FORMULAS = [
    (f"{blank}{sign}1", f"{_lead(blank)}{blank}'{sign}1") for blank in _BLANKS for sign in _SIGNS
] + [
    ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
    ('=HYPERLINK("http://evil.test","x")', '\'=HYPERLINK("http://evil.test","x")'),
    ("\ttext", "'\ttext"),
    ("\rtext", "'\rtext"),
    ("\ntext", "'\ntext"),
    ("a;=1+1", "a;'=1+1"),
    ("a;b; =1;@x", "a;b; '=1;'@x"),
    ("a\n=1+1", "a\n'=1+1"),
    ("a\r\n\uff1d1", "a\r\n'\uff1d1"),
    ("a\t-1", "a\t'-1"),
]  # fmt: skip

PLAIN = [
    "", "alice", "a=b", "a-b", "a+b@example.com", "claude-opus-5-5", "Read, =Bash", "mcp__a__b", "it's", '"=1"', "1",
    "a;b", "jos\u00e9", "\u5f20", "a\nb", "curl/8.5 (x86; linux)", "{}", "[1]", "#", "%0A=1",
]  # fmt: skip
