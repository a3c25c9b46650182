"""What the client says that restricts the agent: the person's own settings, as far as they forbid something.

`classifier_context` also holds what the settings allow, and settings that come with a repository.  Neither is read:
what a classifier is told here can make it stricter, and never more lenient.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Raw

from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.objects import Fields

MAX_CONTEXT = 64 * 1024
"""Bytes.  A larger context is not read."""

MAX_ITEMS = 30
MAX_CHARACTERS = 500

_SOURCES = frozenset({"userSettings", "policySettings", "flagSettings", "cliArg", "session"})
"""Of the client's sources of rules, those that no repository can write."""

_RULES = ("deny", "ask")
_LISTS = ("hard_deny", "soft_deny", "environment")
_PLACES = {"live_cwd": "working_directory", "home_dir": "home"}


def read_restrictions(context: Raw | None) -> Mapping[str, Any]:
    """The restrictions by name; none where the context is absent, or not as the client writes it."""
    if context is None or len(context) > MAX_CONTEXT:
        return {}
    fields = objects.read_object(context) or {}
    found: dict[str, Any] = {}
    for name, shown in _PLACES.items():
        found[shown] = objects.read_str(fields.get(name))[:MAX_CHARACTERS]
    rules = objects.read_object(fields.get("rules")) or {}
    for name in _RULES:
        found[name] = _clip(_rules(rules, name))
    lists = objects.read_object(fields.get("auto_mode")) or {}
    for name in _LISTS:
        found[name] = _clip(map(objects.read_str, objects.read_elements(lists.get(name))))
    if objects.read_str(fields.get("permission_mode")) == "plan":
        found["mode"] = "plan: nothing may be changed"
    return {name: value for name, value in found.items() if value}


def _rules(rules: Fields, name: str) -> Iterator[str]:
    for rule in objects.find_objects(rules.get(name)):
        if objects.read_str(rule.get("source")) in _SOURCES:
            yield objects.read_str(rule.get("rule"))


def _clip(texts: Iterator[str]) -> Sequence[str]:
    return [text[:MAX_CHARACTERS] for text, _ in zip(texts, range(MAX_ITEMS), strict=False) if text]
