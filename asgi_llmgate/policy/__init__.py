"""Authorization: rules in CEL about the caller, the request, and the model that would serve the call."""

from __future__ import annotations

from asgi_llmgate.policy.evaluation import Policy as Policy  # for the package itself
from asgi_llmgate.policy.expressions import condition, field
from asgi_llmgate.policy.middleware import PolicyMiddleware
from asgi_llmgate.policy.rules import Rule, read_authorization

__all__ = ["PolicyMiddleware", "Rule", "condition", "field", "read_authorization"]
