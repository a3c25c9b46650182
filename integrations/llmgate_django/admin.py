"""Usage records in the admin: they can be viewed, filtered and downloaded as CSV, but not changed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import Max, QuerySet
from django.http import HttpRequest, HttpResponse

from llmgate_django.models import UsageRecord
from llmgate_django.report import as_csv, summarise

if TYPE_CHECKING:
    Base = admin.ModelAdmin[UsageRecord]
else:
    Base = admin.ModelAdmin

DAYS = 60
"""Days in the chart, up to the newest record of the current filter."""

HEIGHT = 80
"""Height of the chart in SVG units."""


@admin.register(UsageRecord)
class UsageRecordAdmin(Base):
    list_display = (
        "time",
        "subject",
        "client_model",
        "request_model",
        "status",
        "outcome",
        "input_tokens",
        "output_tokens",
        "cost_usd",
        "duration_ms",
    )
    list_filter = ("outcome", "reason", "request_model", "backend", "stream")
    search_fields = ("request_id", "subject", "conversation_id")
    date_hierarchy = "time"
    show_full_result_count = False  # counting millions of rows takes seconds
    actions = ("download_csv",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: UsageRecord | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: UsageRecord | None = None) -> bool:
        return False

    @admin.action(permissions=["view"], description="Download as CSV")
    def download_csv(self, request: HttpRequest, queryset: QuerySet[UsageRecord]) -> HttpResponse:
        header = [field.name for field in UsageRecord._meta.concrete_fields if not field.primary_key]
        content = as_csv(header, queryset.values_list(*header).iterator())
        disposition = {"Content-Disposition": 'attachment; filename="llm-usage.csv"'}
        return HttpResponse(content, content_type="text/csv; charset=utf-8", headers=disposition)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        response = super().changelist_view(request, extra_context)
        # A redirect, or the confirmation page of an action, has no change list.
        context = getattr(response, "context_data", None)
        if context is not None and "cl" in context:
            context["llmgate_days"] = bars(context["cl"].queryset)
        return response


def bars(records: QuerySet[UsageRecord]) -> list[dict[str, Any]]:
    """The bars of the chart, one per day with records, the newest last: day, requests, tokens, geometry in SVG
    units."""
    last = records.aggregate(last=Max("time"))["last"]
    if last is None:
        return []
    days = summarise(records.filter(time__gt=last - timedelta(days=DAYS)), ["day"])
    most = max(day["input_tokens"] + day["output_tokens"] for day in days) or 1
    for place, day in enumerate(days):
        day["x"] = place * 16
        day["output_height"] = round(day["output_tokens"] * HEIGHT / most, 1)
        day["input_height"] = round(day["input_tokens"] * HEIGHT / most, 1)
        day["output_y"] = round(HEIGHT - day["output_height"], 1)
        day["input_y"] = round(day["output_y"] - day["input_height"], 1)
    return days
