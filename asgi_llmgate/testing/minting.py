"""The options of `llmgate mint` and of `manage.py llmgate_mint`, and what they mean: one definition for both.

What is wrong is a ValueError whose text says what to write.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from joserfc.errors import JoseError

from asgi_llmgate.testing.idp import CLAIMS, MockIdP

__all__ = ["LONGEST", "OPTIONS", "Option", "open_idp", "parse_claims", "parse_ttl", "person"]


@dataclass(frozen=True, slots=True)
class Option:
    """One option; with `repeated` it may be given more than once."""

    default: str
    help: str
    metavar: str | None = None
    repeated: bool = False


OPTIONS: Mapping[str, Option] = MappingProxyType(
    {
        "user": Option("ada", "The person: the claims sub and email.", "NAME"),
        "team": Option(CLAIMS["team"], "The claim team."),
        "org": Option(CLAIMS["org"], "The claim org."),
        "claim": Option("", "Another claim, as JSON or text; null removes a claim.", "K=V", repeated=True),
        "ttl": Option("1h", "Lifetime of the token: 90s, 15m, 1h, 2d."),
        "dir": Option(".llmgate", "Folder of the key; it is created if missing."),
    }
)

LONGEST = 3650
"""Days that a token may be valid."""

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_ttl(text: str) -> int:
    """Seconds of `90s`, `15m`, `1h`, `2d`, or a number of seconds."""
    found = re.fullmatch(r"(\d{1,9})([smhd]?)", text)
    if found is None:
        raise ValueError(f"{text!r} is not a duration; write 90s, 15m, 1h or 2d")
    seconds = int(found[1]) * _UNITS[found[2]]
    if not 0 < seconds <= LONGEST * _UNITS["d"]:
        raise ValueError(f"{text!r} is not between 1s and {LONGEST}d")
    return seconds


def parse_claims(pairs: Iterable[str]) -> dict[str, Any]:
    """Claims from `name=value`.  The value is JSON; if it is not valid JSON, it is a text."""
    claims: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not (name and equals):
            raise ValueError(f"{pair!r} is not of the form name=value")
        try:
            claims[name] = json.loads(text)
        except ValueError:
            claims[name] = text
    return claims


def person(name: str, org: str) -> dict[str, str]:
    """The claims of a person who is not known otherwise."""
    return {"sub": name, "email": name if "@" in name else f"{name}@{org}.example"}


def open_idp(folder: str) -> MockIdP:
    """The mock identity provider whose key is in this folder; the key is made if it is missing."""
    try:
        return MockIdP.in_folder(folder)
    except OSError as error:
        raise ValueError(f"{folder} cannot be used: {error.strerror}") from None
    except (ValueError, JoseError):
        raise ValueError(f"{folder} cannot be used: its key file is damaged") from None
