"""The table of usage records.  A column has the name of the attribute of asgi_llmgate.UsageRecord that it stores.

A column that is added needs `db_default` or `null=True`: then sites of the version before go on writing into the newer
table.  Django's `default` is Python's, which that version does not have.
"""

from __future__ import annotations

from typing import Any

from django.db import models

SHORT, LONG = 128, 256
"""Characters of a text.  A UsageRecord cuts its texts to these lengths, so that every record fits."""


def _text(length: int = SHORT, **options: Any) -> models.CharField[str, str]:
    return models.CharField(max_length=length, blank=True, default="", **options)


class UsageRecord(models.Model):
    """One usage record.  Rows are written by the gateway and never changed."""

    time = models.DateTimeField(help_text="when the call ended")
    request_id = models.CharField(max_length=64, unique=True)
    method = _text(16)
    path = _text(LONG)
    status = models.PositiveSmallIntegerField(default=0)
    outcome = _text(32)
    reason = _text(32)
    error = _text(LONG)
    error_type = _text(64)
    detail = _text(LONG)
    duration_ms = models.FloatField()
    ttft_ms = models.FloatField(null=True, blank=True, verbose_name="first token, ms")
    client_ip = _text(64)
    user_agent = _text()

    subject = _text()
    issuer = _text()
    fields = models.JSONField(default=dict, blank=True, help_text="the values of usage.fields in the settings")

    operation = _text(32)
    provider = _text()
    request_model = _text(help_text="the model that was sent")
    client_model = _text(help_text="the model that was asked for")
    response_model = _text()
    response_id = _text()
    finish_reasons = models.JSONField(default=list, blank=True)
    tools = models.JSONField(default=list, blank=True, help_text="the tools that the response calls")
    max_tokens = models.BigIntegerField(default=0)
    stream = models.BooleanField(default=False)
    temperature = models.FloatField(null=True, blank=True)

    input_tokens = models.BigIntegerField(null=True, blank=True, help_text="includes cached tokens")
    output_tokens = models.BigIntegerField(null=True, blank=True)
    cache_read_tokens = models.BigIntegerField(default=0)
    cache_creation_tokens = models.BigIntegerField(default=0)
    reasoning_tokens = models.BigIntegerField(default=0)
    estimated = models.BooleanField(default=False, help_text="the token counts are an estimate")
    cost_usd = models.FloatField(null=True, blank=True)

    conversation_id = _text()
    agent_id = _text()
    backend = _text()
    attempts = models.PositiveIntegerField(default=0)
    upstream_ms = models.FloatField(null=True, blank=True)
    dropped = models.JSONField(default=list, blank=True)
    policy_rule = _text()
    policy_dry_run = models.JSONField(default=list, blank=True)
    trace_id = _text(32)
    span_id = _text(16)
    parent_request_id = _text(64, db_default="", help_text="of a call of the gateway's own: the request it is for")
    safeguards = models.JSONField(null=True, blank=True, help_text="the verdicts on tool calls, without their inputs")

    class Meta:
        ordering = ("-time", "-id")
        indexes = (
            models.Index(fields=["time"], name="llmgate_time"),
            models.Index(fields=["subject", "time"], name="llmgate_subject_time"),
        )

    def __str__(self) -> str:
        return self.request_id
