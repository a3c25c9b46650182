"""`policy` and `limits`: what they may do, and how often."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from asgi_llmgate.config import schema as shape
from asgi_llmgate.config.checks import Layer, at, bound, inside
from asgi_llmgate.limits import Limit, LimitMiddleware
from asgi_llmgate.policy import PolicyMiddleware, read_authorization


def policy_layer(policy: shape.Policy, folder: Path) -> Layer:
    """The `policy` section; its file is relative to `folder`.  Raises SettingsError."""
    with at("policy"):
        authorization = read_authorization(policy.authorization) if policy.authorization is not None else []
    return bound(
        "policy",
        PolicyMiddleware,
        rules=[*policy.rules, *authorization],
        default=policy.default,
        engine=policy.engine,
        deny_subjects=inside(folder, policy.deny_subjects.file if policy.deny_subjects else None),
        list_claims=policy.list_claims,
        denied_model_status=policy.denied_model_status,
    )


def limits_layer(limits: Sequence[shape.Limit], list_claims: Sequence[str]) -> Layer | None:
    if not limits:
        return None
    made = []
    for index, limit in enumerate(limits):
        with at(f"limits[{index}]"):
            made.append(Limit(**msgspec.structs.asdict(limit)))
    return bound("limits", LimitMiddleware, limits=made, list_claims=list_claims)
