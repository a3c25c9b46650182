"""`manage.py llmgate_check`: what is wrong with LLMGATE, or what it means."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connections, router

from asgi_llmgate import SettingsError, describe
from llmgate_django.checks import check_settings
from llmgate_django.conf import NAME, read
from llmgate_django.models import UsageRecord


class Command(BaseCommand):
    help = "Say what is wrong with the setting LLMGATE, with the exact place, or where each model name is routed to."
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
            self.stdout.write("  people who are logged in to this site may call, as far as the rules let them")
        if site.ledger:
            self._look_for_table()
            self.stdout.write("  usage is kept in this site's database")

    def _look_for_table(self) -> None:
        table = UsageRecord._meta.db_table
        database = router.db_for_write(UsageRecord)
        try:
            found = table in connections[database].introspection.table_names()
        except DatabaseError as error:
            raise CommandError(f"the database {database!r} does not answer: {error}") from None
        if not found:
            raise CommandError(f"the database {database!r} has no table {table}: run `manage.py migrate`")
