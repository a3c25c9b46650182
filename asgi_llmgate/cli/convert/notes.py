"""What a conversion says: what was carried over, what is different, what has no counterpart, what is to be set."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field

from asgi_llmgate.cli.convert.manifests import Entry, printable
from asgi_llmgate.config.checking.findings import Finding


@dataclass(slots=True)
class Notes:
    """carried    (place in the manifest, setting)
    different  settings that do not do exactly what the manifest says
    ignored    what of the manifests has no counterpart
    mistake    what `llmgate check` will say, as long as it is not corrected; "" if nothing
    variables  environment variable -> its value as a word of the shell, which reads it from the cluster
    """

    carried: list[tuple[str, str]] = field(default_factory=list)
    different: list[Finding] = field(default_factory=list)
    ignored: list[Finding] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    mistake: str = ""

    def carry(self, entry: Entry, setting: str) -> None:
        self.carried.append((f"{entry.place}: {entry.path}", printable(setting)))

    def differ(self, entry: Entry, message: str, hint: str = "") -> str:
        """Note a difference; returns its text, for a comment beside the setting."""
        found = entry.finding("warning", printable(message), hint)
        if found not in self.different:
            self.different.append(found)
        return f"{message} ({entry.place})"

    def ignore(self, entry: Entry, message: str = "it has no counterpart here", hint: str = "") -> str:
        """Note what is not converted, with all that is in it; returns its text, for a comment."""
        entry.accept()
        found = entry.finding("warning", printable(message), hint)
        if found not in self.ignored:
            self.ignored.append(found)
        return f"not converted: {entry.path}: {message}" + (f"; {hint}" if hint else "")

    def ask_for_key(self, entry: Entry, variable: str) -> str:
        """Note that a key which is in the manifest is to be set in a variable; returns the text, for a comment."""
        self.variables[variable] = shlex.quote(f"the key that is in {entry.place}")
        return self.differ(entry, f"settings contain no key: {variable} is an environment variable")

    def summary(self, resources: int, output: str) -> Iterator[str]:
        """The lines for standard error."""
        yield f"{resources} resource{'s' * (resources != 1)} read"
        if self.carried:
            yield "carried over:"
            yield from (f"  {place} -> {setting}" for place, setting in self.carried)
        if self.different:
            yield "different here:"
            yield from (f"  {finding}" for finding in self.different)
        if self.ignored:
            yield "without a counterpart, so not in the settings:"
            yield from (f"  {finding}" for finding in self.ignored)
        if self.variables:
            yield "set before you start the gateway:"
            yield from (printable(f"  export {name}={word}") for name, word in self.variables.items())
        if self.mistake:
            yield f"to be corrected in {output}: {self.mistake}"
        yield f"next: llmgate check --config {output}"
