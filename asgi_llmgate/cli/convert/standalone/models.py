"""`llm.models` and `llm.virtualModels` -> rows of the model table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from asgi_llmgate.cli.convert.expressions import convert_expression
from asgi_llmgate.cli.convert.kubernetes.authorization import Authorization
from asgi_llmgate.cli.convert.kubernetes.matches import literal
from asgi_llmgate.cli.convert.manifests import Entry
from asgi_llmgate.cli.convert.names import by_length
from asgi_llmgate.cli.convert.notes import Notes
from asgi_llmgate.cli.convert.rows import by_weight, model_row
from asgi_llmgate.cli.convert.standalone.servers import Servers


@dataclass(slots=True)
class Models:
    """`targets` has each model's target, those that only virtual models lead to included."""

    servers: Servers
    authorization: Authorization
    notes: Notes
    targets: dict[str, str] = field(default_factory=dict)
    public: list[str] = field(default_factory=list)

    def read(self, llm: Entry) -> list[Any]:
        """The rows: virtual models, then names, then patterns, the longer ones first."""
        shared = {entry.get("name").text(): entry for entry in llm.get("providers").each()}
        for entry in llm.get("models").each():
            self._model(entry, shared)
        rows = [row for entry in llm.get("virtualModels").each() for row in self._virtual(entry)]
        return [*rows, *(model_row(name, [self.targets[name]]) for name in by_length(self.public))]

    def _model(self, entry: Entry, shared: dict[str, Entry]) -> None:
        entry.skip("id")
        name, provider, params = entry.get("name").text(), entry.get("provider"), [entry.get("params")]
        if not provider.is_text:
            reference = provider.get("reference").text()
            if reference not in shared:
                raise provider.error(f"no provider is named {reference!r}")
            params.append(shared[reference].get("params"))
            provider = shared[reference].get("provider")
        backend = self.servers.backend(provider, params)
        if not backend:
            return
        model = params[0].get("model").text() or params[-1].get("model").text()
        self.targets[name] = f"{backend}/{model}" if model else backend
        if entry.get("visibility").text("public").lower() != "internal":
            self.public.append(name)
        self.notes.carry(entry, "models")
        if rules := entry.get("authorization", "rules"):
            self.authorization.read_rules(rules, f"model-{name}", model_condition(name))

    def _virtual(self, entry: Entry) -> Iterator[dict[str, Any]]:
        name, routing = entry.get("name").text(), entry.get("routing")
        self.notes.carry(entry, "models")
        priorities = sorted(routing.get("failover", "targets").each(), key=lambda each: each.get("priority").number(0))
        weights = [(each.get("weight").number(1), each) for each in routing.get("weighted", "targets").each()]
        for targets in (priorities, by_weight(weights, "model", routing.get("weighted"), self.notes)):
            if use := [found for each in targets if (found := self._target(each))]:
                yield model_row(name, use)
        for target in routing.get("conditional", "targets").each():
            when, use_one = self._condition(target), self._target(target)
            if when is not None and use_one:
                yield model_row(name, [use_one], when)

    def _target(self, entry: Entry) -> str:
        model = entry.get("model")
        found = self.targets.get(model.text(), "")
        if not found:
            self.notes.ignore(model, f"no model of the file is named {model.text()!r}")
        return found

    def _condition(self, target: Entry) -> str | None:
        """The condition of a row; "" for any request, None if it cannot be used here."""
        when = target.get("when")
        if not when:
            return ""
        converted = convert_expression(when.text())
        if converted.problem:
            self.notes.ignore(when, f"the condition cannot be used here: {converted.problem}")
            return None
        for change in converted.changes:
            self.notes.differ(when, change)
        return converted.source


def model_condition(pattern: str) -> str:
    """The condition that a request is for a model of this name, in which `*` is anything."""
    if pattern == "*":
        return ""
    if "*" not in pattern:
        return f"llm.requestModel == {literal(pattern)}"
    expression = ".*".join(map(re.escape, pattern.split("*")))
    return f"llm.requestModel.matches({literal(f'^{expression}$')})"
