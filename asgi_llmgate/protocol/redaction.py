"""Removes secrets from error messages of model servers, before a caller or a log gets them.

Model servers put into their error messages the key that they refuse (partly masked), the organisation that it belongs
to, the address of the machine behind them, and sometimes the value that they refuse, which is a piece of the prompt.
The patterns rather remove too much: what is left only has to say what kind of error it was.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from asgi_llmgate.lazy_pattern import lazy_pattern
from asgi_llmgate.secret_values import Secret

MAX_LENGTH = 1000
"""Characters of a redacted text."""

# A pattern that may begin with a long run of characters begins where the run does: otherwise it is tried at each
# character of the run, and a long text takes quadratic time.
_SECRET = lazy_pattern(
    r"""
      \bBearer\s+\S+
    | \beyJ[\w-]{8,}\.[\w.-]+                                       # a JWT
    | \b(?:sk|pk|rk|ak|gsk|xai|hf|nvapi|tgp|pplx|csk|r8|gh[opsur]|github_pat|glpat)[-_][\w.*-]{6,}
    | \bkey[-_][A-Za-z0-9]{16,}
    | \b(?:AIza[\w-]{12,}|AKIA[0-9A-Z]{12,})
    | (?<![\w-])[\w-]*\*{3,}[\w-]*                                  # masked by the server, with the ends still visible
    | \b(?:org|proj)[-_][A-Za-z0-9]{6,}
    | \b(?:user|acct|account|team|sub|cus|project|organization)[-_](?=[A-Za-z]*\d)[A-Za-z0-9]{8,}
    | (?<=\byou[ ]\()[^\s()]{1,64}(?=\))                           # Ollama: "you (name) have reached"
    | \barn:[\w-]+:\S+
    | \b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b      # a UUID: a subscription, a deployment
    | \b[0-9a-fA-F]{32,}\b
    | (?<![\w+])(?=[\w+]*[0-9])(?=[\w+]*[a-z])(?=[\w+]*[A-Z])[\w+]{32,}={0,2}  # without the - and / of model names
    | (?<![\w.+-])[\w.+-]+@[\w-]+\.[\w.-]+
    """,
    re.VERBOSE,
)
_ADDRESS = lazy_pattern(
    r"""
      (?<![a-z0-9+.-])[a-z][a-z0-9+.-]*://[^\s"'<>)\]}]+
    | \b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b
    | \[[0-9a-fA-F]*:[0-9a-fA-F:]+\](?::\d+)?
    | (?<![\w.-])(?:[\w-]+\.)+(?:local|localdomain|internal|intern|corp|lan|home|svc|cluster|test)\b(?::\d+)?
    | (?<![\w.-])(?:[a-z0-9-]+\.)+[a-z]{2,}:\d{2,5}\b
    | \blocalhost(?::\d+)?
    """,
    re.VERBOSE | re.IGNORECASE,
)
_FRAGMENT = re.compile(r"[\w-]{8,}", re.ASCII)
"""A text that may be a part of a secret: some servers repeat the beginning of a refused key or token."""

_VALUE = re.compile(r"\binput(?:_value)?=.*?(?=, input_type|\]|$)", re.DOTALL)  # pydantic repeats the value


def redacted(text: str) -> str:
    """The text without what looks like a credential, an account, an address or a value of the request."""
    text = _VALUE.sub("input=[redacted]", text[: 2 * MAX_LENGTH])
    return _SECRET.sub("[redacted]", _ADDRESS.sub("[address]", text))[:MAX_LENGTH].strip()


def without_secrets(text: str, secrets: Sequence[Secret], mark: str = "[redacted]") -> str:
    """The text with `mark` in the place of each of these secrets, and of each longer part of one."""
    for secret in secrets:
        text = text.replace(secret.reveal(), mark) if secret else text
    return _FRAGMENT.sub(lambda part: mark if any(part[0] in each.reveal() for each in secrets) else part[0], text)
