"""`manage.py llmgate_prune`: deletes old usage records; for a nightly job."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from asgi_llmgate import SettingsError
from llmgate_django.conf import parse_age, read
from llmgate_django.models import UsageRecord

BATCH = 1000
"""Rows of one statement; the site writes between two of them."""


class Command(BaseCommand):
    help = "Delete usage records older than usage.ledger.keep."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--keep", help="age, in place of usage.ledger.keep: 90d, 4w")
        parser.add_argument("--dry-run", action="store_true", help="only count them")

    def handle(self, *args: Any, keep: str | None, dry_run: bool, **options: Any) -> None:
        try:
            site = read()
            age = parse_age(keep, "--keep") if keep else site.keep
        except SettingsError as error:
            raise CommandError(str(error)) from None
        if site.other_ledger:
            raise CommandError("usage.ledger names a database that a running gateway prunes by itself, once an hour")
        if age is None:
            raise CommandError("usage.ledger.keep is None, so records are kept for ever: give an age with --keep")
        old = UsageRecord.objects.filter(time__lt=timezone.now() - age).order_by("id")
        count = old.count() if dry_run else _delete(old)
        self.stdout.write(f"{count} {'record' if count == 1 else 'records'} {'would be ' if dry_run else ''}deleted")


def _delete(old: Any) -> int:
    deleted = 0
    while ids := list(old.values_list("id", flat=True)[:BATCH]):
        UsageRecord.objects.filter(id__in=ids).delete()
        deleted += len(ids)
    return deleted
