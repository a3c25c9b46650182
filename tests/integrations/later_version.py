"""A site whose llmgate_django is of a later version, with one more column, and then of this version again.

    python -m tests.integrations.later_version FOLDER DATABASE DEFINITION

DATABASE is `sqlite`, or the port of a PostgreSQL server.  DEFINITION is the later column, as in models.py.  Prints the
request ids that are in the table at the end.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import django
from django.conf import settings
from django.core.management import call_command

from asgi_llmgate import UsageRecord

LATER = """
from django.db import migrations, models
class Migration(migrations.Migration):
    dependencies = [("llmgate", "{newest}")]
    operations = [
        migrations.AddField("usagerecord", "region", {definition}),
        migrations.AddIndex("usagerecord", models.Index(fields=["region"], name="llmgate_region")),
    ]
"""


def main(folder: Path, database: str, definition: str) -> None:
    import llmgate_django

    # The migrations of the later version: those of this one, and another.
    migrations = folder / "later_migrations"
    shutil.copytree(Path(llmgate_django.__file__).parent / "migrations", migrations)
    newest = max(path.stem for path in migrations.glob("0*.py"))
    (migrations / "9999_later.py").write_text(LATER.format(newest=newest, definition=definition))
    sys.path.insert(0, str(folder))
    server = {"ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "USER": "llmgate", "HOST": "127.0.0.1"}
    settings.configure(
        SECRET_KEY="of the tests",
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=["llmgate_django"],
        MIGRATION_MODULES={"llmgate": "later_migrations"},
        DATABASES={
            "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / "db.sqlite3")}
            if database == "sqlite"
            else server | {"PORT": database}
        },
    )
    django.setup()
    from llmgate_django.ledger import insert
    from llmgate_django.models import UsageRecord as Row

    def write(request_id: str) -> None:
        facts = {"time": "2026-03-01T10:00:00.250Z", "method": "POST", "path": "/llm", "duration_ms": 12.5}
        insert([UsageRecord(request_id=request_id, subject="ada", tools=("Read",), **facts)])

    call_command("migrate", "llmgate", newest, verbosity=0)
    write("before")
    call_command("migrate", "llmgate", verbosity=0)
    write("while the table is newer")
    call_command("migrate", "llmgate", newest, verbosity=0)
    write("after the way back")
    print(*Row.objects.order_by("id").values_list("request_id", flat=True), sep="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
