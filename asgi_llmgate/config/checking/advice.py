"""What in valid settings is probably not meant: `llmgate check` tells it as warnings, and nothing is refused for it."""

from __future__ import annotations

from collections.abc import Iterator

from asgi_llmgate.config.schema import Settings
from asgi_llmgate.config.sections.backends import BackendSettings, make_dialect
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.net.base_url import parse_base_url

CLAUDE_CODE_WINDOW = 48_000
"""Tokens of a context window in which Claude Code can work: its instructions and tools take half of them."""

_OLLAMA_PORT = 11434

_ROOTS = frozenset({"api.deepseek.com", "api.perplexity.ai"})
"""Hosts whose API is not under a path."""


def advise(settings: Settings) -> Iterator[SettingsError]:
    """The advice, each with the place in the settings."""
    for name, backend in settings.backends.items():
        if advice := _about_path(name, backend):
            yield SettingsError(advice, path=f"backends.{name}.base_url")
    for index, row in enumerate(settings.models):
        if row.context_window is not None and row.context_window < CLAUDE_CODE_WINDOW:
            yield SettingsError(
                f"Claude Code needs about {CLAUDE_CODE_WINDOW} tokens for its instructions, tools and work; "
                f"{row.context_window} are few",
                path=f"models[{index}].context_window",
            )
    if settings.safeguards is not None:
        from asgi_llmgate.config.checking.safeguard_advice import advise_safeguards  # its modules are needed here only

        yield from advise_safeguards(settings.safeguards)


def _about_path(name: str, backend: BackendSettings) -> str:
    try:
        dialect = make_dialect(name, backend)
        base = parse_base_url(backend.base_url, dialect.path)
    except SettingsError:
        return ""  # there is nothing to advise about what is wrong
    host, port = base.address
    if base.root.endswith("/api") and (dialect.name == "ollama" or port == _OLLAMA_PORT):
        return f"this is Ollama's own API; the compatible one is {base.root.removesuffix('api')}v1"
    if base.root.count("/") == 2 and host not in _ROOTS:
        return f"it has no path; most servers have their API under /v1: {base.root}/v1"
    return ""
