"""Extras: packages that one feature needs, and that are not installed without `asgi-llmgate[EXTRA]`.

    with needs_extra("serve", "llmgate serve"):
        import uvicorn

The error names the extra and a line that installs it.  It is a SettingsError, so a command prints it as a message and
the reader of settings adds the place in the file, and an ImportError, as Python expects it of an import.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from asgi_llmgate._version import __version__
from asgi_llmgate.errors import SettingsError

MODULES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "ledger": ("sqlalchemy",),
        "safeguards": ("tree_sitter", "tree_sitter_bash"),
        "postgresql": ("psycopg",),
        "prices": ("genai_prices",),
        "page": ("sqlalchemy", "jinja2"),
        "otel": ("opentelemetry",),
        "prometheus": ("prometheus_client",),
        "serve": ("uvicorn",),
        "gunicorn": ("gunicorn", "uvicorn_worker"),
        "starlette": ("starlette",),
        "django": ("django",),
        "quart": ("quart",),
        "fastapi": ("fastapi", "starlette"),
        "demo": ("uvicorn", "starlette", "sqlalchemy", "jinja2", "genai_prices"),
    }
)
"""Extra -> the modules it brings.  `compression` is not here: without it, requests in br and zstd get a 415."""


class MissingExtra(SettingsError, ImportError):  # type: ignore[misc]  # `path` is a text in the one, None in the other
    """A package of an extra is not installed; `needed` says which, `feature` what it is for."""

    def __init__(self, extra: str, needed: str, *, feature: str) -> None:
        super().__init__(f"{feature} needs {needed}", hint=hint(extra))
        self.needed = needed
        self.name = needed.partition(" ")[0]


def hint(extra: str) -> str:
    """What to do.  It names the wheel and not the project alone, since no package index has the project."""
    wheel = f"./asgi_llmgate-{__version__}-py3-none-any.whl"
    return f'pip install "{wheel}[{extra}]", or another way in docs/how-to/install.md'


@contextmanager
def needs_extra(extra: str, feature: str) -> Iterator[None]:
    """Imports that need the packages of an extra; `feature` is what they are for, and begins the message.

    Raises MissingExtra if one is not installed, or is a version without what is imported from it.  Where a feature
    needs another one, the outer extra is named: it brings the packages of the inner one.
    """
    try:
        yield
    except ImportError as error:
        module = (error.name or "").partition(".")[0]
        if module not in MODULES[extra]:
            raise
        if isinstance(error, MissingExtra):
            needed = error.needed
        elif isinstance(error, ModuleNotFoundError) and error.name == module:
            needed = module
        else:
            needed = f"{module} in another version: {error}"
        raise MissingExtra(extra, needed, feature=feature) from None
