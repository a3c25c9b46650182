"""The site's table from one version to another and back, with all rows: COMPATIBILITY.md."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import django_site
from tests.helpers.installation import ROOT
from tests.helpers.postgresql import postgresql_server

django_site.ready()

from django.db import connection, connections  # noqa: E402
from django.db.migrations.loader import MigrationLoader  # noqa: E402
from django.utils import timezone  # noqa: E402
from llmgate_django.models import UsageRecord  # noqa: E402


def there_and_back(folder: Path, database: str, definition: str) -> list[str]:
    """What is in the table at the end."""
    command = [sys.executable, "-m", "tests.integrations.later_version", folder, database, definition]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout.splitlines()


ALL = ["before", "while the table is newer", "after the way back"]
TEXT = 'models.CharField(max_length=16, default="", db_default="")'


@pytest.mark.servers
@pytest.mark.parametrize("definition", [TEXT, "models.BigIntegerField(null=True)"], ids=["a text", "a number"])
def test_this_version_goes_on_writing_while_the_table_is_newer(tmp_path: Path, definition: str) -> None:
    assert there_and_back(tmp_path, "sqlite", definition) == ALL


@pytest.mark.servers
def test_it_does_so_in_postgresql(tmp_path: Path) -> None:
    with postgresql_server() as server:
        assert there_and_back(tmp_path, str(server.port), TEXT) == ALL


@pytest.mark.servers
def test_a_column_that_the_database_cannot_fill_loses_records_of_this_version(tmp_path: Path) -> None:
    """Why a column has to be as the next test wants it: Django's `default` is Python's, and SQLite's INSERT OR IGNORE
    leaves out a row without a value for it."""
    found = there_and_back(tmp_path, "sqlite", 'models.CharField(max_length=16, default="")')
    assert found == [ALL[0], ALL[2]]


def test_the_first_version_can_write_into_the_table_of_today() -> None:
    """Where this fails: a field that is added to models.py needs `db_default`, or `null=True`."""
    first = (
        MigrationLoader(connection).project_state(("llmgate", "0001_initial")).apps.get_model("llmgate", "UsageRecord")
    )
    first(request_id="of the first version", time=timezone.now(), duration_ms=1.0, subject="ada").save()
    [row] = UsageRecord.objects.filter(request_id="of the first version")
    assert row.subject == "ada"
    row.delete()
    connections.close_all()
