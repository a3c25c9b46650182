"""The webhook about a flagged tool call: its body, and its signature after https://www.standardwebhooks.com.

    webhook-id          the id of the event: the same at each attempt, so that a receiver can drop repetitions
    webhook-timestamp   Unix seconds of the attempt
    webhook-signature   `v1,` and the base64 of HMAC-SHA-256 over `{id}.{timestamp}.{body}`; one for each `secret` of
                        the settings, separated by spaces, so that a secret can be replaced

The receiver's key is `signing_secret`, which `llmgate usage webhook` prints.
"""

from __future__ import annotations

import hmac
import json
from base64 import b64encode
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from asgi_llmgate.sealing import derive_keys
from asgi_llmgate.secret_values import Secret

if TYPE_CHECKING:
    from asgi_llmgate.usage.ledger.outbox import FlaggedCall

FLAGGED, TRIAL = "safeguard.flagged", "webhook.test"
"""Types of events."""

_PURPOSE = "webhook signatures"
_ALWAYS = ("request_id", "tool", "tool_use_id", "outcome", "decided_by")
_IF_KNOWN = ("rule", "model", "dry_run", "conversation_id", "input_hmac", "input")


class Signer:
    """Signs with keys that are derived from the secrets of the settings."""

    def __init__(self, secrets: Sequence[Secret]) -> None:
        self._secrets = secrets

    def __repr__(self) -> str:
        return "Signer(...)"

    def headers(self, event_id: str, timestamp: int, body: bytes) -> list[tuple[bytes, bytes]]:
        """The headers of one attempt at `timestamp` (Unix seconds)."""
        signed = f"{event_id}.{timestamp}.".encode() + body
        signatures = [b"v1," + b64encode(hmac.digest(key, signed, "sha256")) for key in self._keys()]
        return [
            (b"content-type", b"application/json"),
            (b"webhook-id", event_id.encode()),
            (b"webhook-timestamp", b"%d" % timestamp),
            (b"webhook-signature", b" ".join(signatures)),
        ]

    def signing_secret(self) -> str:
        """The receiver's key, in the form that libraries for Standard Webhooks take."""
        return "whsec_" + b64encode(self._keys()[0]).decode()

    def _keys(self) -> tuple[bytes, ...]:
        return derive_keys(self._secrets, _PURPOSE)


def event_id(call: FlaggedCall) -> str:
    """Unique for a flag, and the same at each attempt and in each process."""
    return f"{call.verdict['request_id']}_{call.verdict['position']}"


def event_body(call: FlaggedCall, time: str) -> bytes:
    """The body of the event: JSON in ASCII.  `time` is when the call ended, in RFC 3339.

    The explanation of a classifier may quote the input, so it is told only where the input is.
    """
    verdict = call.verdict
    data: dict[str, Any] = {name: verdict[name] for name in _ALWAYS}
    data |= {name: verdict[name] for name in _IF_KNOWN if verdict[name]}
    if verdict["explanation"] and (verdict["decided_by"] == "rule" or verdict["input"]):
        data["explanation"] = verdict["explanation"]
    data |= {"user": call.subject, "issuer": call.issuer, "fields": call.fields}
    return _encode(FLAGGED, time, data)


def trial_body(time: str) -> bytes:
    """The body of an event that says only that the webhook works."""
    return _encode(TRIAL, time, {})


def _encode(kind: str, time: str, data: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "timestamp": time, "data": data}, separators=(",", ":")).encode("ascii")
