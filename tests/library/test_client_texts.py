"""What a developer reads in an error: every text that the package can send, and the words that only an operator knows.

The texts are found in the source: what an error is made of, where it is made, apart from what goes to the log alone.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import asgi_llmgate.errors
from asgi_llmgate.auth import reasons
from asgi_llmgate.errors import GateError, SettingsError
from asgi_llmgate.protocol.servers.errors import classes, pages, upstream_errors
from asgi_llmgate.protocol.servers.wordings.statuses import ERROR_RULES

PACKAGE = Path(asgi_llmgate.errors.__file__).parent

ERRORS = {
    name
    for name, kind in vars(asgi_llmgate.errors).items()
    if inspect.isclass(kind) and issubclass(kind, GateError) and not issubclass(kind, SettingsError)
}
MAKERS = ERRORS | {"TokenRefused", "_broken", "_misdirected", "_unavailable", "internal_error"}

OPERATORS_WORDS = re.compile(
    r"upstream|backend|opaque|introspect|jwks|\bkid\b|\bclaims?\b|base_url\b|\brule \d|\bsettings?\b|\bconfigur"
    r"|traceback|exception|dialect|middleware|\bASGI\b|server\.\w|auth\.\w|policy\.\w",
    re.IGNORECASE,
)

KNOWN_TO_DEVELOPERS = (
    "ANTHROPIC_BASE_URL",  # their own setting
    "privacy settings of the gateway's account",
    'missing claim "',  # agentgateway's texts about the developer's own token, which logs and people know
    'claim "',
)


def texts_of(path: Path) -> Iterator[tuple[str, str]]:
    """(place, text) of each error that a module makes; names in f-strings are `{}`."""
    tree = ast.parse(path.read_text("utf-8"))
    constants = {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if name not in MAKERS:
            continue
        told = [option.value for option in node.keywords if option.arg == "client_message"]
        for value in told or node.args[:2]:
            for text in literal(value, constants):
                yield f"{path.relative_to(PACKAGE)}:{node.lineno}", text


def literal(value: ast.expr, constants: dict[str, ast.expr], depth: int = 0) -> Iterator[str]:
    """The texts that an expression can be, as far as the module says."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    elif isinstance(value, ast.JoinedStr):
        yield "".join(each.value if isinstance(each, ast.Constant) else "{}" for each in value.values)
        for each in value.values:
            if isinstance(each, ast.FormattedValue):
                yield from literal(each.value, constants, depth)
    elif isinstance(value, ast.Name) and value.id in constants and depth < 5:
        yield from literal(constants[value.id], constants, depth + 1)
    elif isinstance(value, (ast.BoolOp, ast.BinOp, ast.IfExp)):
        for part in ast.iter_child_nodes(value):
            if isinstance(part, ast.expr):
                yield from literal(part, constants, depth)


WRITTEN = [found for path in sorted(PACKAGE.rglob("*.py")) for found in texts_of(path)]
TABLES = [
    ("errors.TRY_AGAIN", asgi_llmgate.errors.TRY_AGAIN),
    *((f"reasons.{name}", value) for name, value in vars(reasons).items() if name.isupper() and isinstance(value, str)),
    *(("MESSAGES", text) for text in upstream_errors.MESSAGES.values()),
    *(("ERROR_RULES", rule.message) for rule in ERROR_RULES),
    *(("pages", value) for name, value in vars(pages).items() if name.endswith("MESSAGE") and isinstance(value, str)),
    ("classes", classes.FAILED_GENERATION_MESSAGE),
]


def without(text: str, known: tuple[str, ...] = KNOWN_TO_DEVELOPERS) -> str:
    for words in known:
        text = text.replace(words, "")
    return text


def test_the_texts_are_found() -> None:
    places = {place.partition(":")[0] for place, _ in WRITTEN}
    assert {"net/failures.py", "policy/middleware.py", "asgi/wrong_base_urls.py", "endpoints/app.py"} <= places
    assert len(WRITTEN) > 130
    assert len(TABLES) > 40


def test_developers_read_no_operators_words() -> None:
    found = {f"{place}: {text}": OPERATORS_WORDS.findall(without(text)) for place, text in WRITTEN + TABLES}
    assert {place: words for place, words in found.items() if words} == {}
