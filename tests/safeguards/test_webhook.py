"""The event and its signature, as a receiver by https://www.standardwebhooks.com reads them."""

from __future__ import annotations

import hmac
import json
from base64 import b64decode, b64encode

import pytest

from asgi_llmgate.safeguards import webhook
from asgi_llmgate.safeguards.webhook import Signer, event_body, event_id
from asgi_llmgate.secret_values import Secret
from asgi_llmgate.usage.ledger.outbox import FlaggedCall

NEW, OLD = Secret("n" * 32), Secret("o" * 32)


def flagged(**changes: object) -> FlaggedCall:
    verdict = {
        "request_id": "req_1",
        "position": 2,
        "time_ms": 1_795_413_424_609,
        "conversation_id": "session",
        "tool": "Bash",
        "tool_use_id": "toolu_1",
        "outcome": "flag",
        "decided_by": "rule",
        "rule": "no-prod",
        "model": "",
        "explanation": "production is changed by the pipeline",
        "input_hmac": "ab12",
        "input": "",
        "dry_run": None,
    }
    return FlaggedCall(7, 1, verdict | changes, "ada", "https://sso.acme.test", {"team": "data"})


def test_the_signature_is_that_of_the_specifications_example(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "derive_keys", lambda *_: (b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),))
    headers = Signer([]).headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert dict(headers)[b"webhook-signature"] == b"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert Signer([]).signing_secret() == "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_while_a_secret_is_replaced_receivers_of_both_can_verify() -> None:
    body = event_body(flagged(), "2026-11-23T05:57:04Z")
    headers = dict(Signer([NEW, OLD]).headers("id", 5, body))
    for secret in (NEW, OLD):
        key = b64decode(Signer([secret]).signing_secret().removeprefix("whsec_"))
        signature = b"v1," + b64encode(hmac.digest(key, b"id.5." + body, "sha256"))
        assert signature in headers[b"webhook-signature"].split(b" ")
    assert (headers[b"webhook-id"], headers[b"webhook-timestamp"]) == (b"id", b"5")
    assert repr(Signer([NEW])) == "Signer(...)"


def test_an_event_says_who_what_when_and_why() -> None:
    assert event_id(flagged()) == "req_1_2"
    assert json.loads(event_body(flagged(), "2026-11-23T05:57:04Z")) == {
        "type": "safeguard.flagged",
        "timestamp": "2026-11-23T05:57:04Z",
        "data": {
            "request_id": "req_1",
            "tool": "Bash",
            "tool_use_id": "toolu_1",
            "outcome": "flag",
            "decided_by": "rule",
            "rule": "no-prod",
            "conversation_id": "session",
            "input_hmac": "ab12",
            "explanation": "production is changed by the pipeline",
            "user": "ada",
            "issuer": "https://sso.acme.test",
            "fields": {"team": "data"},
        },
    }


@pytest.mark.parametrize(
    ("by", "input", "is_told"), [("rule", "", True), ("classifier", "", False), ("classifier", "{}", True)]
)
def test_what_a_classifier_says_is_told_only_with_the_input(by: str, input: str, is_told: bool) -> None:
    data = json.loads(event_body(flagged(decided_by=by, input=input), "2026-11-23T05:57:04Z"))["data"]
    assert ("explanation" in data) is is_told
    assert ("input" in data) is bool(input)
