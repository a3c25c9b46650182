"""What a record says, and what it never says."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import msgspec
import pytest

from asgi_llmgate.exchange import Exchange
from asgi_llmgate.exchange_values import Call, Decision, Identity, ResponseMetadata, Target, Usage
from asgi_llmgate.secret_values import Secret
from asgi_llmgate.usage.record import NAMES, UsageRecord


def test_every_value_has_the_name_of_the_conventions(full_exchange):
    assert UsageRecord.of(full_exchange(), {"org": lambda e: e.identity.claims["org"]}).flat() == {
        "time": "2026-11-23T05:57:07.385Z",
        "request_id": "req_1",
        "method": "POST",
        "path": "/v1/messages",
        "status": 200,
        "outcome": "ok",
        "duration_ms": 2776.0,
        "ttft_ms": 412.0,
        "client_ip": "10.0.0.1",
        "user_agent": "claude-cli/2.1.4 (external, cli)",
        "jwt.sub": "u-1842",
        "jwt.iss": "https://sso.acme.test",
        "org": "acme",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "llmgate.client.model": "claude-opus-5-5",
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.finish_reasons": ("stop",),
        "llmgate.tools": ("Read", "Bash"),
        "gen_ai.request.max_tokens": 128,
        "gen_ai.request.stream": True,
        "gen_ai.request.temperature": 0.0,
        "gen_ai.usage.input_tokens": 17,
        "gen_ai.usage.output_tokens": 33,
        "gen_ai.usage.cache_read.input_tokens": 5,
        "gen_ai.usage.cache_creation.input_tokens": 3,
        "gen_ai.usage.reasoning.output_tokens": 2,
        "llmgate.estimated": True,
        "gen_ai.conversation.id": "7c1d",
        "gen_ai.agent.id": "a-1",
        "llmgate.backend": "main",
        "llmgate.attempts": 2,
        "llmgate.upstream_ms": 2766.0,
        "llmgate.dropped": ("thinking",),
        "policy.rule": "staff",
        "policy.dry_run": ("strict",),
    }


def test_unknown_values_are_absent():
    exchange = Exchange(
        method="GET", path="/v1/models", request_id="req_2", started_at=0.0, started=5.0, ended_at=5.001
    )
    exchange.settle("refused", reason="JwtAuth", error="no bearer token found", detail="header absent")
    assert UsageRecord.of(exchange).flat() == {
        "time": "1970-01-01T00:00:00.001Z",
        "request_id": "req_2",
        "method": "GET",
        "path": "/v1/models",
        "outcome": "refused",
        "reason": "JwtAuth",
        "error": "no bearer token found",
        "llmgate.detail": "header absent",
        "duration_ms": 1.0,
    }


def test_no_tokens_is_a_number_but_no_usage_is_absent(full_exchange):
    flat = UsageRecord.of(full_exchange(usage=Usage())).flat()
    assert (flat["gen_ai.usage.input_tokens"], flat["gen_ai.usage.output_tokens"]) == (0, 0)
    assert not any("usage" in name for name in UsageRecord.of(full_exchange(usage=None)).flat())


def test_a_refused_call_has_the_requested_model_but_no_target(full_exchange):
    flat = UsageRecord.of(full_exchange(target=None, usage=None, response=None)).flat()
    assert flat["llmgate.client.model"] == "claude-opus-5-5"
    assert flat.keys().isdisjoint({"gen_ai.request.model", "gen_ai.provider.name", "llmgate.backend", "ttft_ms"})


def test_a_record_is_frozen_and_json(full_exchange):
    record = UsageRecord.of(full_exchange())
    with pytest.raises(AttributeError):
        record.status = 500
    assert json.loads(msgspec.json.encode(record))["gen_ai.request.model"] == "gpt-4o-mini"


def test_neither_tokens_nor_claims_nor_credentials_are_in_it(full_exchange):
    exchange = full_exchange(
        token=Secret("eyJ-the-token"),
        headers={"authorization": "Bearer eyJ-the-token", "x-api-key": "sk-key", "cookie": "session=1"},
    )
    text = repr(UsageRecord.of(exchange)) + str(UsageRecord.of(exchange).flat())
    for forbidden in ("eyJ-the-token", "sk-key", "session=1", "acme'", "groups"):
        assert forbidden not in text


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        pytest.param("acme", "acme", id="text"),
        pytest.param(7, 7, id="number"),
        pytest.param(False, False, id="false"),
        pytest.param(["a", 1, {"b": 2}], ["a", "1"], id="list of scalars"),
        pytest.param(list("abcdefghijklmnopqrstuvwxyz"), list("abcdefghijklmnop"), id="long list"),
        pytest.param("x" * 5000, "x" * 127 + "…", id="long text"),
        pytest.param("", "", id="empty text"),
    ],
)
def test_a_chosen_field_is_a_scalar_or_a_list(full_exchange, value, kept):
    assert UsageRecord.of(full_exchange(), {"field": lambda _: value}).flat()["field"] == kept


@pytest.mark.parametrize(
    ("value", "caller"),
    [
        pytest.param("ada@acme.test", "ada@acme.test", id="a text"),
        pytest.param(1842, "1842", id="a number"),
        pytest.param("x" * 5000, "x" * 127 + "…", id="a long text"),
        pytest.param("ada\x1b[31m\n\u202e", "ada\ufffd[31m\ufffd\ufffd", id="control characters"),
        pytest.param("", "u-1842", id="an empty text"),
        pytest.param(None, "u-1842", id="nothing"),
        pytest.param(["ada"], "u-1842", id="a list"),
        pytest.param({"name": "ada"}, "u-1842", id="a mapping"),
        pytest.param(True, "u-1842", id="true"),
        pytest.param(1.5, "u-1842", id="a fraction"),
    ],
)
def test_the_operators_name_of_the_caller(full_exchange, value, caller):
    record = UsageRecord.of(full_exchange(), user=lambda _: value)
    assert record.caller == caller
    assert record.subject == "u-1842"
    assert record.flat().get("llmgate.user", "u-1842") == caller


def test_a_caller_whose_name_cannot_be_read_keeps_the_subject(full_exchange):
    record = UsageRecord.of(full_exchange(), user=lambda exchange: exchange.identity.claims["none"])
    assert (record.caller, record.user) == ("u-1842", "")
    assert UsageRecord.of(full_exchange()).caller == "u-1842"


@pytest.mark.parametrize("value", [None, {"a": 1}, math.nan, math.inf, object()])
def test_a_chosen_field_of_another_kind_is_absent(full_exchange, value):
    assert "field" not in UsageRecord.of(full_exchange(), {"field": lambda _: value}).flat()


def test_a_field_that_cannot_be_read_is_absent_and_the_next_one_is_not(full_exchange):
    fields = {"org": lambda e: e.identity.claims["none"], "team": lambda e: "data"}
    flat = UsageRecord.of(full_exchange(), fields).flat()
    assert "org" not in flat
    assert flat["team"] == "data"


def test_fields_of_which_none_can_be_read_leave_no_trace(full_exchange):
    flat = UsageRecord.of(full_exchange(), {"org": lambda e: e.identity.claims["none"]}).flat()
    assert flat == UsageRecord.of(full_exchange()).flat()


def test_text_from_outside_is_clipped(full_exchange):
    long = "x" * 10_000
    exchange = full_exchange(
        path="/" + long, headers={"user-agent": long}, error=long, detail=long, dropped=[long] * 1000, method=long
    )
    exchange.call.request.model = exchange.call.session_id = exchange.call.agent_id = long
    exchange.response = ResponseMetadata(long, long, (long,), tuple(f"{number}{long}" for number in range(1000)))
    flat = UsageRecord.of(exchange).flat()
    assert len(json.dumps(flat)) < 9000
    assert flat["user_agent"] == "x" * 127 + "…"


def test_the_current_span_is_named_and_without_one_nothing_is(full_exchange):
    trace = pytest.importorskip("opentelemetry.trace")
    assert UsageRecord.of(full_exchange()).trace_id == ""
    context = trace.SpanContext(0x4BF9, 0xF0, is_remote=False, trace_flags=trace.TraceFlags(1))
    with trace.use_span(trace.NonRecordingSpan(context)):
        record = UsageRecord.of(full_exchange())
    assert (record.trace_id, record.span_id) == ("0" * 28 + "4bf9", "0" * 14 + "f0")


def test_names_of_a_record_cannot_be_fields():
    assert {"gen_ai.request.model", "jwt.sub", "status", "fields"} <= NAMES
    assert "org" not in NAMES


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("tool_calls", "tool_calls"),
        ("end_turn", "end_turn"),
        ("our secret plan", "other"),
        ("plan\n", "other"),
        ("", ""),
    ],
)
def test_a_reason_and_an_id_are_words_and_no_sentences(full_exchange, said, written):
    flat = UsageRecord.of(full_exchange(response=ResponseMetadata("m", said, (said,)))).flat()
    assert flat["gen_ai.response.finish_reasons"] == (written,)
    assert flat.get("gen_ai.response.id", "") == written


UNSEEN = [*b"\0\a\b\t\n\v\r\x1b\x7f\x85\x9b\xad", 0x61C, 0x180E, 0x200B, 0x200F, 0x2028, 0x2029, 0x202E, 0x2066]
UNSEEN += [0xD83D, 0xFEFF, 0xE0041]


@pytest.mark.parametrize("code", UNSEEN, ids=hex)
def test_no_text_of_a_record_has_a_character_that_its_reader_does_not_see(full_exchange, code):
    text = f"a{chr(code)}b"
    exchange = full_exchange(
        path=text, client=text, headers={"user-agent": text}, error=text, detail=text, dropped=[text],
        target=Target(backend="main", vendor="openai", model=text),
        response=ResponseMetadata(text, text, (text,), (text,)),
    )  # fmt: skip
    asked = SimpleNamespace(model=text, max_tokens=1, stream=True, temperature=None)
    exchange.call = Call(request=asked, candidates=(), session_id=text, agent_id=text)
    exchange.identity = Identity(subject=text, issuer=text, provider="sso", claims={"team": [text]})
    exchange.decision = Decision(True, rule=text, dry_run=(text,))
    fields = {"team": lambda e: e.identity.claims["team"], "sub": lambda e: e.identity.subject}
    flat = UsageRecord.of(exchange, fields).flat()
    shown = "|".join(str(value) for value in flat.values())
    assert shown.count("a\ufffdb") == 18
    assert chr(code) not in shown.replace("\ufffd", "")


def test_the_least_record_has_safe_texts_too(full_exchange):
    text = "a\nb" + "x" * 300
    record = UsageRecord.minimal(full_exchange(path=text, client=text, headers={"user-agent": text}, error=text))
    for value in (record.path, record.client_ip, record.user_agent, record.error):
        assert (value[:3], value[-1]) == ("a\ufffdb", "…")
