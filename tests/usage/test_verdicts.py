"""What records say of verdicts, and what only the ledger may know."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from asgi_llmgate.exchange import Exchange
from asgi_llmgate.exchange_values import ToolUse, Verdict
from asgi_llmgate.secret_values import Secret
from asgi_llmgate.usage import AccessLog, UsageRecord
from asgi_llmgate.usage.measurements import Measurements
from asgi_llmgate.usage.verdicts import MAX_INPUT, MAX_VERDICTS, VerdictAudit

SECRET = Secret("0123456789abcdef" * 2)

COMMAND = b'{"command": "kubectl --context prod delete ns shop"}'

FLAG = Verdict(
    tool_use=ToolUse("toolu_1", "Bash", COMMAND),
    outcome="flag",
    explanation="production is changed by the pipeline",
    decided_by="rule",
    rule="no-prod",
    milliseconds=0.26,
    dry_run=("platform",),
)
PASS = Verdict(
    tool_use=ToolUse("toolu_2", "Read", b'{"file_path": "/etc/passwd"}'),
    outcome="pass",
    decided_by="classifier",
    model="vllm/qwen3-coder",
    milliseconds=812.34,
)
UNDECIDED = Verdict(
    tool_use=ToolUse("toolu_3", "mcp__db__query", b"{}"),
    outcome="unavailable",
    explanation="the rules do not decide about this",
    decided_by="undecided",
)


def record_of(exchange: Exchange, **options: Any) -> UsageRecord:
    return UsageRecord.of(exchange, audit=VerdictAudit(**options))


def test_each_verdict_is_in_the_record_with_flags_first(full_exchange: Callable[..., Exchange]) -> None:
    exchange = full_exchange(verdicts=(PASS, UNDECIDED, FLAG))
    # HKDF (RFC 5869) of 32 bytes, by hand.
    extracted = hmac.digest(b"\0" * 32, SECRET.reveal().encode(), "sha256")
    key = hmac.digest(extracted, b"asgi-llmgate hashes of inputs\x01", "sha256")
    digest = {each: hmac.new(key, each.tool_use.input, hashlib.sha256).hexdigest()[:32] for each in exchange.verdicts}
    flat = record_of(exchange, secrets=[SECRET, Secret("the one before")]).flat()
    assert list(flat["llmgate.safeguards"]) == [
        {
            "tool": "Bash",
            "tool_use_id": "toolu_1",
            "outcome": "flag",
            "decided_by": "rule",
            "rule": "no-prod",
            "duration_ms": 0.3,
            "dry_run": ("platform",),
            "input_hmac": digest[FLAG],
        },
        {
            "tool": "mcp__db__query",
            "tool_use_id": "toolu_3",
            "outcome": "unavailable",
            "decided_by": "undecided",
            "duration_ms": 0.0,
            "input_hmac": digest[UNDECIDED],
        },
        {
            "tool": "Read",
            "tool_use_id": "toolu_2",
            "outcome": "pass",
            "decided_by": "classifier",
            "model": "vllm/qwen3-coder",
            "duration_ms": 812.3,
            "input_hmac": digest[PASS],
        },
    ]


def test_without_a_key_there_is_no_hash_and_without_verdicts_nothing(full_exchange: Callable[..., Exchange]) -> None:
    assert "input_hmac" not in UsageRecord.of(full_exchange(verdicts=(FLAG,))).flat()["llmgate.safeguards"][0]
    assert "llmgate.safeguards" not in UsageRecord.of(full_exchange()).flat()


@pytest.mark.parametrize("form", ["json", "logfmt"])
def test_an_input_is_in_no_line_of_the_access_log_even_where_it_is_kept(
    full_exchange: Callable[..., Exchange], tmp_path: Path, form: Any
) -> None:
    record = record_of(full_exchange(verdicts=(FLAG, PASS)), secrets=[SECRET], inputs=True)
    assert record.safeguards[0].input == COMMAND.decode()
    assert record.safeguards[0].explanation == FLAG.explanation
    file = tmp_path / "access.log"
    with closing(AccessLog(form, file)) as sink:
        sink.emit(record)
    line = file.read_text()
    assert "no-prod" in line
    for secret in ("kubectl", "passwd", "pipeline"):
        assert secret not in line


def test_many_and_long_values_are_cut_and_no_flag_is_lost(full_exchange: Callable[..., Exchange]) -> None:
    harmless = Verdict(tool_use=ToolUse("i" * 999, "T" * 999, b"{}"), outcome="pass", decided_by="rule", rule="r" * 999)
    content = b'{"command": "\x1b[31m' + "\u202e€".encode() * MAX_INPUT + b'\xff"}'
    flag = Verdict(
        tool_use=ToolUse("toolu_9", "Bash", content),
        outcome="flag",
        explanation="\x1b" + "e" * 999,
        decided_by="classifier",
        dry_run=tuple("d" * 999 for _ in range(99)),
    )
    record = record_of(full_exchange(verdicts=(harmless,) * 999 + (flag,)), inputs=True)
    assert len(record.safeguards) == MAX_VERDICTS
    first, second = record.safeguards[:2]
    assert (first.tool_use_id, len(first.input), len(first.explanation)) == ("toolu_9", MAX_INPUT, 300)
    assert first.input.startswith('{"command": "\ufffd[31m\ufffd€')
    assert first.explanation.isprintable()
    assert [len(first.dry_run), *map(len, first.dry_run)] == [8] + [128] * 8
    assert [len(text) for text in (second.tool, second.tool_use_id, second.rule)] == [128] * 3


def test_a_line_that_is_too_long_keeps_the_flag(full_exchange: Callable[..., Exchange], tmp_path: Path) -> None:
    file = tmp_path / "access.log"
    with closing(AccessLog("json", file)) as sink:
        sink.emit(record_of(full_exchange(verdicts=(PASS,) * 99 + (FLAG,)), secrets=[SECRET]))
    assert json.loads(file.read_text())["llmgate.safeguards"][0]["outcome"] == "flag"


def test_the_counter_has_the_rule_and_never_a_name_that_a_model_chose(full_exchange: Callable[..., Exchange]) -> None:
    measured = Measurements(labels=["team"], fields=["team"])
    record = UsageRecord.of(full_exchange(verdicts=(FLAG, PASS)), {"team": lambda _: "data"})
    found = [labels for metric, _, labels in measured.of(record) if metric.name == "llmgate.safeguards.verdicts"]
    assert found == [
        {
            "llmgate.safeguards.outcome": "flag",
            "llmgate.safeguards.decided_by": "rule",
            "llmgate.safeguards.rule": "no-prod",
            "team": "data",
        },
        {"llmgate.safeguards.outcome": "pass", "llmgate.safeguards.decided_by": "classifier", "team": "data"},
    ]


def test_neither_a_key_nor_an_input_is_in_a_repr() -> None:
    assert repr(VerdictAudit(secrets=[SECRET], inputs=True)) == "VerdictAudit(...)"
