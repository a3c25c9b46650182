"""`policy` and `limits`: what callers may do, and how often."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from asgi_llmgate._types import Layer
from asgi_llmgate.config.section import Section
from asgi_llmgate.config.units import resolve_path
from asgi_llmgate.limits import Limit, LimitMiddleware
from asgi_llmgate.mistakes import Mistakes
from asgi_llmgate.policy import PolicyMiddleware
from asgi_llmgate.policy.evaluation import Engine
from asgi_llmgate.policy.rules import collect_authorization
from asgi_llmgate.rule_variables import LIST_CLAIMS


class DenySubjectsSettings(Section, frozen=True):
    """A file of subjects that are denied before any rule, one per line."""

    file: str


class PolicySettings(Section, frozen=True):
    """What callers may do.  A rule is a CEL expression (an allow rule), or a mapping: name, action, when, reason, mode.

    `authorization` has further rules in agentgateway's form.
    """

    default: Literal["deny", "allow"] = "deny"
    rules: tuple[str | dict[str, Any], ...] = ()
    authorization: dict[str, Any] | None = None
    deny_subjects: DenySubjectsSettings | None = None
    engine: Engine = "strict"
    denied_model_status: Literal[403, 400] = 403
    list_claims: tuple[str, ...] = LIST_CLAIMS


def make_policy_layer(policy: PolicySettings, folder: Path, mistakes: Mistakes) -> Layer:
    """The PolicyMiddleware; its file is relative to `folder`."""
    wrong = Mistakes()
    authorization = collect_authorization(policy.authorization, wrong) if policy.authorization is not None else []
    with mistakes.under("policy"):
        wrong.raise_if_any()
    return partial(
        PolicyMiddleware,
        rules=[*policy.rules, *authorization],
        default=policy.default if not wrong.found else "allow",  # the rule that is wrong may be the only one
        engine=policy.engine,
        deny_subjects=resolve_path(folder, policy.deny_subjects.file if policy.deny_subjects else None),
        denied_model_status=policy.denied_model_status,
    )


def make_limits_layer(limits: Sequence[Limit]) -> Layer | None:
    """The LimitMiddleware; None without limits."""
    return partial(LimitMiddleware, limits=limits) if limits else None
