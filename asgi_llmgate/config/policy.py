"""`policy` and `limits`: what they may do, and how often."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec

from asgi_llmgate._types import Layer
from asgi_llmgate.config import schema as shape
from asgi_llmgate.config.checks import inside
from asgi_llmgate.config.errors import error_path
from asgi_llmgate.limits import Limit, LimitMiddleware
from asgi_llmgate.policy import PolicyMiddleware, read_authorization


def policy_layer(policy: shape.Policy, folder: Path) -> Layer:
    """The `policy` section; its file is relative to `folder`.  Raises SettingsError."""
    with error_path("policy"):
        authorization = read_authorization(policy.authorization) if policy.authorization is not None else []
    return partial(
        PolicyMiddleware,
        rules=[*policy.rules, *authorization],
        default=policy.default,
        engine=policy.engine,
        deny_subjects=inside(folder, policy.deny_subjects.file if policy.deny_subjects else None),
        denied_model_status=policy.denied_model_status,
    )


def limits_layer(limits: Sequence[shape.Limit]) -> Layer | None:
    if not limits:
        return None
    made = []
    for index, limit in enumerate(limits):
        with error_path(f"limits[{index}]"):
            made.append(Limit(**msgspec.structs.asdict(limit)))
    return partial(LimitMiddleware, limits=made)
