"""`GET /models`: which models a server has, what kind of server it is, and where its API is when it is not here."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from asgi_llmgate.cli.doctor.model_servers.server import Document, Server
from asgi_llmgate.errors import GateError

MOST = 20_000
"""Entries of a list that are read."""

_SHOWN = 5
"""Names that a line shows."""

_OWNERS: Mapping[str, str] = {
    "vllm": "vllm",
    "sglang": "sglang",
    "llamacpp": "llamacpp",
    "library": "ollama",
    "organization_owner": "lmstudio",
}
"""`owned_by` in the list -> the dialect of the server that writes it."""

_PATHS = ("/v1", "/api/v1", "/openai/v1", "/v1beta/openai", "/compatible-mode/v1", "")
"""Where servers have their API: most, OpenRouter and Open WebUI, Groq, Gemini, DashScope, DeepSeek."""


_NO_CHAT = re.compile(r"embed|rerank|whisper|moderation|\b(?:e5|bge|gte|tts|stt|dall-e)\b", re.IGNORECASE)


def is_chat_model(name: str) -> bool:
    """Whether a name is not that of a model for embeddings, speech or pictures."""
    return _NO_CHAT.search(name) is None


@dataclass(frozen=True, slots=True)
class ModelList:
    """The entries by name. `kind` is the dialect of the server as far as its list tells, else ""."""

    entries: Mapping[str, Mapping[str, Any]] = field(repr=False)
    kind: str = ""

    def has(self, model: str) -> bool:
        """Whether a model is listed; Ollama adds `:latest` to names without a tag."""
        return model in self.entries or f"{model}:latest" in self.entries

    def entry(self, model: str) -> Mapping[str, Any]:
        return self.entries.get(model) or self.entries.get(f"{model}:latest") or {}

    def near(self, model: str) -> str:
        """What may be meant by a name that is not listed."""
        names = list(self.entries)
        if not names:
            return "its list is empty"
        close = difflib.get_close_matches(model, names, n=2, cutoff=0.6)
        close = close or [name for name in names if name.rpartition("/")[2] == model or model in name][:2]
        if close:
            return "did you mean " + " or ".join(close) + "?"
        more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        return "it has " + ", ".join(names[:_SHOWN]) + more


def kind_of(dialect: str, listed: ModelList | None) -> str:
    """What kind of server it is, as the name of a dialect.

    It is what the settings say where that is one program (vLLM, Ollama, ...), else what the list of models tells.
    """
    if dialect in _OWNERS.values() or listed is None:
        return dialect
    return listed.kind or dialect


async def fetch_models(server: Server, path: str | None = None) -> ModelList:
    """The list of models, by default the one under `base_url`.

    Raises GateError. A document that is JSON and no list has no entries.
    """
    document = await server.get(f"{server.path if path is None else path}/models")
    content = document.content
    rows = content.get("data") if isinstance(content, Mapping) else content
    if isinstance(content, Mapping) and not isinstance(rows, Sequence):
        rows = content.get("models")
    named = {row["id"]: row for row in _mappings(rows) if isinstance(row.get("id"), str)}
    return ModelList(named, _kind(named, document))


async def find_base_url(server: Server) -> str:
    """The base URL under which the server has a list of models, if there is another one; else ""."""
    asked = server.path
    for path in dict.fromkeys((asked + "/v1", asked.replace("/v1/v1", "/v1"), *_PATHS, asked.rpartition("/")[0])):
        if path == asked:
            continue
        try:
            if (await fetch_models(server, path)).entries:
                return server.at(path)
        except GateError:
            continue
    return ""


def _mappings(rows: Any) -> list[Mapping[str, Any]]:
    if not isinstance(rows, Sequence) or isinstance(rows, str):
        return []
    return [row for row in rows[:MOST] if isinstance(row, Mapping)]


def _kind(entries: Mapping[str, Mapping[str, Any]], document: Document) -> str:
    if "x-litellm-version" in document.headers:
        return "litellm"
    owners = {entry.get("owned_by") for entry in entries.values()}
    return next((kind for owner, kind in _OWNERS.items() if owner in owners), "")
