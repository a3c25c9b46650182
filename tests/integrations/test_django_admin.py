"""The pages of usage in Django's admin: to be read, filtered and taken away, never to be changed."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.helpers import django_site
from tests.helpers.spreadsheet_formulas import FORMULAS, PLAIN

django_site.ready()

from django.contrib.auth.models import Permission, User  # noqa: E402
from django.contrib.sessions.models import Session  # noqa: E402
from django.db import connections  # noqa: E402
from django.test import Client  # noqa: E402
from llmgate_django.admin import DAYS, HEIGHT, bars  # noqa: E402
from llmgate_django.models import UsageRecord  # noqa: E402
from llmgate_django.report import as_csv  # noqa: E402

PAGE = "/admin/llmgate/usagerecord/"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def add(number: int, **facts: Any) -> UsageRecord:
    defaults = {"time": NOON, "request_id": f"req_{number}", "duration_ms": 5.0, "outcome": "ok", "status": 200}
    return UsageRecord.objects.create(**{**defaults, **facts})


@pytest.fixture
def browser() -> Iterator[Client]:
    """Of somebody who may see the table, and nothing else."""
    reader = User.objects.create_user("reader", password="secret", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_usagerecord"))
    client = Client()
    client.force_login(reader)
    yield client
    for model in (UsageRecord, User, Session):
        model._default_manager.all().delete()
    connections.close_all()


def test_the_list_shows_calls_and_a_bar_per_day(browser: Client) -> None:
    add(1, subject="ada", request_model="gpt-4o-mini", input_tokens=300, output_tokens=100)
    add(2, subject="bob", request_model="qwen3", input_tokens=100, time=NOON + timedelta(days=1))
    page = browser.get(PAGE).content.decode()
    assert page.index("bob") < page.index("ada")
    assert re.findall(r"<title>(2026[^<]*)</title>", page) == [
        "2026-03-01: 1 requests, 300 tokens in, 100 out",
        "2026-03-02: 1 requests, 100 tokens in, 0 out",
    ]
    assert "2026" in page[page.index('class="toplinks"') :]


def test_filters_count_for_the_chart_too(browser: Client) -> None:
    add(1, request_model="gpt-4o-mini", input_tokens=300)
    add(2, request_model="qwen3", input_tokens=100)
    page = browser.get(PAGE, {"request_model": "qwen3"}).content.decode()
    assert "req_1" not in page
    assert "1 requests, 100 tokens in" in page
    assert browser.get(PAGE, {"q": "nothing like it"}).status_code == 200


def test_without_records_there_is_no_chart(browser: Client) -> None:
    assert b"<svg role" not in browser.get(PAGE).content


def test_the_chart_has_the_last_days_and_fits() -> None:
    for number in range(DAYS + 5):
        add(number, time=NOON + timedelta(days=number), input_tokens=number, output_tokens=10)
    try:
        found = bars(UsageRecord.objects.all())
        assert len(found) == DAYS
        assert found[-1]["day"] == f"{NOON + timedelta(days=DAYS + 4):%Y-%m-%d}"
        assert all(0 <= day["input_y"] <= day["output_y"] <= HEIGHT for day in found)
        assert found[-1]["input_y"] == 0
    finally:
        UsageRecord.objects.all().delete()
        connections.close_all()


@pytest.mark.parametrize(("value", "cell"), [*FORMULAS[::5], *FORMULAS[-10:], *((text, text) for text in PLAIN)])
def test_a_spreadsheet_gets_no_formula(value: str, cell: str) -> None:
    header, line = csv.reader(io.StringIO(as_csv(["a", "b"], [[value, ""]]), newline=""))
    assert (header, line) == (["a", "b"], [cell, ""])


def test_csv_is_what_was_selected_and_runs_no_formula(browser: Client) -> None:
    keep, _ = add(1, user_agent="=cmd|' /C calc'!A0", fields={"team": "data"}), add(2)
    form = {"action": "download_csv", "_selected_action": [str(keep.pk)]}
    answer = browser.post(PAGE, form)
    assert answer["content-disposition"] == 'attachment; filename="llm-usage.csv"'
    (row,) = csv.DictReader(io.StringIO(answer.content.decode()))
    assert (row["request_id"], row["user_agent"], row["status"]) == ("req_1", "'=cmd|' /C calc'!A0", "200")


@pytest.mark.parametrize("superuser", [False, True])
def test_records_cannot_be_changed_in_the_admin(browser: Client, superuser: bool) -> None:
    User.objects.filter(username="reader").update(is_superuser=superuser)
    record = add(1)
    assert browser.get(f"{PAGE}add/").status_code == 403
    assert browser.post(f"{PAGE}{record.pk}/delete/", {"post": "yes"}).status_code == 403
    assert browser.post(f"{PAGE}{record.pk}/change/", {"subject": "eve"}).status_code == 403
    page = browser.get(f"{PAGE}{record.pk}/change/")
    assert page.status_code == 200
    assert b'name="_save"' not in page.content
    browser.post(PAGE, {"action": "delete_selected", "_selected_action": [str(record.pk)], "post": "yes"})
    assert UsageRecord.objects.get().subject == ""


def test_who_may_not_see_it_does_not(browser: Client) -> None:
    User.objects.get().user_permissions.clear()
    assert browser.get(PAGE).status_code == 403
