"""`manage.py llmgate_check`: checks the setting LLMGATE and shows what it means."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connections, router

from asgi_llmgate import SettingsError, describe
from llmgate_django.checks import check_settings
from llmgate_django.conf import NAME, read
from llmgate_django.models import UsageRecord


class Command(BaseCommand):
    help = (
        "Check the setting LLMGATE: report errors with their exact place, or show where each model name is routed to."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("names", nargs="*", metavar="MODEL", help="names to look up")

    def handle(self, *args: Any, names: list[str], **options: Any) -> None:
        messages = check_settings()
        if wrong := [message for message in messages if message.is_serious()]:
            raise CommandError("\n".join(map(str, wrong)))
        for warning in messages:
            self.stderr.write(self.style.WARNING(str(warning)))
        try:
            site = read()
            lines = list(describe(site.settings, names))
        except SettingsError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{NAME}: good")
        for line in lines:
            self.stdout.write(f"  {line}")
        if site.session:
            self.stdout.write("  users who are logged in to this site may call, as far as the rules allow it")
        if site.ledger:
            self._check_table()
            self.stdout.write("  usage records are written to this site's database")

    def _check_table(self) -> None:
        table = UsageRecord._meta.db_table
        database = router.db_for_write(UsageRecord)
        try:
            found = table in connections[database].introspection.table_names()
        except DatabaseError as error:
            raise CommandError(f"the database {database!r} does not work: {error}") from None
        if not found:
            raise CommandError(f"the database {database!r} has no table {table}: run `manage.py migrate`")
