"""From settings to the parts of a gateway: each section becomes what it describes, and each mistake keeps its path."""

from __future__ import annotations

from asgi_llmgate.config.auth import token_providers
from asgi_llmgate.config.backends import http_client, model_row
from asgi_llmgate.config.build import Parts, assemble
from asgi_llmgate.config.checks import Layer
from asgi_llmgate.config.description import describe
from asgi_llmgate.config.policy import policy_layer
from asgi_llmgate.config.usage import make_ledger

__all__ = [
    "Layer",
    "Parts",
    "assemble",
    "describe",
    "http_client",
    "make_ledger",
    "model_row",
    "policy_layer",
    "token_providers",
]
