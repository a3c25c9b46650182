"""`llmgate convert`: the settings of another gateway as settings of this one, with notes on what differs."""

from __future__ import annotations

from asgi_llmgate.cli.convert.command import convert

__all__ = ["convert"]
