"""From settings to the parts of a gateway: each section becomes what it describes, and each mistake keeps its path."""

from __future__ import annotations

from asgi_llmgate.assembly.backends import http_client, model_row
from asgi_llmgate.assembly.callers import token_providers
from asgi_llmgate.assembly.description import describe
from asgi_llmgate.assembly.parts import Parts, assemble
from asgi_llmgate.assembly.places import Layer
from asgi_llmgate.assembly.records import make_ledger
from asgi_llmgate.assembly.rules import policy_layer

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
