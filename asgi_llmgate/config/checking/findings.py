"""What a check finds: one mistake, or one thing that is probably not meant, and where it is.

The text form is that of compilers, which editors and CI systems turn into a link:

    llmgate.yaml:12:5: error: policy.rules[1]: unknown variable 'jtw', did you mean 'jwt'?
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding.

    path    the setting, as it is written in the file (`auth.providers[0].issuer`); "" for the file as a whole
    hint    what to do
    file    the settings file as the user named it; "" where the settings are no file
    line    of the setting in the file, from 1; 0 where it is not known
    column  in characters, from 1; 0 where it is not known
    """

    severity: Severity
    message: str
    path: str = ""
    hint: str = ""
    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.place}{self.severity}: {self.text}"

    @property
    def place(self) -> str:
        """`llmgate.yaml:12:5: `, as far as it is known."""
        known = [self.file] if self.file else []
        known += [str(number) for number in (self.line, self.column) if number]
        return ":".join(known) + ": " if known else ""

    @property
    def text(self) -> str:
        """Path, message and hint in one line; the excerpt of a rule, if there is one, comes below it.

        Characters that a terminal would act on are escaped: a key of the file may have any.
        """
        first, *excerpt = map(_printable, self.message.split("\n"))
        path, hint = _printable(self.path), _printable(self.hint)
        line = (f"{path}: " if path else "") + first + (f" ({hint})" if hint else "")
        return "\n".join([line, *excerpt])

    def as_json(self) -> dict[str, Any]:
        """The fields that have a value, as plain JSON values."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name))}


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def count(findings: Iterable[Finding]) -> str:
    """`3 errors, 1 warning`; `no errors` where there is nothing."""
    severities = [finding.severity for finding in findings]
    counted = [(severities.count(kind), kind) for kind in ("error", "warning")]
    return ", ".join(f"{number} {kind}{'s' * (number > 1)}" for number, kind in counted if number) or "no errors"
