"""What a usage record says about the tool calls that were judged (`safeguards`).

A verdict names its tool call by id, and the input by a keyed hash: equal inputs have equal hashes, so that an auditor
who holds an input can find it, and whoever reads the log cannot guess it.  The input itself, and the explanation, which
a classifier may have written out of it, are for the ledger alone: no log line, span or metric has them.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec

from asgi_llmgate.clipping import clip
from asgi_llmgate.exchange_values import MAX_EXPLANATION, Verdict
from asgi_llmgate.sealing import derive_keys
from asgi_llmgate.secret_values import Secret

MAX_VERDICTS = 128
"""Verdicts of one record."""

MAX_INPUT = 16_384
"""Characters of an input that is kept in full."""

_MAX_DRY_RUN = 8
_HASH_DIGITS = 32

_PRIVATE = ("explanation", "input")


class VerdictRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The verdict on one tool call.

    `outcome`, `decided_by`, `rule`, `model` and `dry_run` as in `exchange_values.Verdict`; `duration_ms` is how long
    the decision took.  `input_hmac` is the beginning of the HMAC-SHA-256 of the input, empty without `secret` in the
    settings. `input` is empty unless `safeguards.audit.inputs` is on.
    """

    tool: str
    tool_use_id: str
    outcome: str
    decided_by: str
    rule: str = ""
    model: str = ""
    duration_ms: float
    dry_run: tuple[str, ...] = ()
    input_hmac: str = ""
    explanation: str = ""
    input: str = ""

    def public(self) -> Mapping[str, Any]:
        """The values for log lines, spans and metrics."""
        values: dict[str, Any] = msgspec.to_builtins(self)
        remove_private_values(values)
        return values


def remove_private_values(verdict: dict[str, Any]) -> None:
    """Leave of a VerdictRecord, given as a dict, what `VerdictRecord.public` has."""
    for name in _PRIVATE:
        verdict.pop(name, None)


class VerdictAudit:
    """Makes the records of verdicts: with `inputs` in full, and with their hash by a key of the first of the
    `secrets`."""

    def __init__(self, *, secrets: Sequence[Secret] = (), inputs: bool = False) -> None:
        self._secrets = secrets[:1]
        self._inputs = inputs

    @cached_property
    def _key(self) -> bytes:
        # By the first verdict: the start of a gateway does without the import of cryptography.
        return b"".join(derive_keys(self._secrets, "hashes of inputs"))

    def __repr__(self) -> str:
        return "VerdictAudit(...)"

    def records(self, verdicts: Sequence[Verdict]) -> tuple[VerdictRecord, ...]:
        """One for each verdict, flags first: what has to be cut is cut at the end."""
        ordered = sorted(verdicts, key=lambda verdict: _ORDER[verdict.outcome])
        return tuple(self._record(verdict) for verdict in ordered[:MAX_VERDICTS])

    def _record(self, verdict: Verdict) -> VerdictRecord:
        tool_use = verdict.tool_use
        return VerdictRecord(
            tool=clip(tool_use.name),
            tool_use_id=clip(tool_use.id),
            outcome=verdict.outcome,
            decided_by=verdict.decided_by,
            rule=clip(verdict.rule),
            model=clip(verdict.model),
            duration_ms=round(verdict.milliseconds, 1),
            dry_run=tuple(map(clip, verdict.dry_run[:_MAX_DRY_RUN])) if verdict.dry_run else (),
            input_hmac=input_hmac(self._key, tool_use.input) if self._key else "",
            explanation=clip(verdict.explanation, MAX_EXPLANATION),
            input=clip(tool_use.input[: 4 * MAX_INPUT].decode("utf-8", "replace"), MAX_INPUT) if self._inputs else "",
        )


_ORDER = {"flag": 0, "unavailable": 1, "pass": 2}


def input_hmac(key: bytes, content: bytes) -> str:
    """The hash of an input in records: 32 hexadecimal digits."""
    return hmac.digest(key, content, "sha256").hex()[:_HASH_DIGITS]
