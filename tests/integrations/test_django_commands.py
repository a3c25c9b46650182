"""manage.py's commands and checks."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from asgi_llmgate.cli.mint import mint
from asgi_llmgate.testing.driver import call
from asgi_llmgate.testing.idp import MockIdP
from tests.helpers import django_site
from tests.helpers.django_site import configured
from tests.integrations.conftest import ASK

if TYPE_CHECKING:
    from tests.integrations.conftest import Company

application = django_site.ready()

import llmgate_django  # noqa: E402
from django.contrib.auth.models import Group, User  # noqa: E402
from django.core.checks import CheckMessage, run_checks  # noqa: E402
from django.core.management import CommandError, call_command, load_command_class  # noqa: E402
from django.db import connections  # noqa: E402
from django.test import override_settings  # noqa: E402
from django.utils import timezone  # noqa: E402
from joserfc import jwk, jwt  # noqa: E402
from llmgate_django.conf import read  # noqa: E402
from llmgate_django.models import UsageRecord  # noqa: E402
from llmgate_django.site import SiteGateway, build  # noqa: E402


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    yield
    for model in (UsageRecord, User, Group):
        model._default_manager.all().delete()
    connections.close_all()


def told(command: str, *arguments: str) -> str:
    out = StringIO()
    call_command(command, *arguments, stdout=out, stderr=out, no_color=True)
    return out.getvalue()


# Checks


def found(setting: Any, **more: Any) -> list[CheckMessage]:
    with override_settings(**more), configured(setting):
        return [each for each in run_checks() if str(each.id).startswith("llmgate.")]


@pytest.fixture
def mounted(company: Company) -> Any:
    with override_settings(LLMGATE=company.settings()):
        return llmgate_django.mount(application)


@pytest.mark.parametrize(
    ("changed", "number", "text"),
    [
        ({"modells": 1}, "E001", "LLMGATE: modells: unknown key"),
        ({"auth": {"providers": [{"issuer": "https://x.test"}]}}, "E001", "LLMGATE: auth.providers[0]"),
        ({"policy": {"rules": ["true", "jwt.team =="]}}, "E002", "LLMGATE: policy.rules[1]"),
        ({"auth": {"mode": "off"}}, "W005", "DEBUG is off, so this looks like production"),
        (
            {"backends": {"openai": {"base_url": "http://m/v1", "api_key": "env:NOT_HERE"}}},
            "W006",
            "NOT_HERE is not set",
        ),
    ],
)
@pytest.mark.usefixtures("mounted")
def test_a_check_names_the_place(company: Company, changed: Any, number: str, text: str) -> None:
    (message,) = found(company.settings(**changed))
    assert message.id == f"llmgate.{number}"
    assert message.is_serious() is number.startswith("E")
    assert text in message.msg


MANY = {
    "auth": {"mode": "strikt"},
    "policy": {"rules": ["true", "jwt.team ==", {"when": "jtw.a", "reason": 5}]},
    "backends": {"openai": {"base_url": "nowhere", "api_key": "env:NOT_HERE"}},
    "secret": "env:NOT_HERE_EITHER",
    "modells": 1,
}


@pytest.mark.usefixtures("mounted")
def test_all_mistakes_are_told_at_once(company: Company) -> None:
    messages = found(company.settings(**MANY))
    places = sorted((str(each.id)[-4:], each.msg.split(": ")[1]) for each in messages)
    assert places == [
        ("E001", "auth.mode"),
        ("E001", "backends.openai.base_url"),
        ("E001", "modells"),
        ("E002", "policy.rules[1]"),
        ("E002", "policy.rules[2].reason"),
        ("E002", "policy.rules[2].when"),
        ("W006", "backends.openai.api_key"),
        ("W006", "secret"),
    ]


@pytest.mark.usefixtures("mounted")
def test_the_command_tells_all_errors(company: Company) -> None:
    with configured(company.settings(**MANY)), pytest.raises(CommandError) as caught:
        told("llmgate_check")
    assert all(place in str(caught.value) for place in ("auth.mode", "rules[1]", "rules[2].when", "modells"))


@pytest.mark.usefixtures("mounted")
def test_a_good_site_hears_nothing(company: Company) -> None:
    assert found(company.settings()) == []


@pytest.mark.usefixtures("mounted")
def test_an_open_gateway_beside_debug_pages_is_a_warning(company: Company) -> None:
    auth = {"mode": "permissive", "providers": [company.provider()]}
    (message,) = found(company.settings(auth=auth), DEBUG=True)
    assert "DEBUG is on as well" in message.msg


def test_a_missing_setting_is_an_error() -> None:
    (message,) = found(None)
    assert (message.id, message.msg) == ("llmgate.E001", "the Django setting LLMGATE is missing")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package `acmesite` that the ASGI or WSGI setting can name; nothing is mounted yet."""
    monkeypatch.setattr(SiteGateway, "mounted", set())
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "acmesite").mkdir()
    (tmp_path / "acmesite" / "__init__.py").touch()
    yield tmp_path / "acmesite"
    for name in ("acmesite", "acmesite.asgi"):
        sys.modules.pop(name, None)


def test_a_wsgi_only_deployment_is_a_warning(company: Company, project: Path) -> None:
    (message,) = found(company.settings(), WSGI_APPLICATION="acmesite.wsgi.application")
    assert (message.id, message.is_serious()) == ("llmgate.W003", False)
    assert "WSGI cannot serve the gateway, and no asgi.py calls" in message.msg


@pytest.mark.parametrize("setting", ["ASGI_APPLICATION", "WSGI_APPLICATION"])
def test_an_asgi_file_without_mount_is_a_warning(company: Company, project: Path, setting: str) -> None:
    (project / "asgi.py").write_text("application = None\n")
    name = f"acmesite.{setting[:4].lower()}.application"
    (message,) = found(company.settings(), **{setting: name})
    assert (message.id, message.msg) == ("llmgate.W003", "acmesite.asgi does not call llmgate_django.mount()")


def test_an_asgi_file_with_mount_is_good(company: Company, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "asgi.py").write_text(
        "import llmgate_django\nfrom django.core.asgi import get_asgi_application\n"
        "application = llmgate_django.mount(get_asgi_application())\n"
    )
    named = {"ASGI_APPLICATION": "acmesite.asgi.application"}
    assert found(company.settings(), **named) == []
    monkeypatch.setattr(sys, "argv", ["manage.py", "runserver"])
    (message,) = found(company.settings(), **named)
    assert message.id == "llmgate.W004"
    assert "serve acmesite.asgi with uvicorn" in str(message.hint)


# Commands


def test_check_says_what_the_setting_means(company: Company) -> None:
    setting = company.settings(
        auth={"django_session": True, "providers": [company.provider()]}, usage={"ledger": {"url": "django"}}
    )
    with override_settings(LLMGATE=setting):
        app = llmgate_django.mount(application)
        text = told("llmgate_check", "claude-opus-5")
    assert text.startswith("LLMGATE: good\n  callers: strict, tokens of claude-code-lab; rules: 1\n")
    assert f"  claude-opus-5: gpt-4o-mini at openai ({company.base_url})\n" in text
    assert "users who are logged in to this site may call" in text
    assert text.endswith("usage records are written to this site's database\n")
    del app


def test_check_says_that_the_table_is_missing(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(UsageRecord._meta, "db_table", "not_migrated")
    setting = company.settings(usage={"ledger": {"url": "django"}})
    with configured(setting), pytest.raises(CommandError, match="'default' has no table not_migrated: run `manage"):
        told("llmgate_check")


def test_check_fails_with_the_place(company: Company) -> None:
    with configured(company.settings(policy={})), pytest.raises(CommandError, match="LLMGATE: policy"):
        told("llmgate_check")


BASE_OPTIONS = (
    "help",
    "version",
    "verbosity",
    "settings",
    "pythonpath",
    "traceback",
    "no_color",
    "force_color",
    "skip",
)
"""Options of every command of manage.py, as they begin."""


def claims(token: str, folder: Path) -> dict[str, Any]:
    keys = jwk.KeySet.import_key_set(json.loads((folder / "jwks.json").read_text()))
    return dict(jwt.decode(token.strip(), keys).claims)


def test_mint_prints_a_token_that_the_folders_keys_verify(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    token = told("llmgate_mint", "--dir", str(folder), "--claim", "team=ops", "--claim", 'llms={"openai": []}')
    seen = claims(token, folder)
    assert (seen["iss"], seen["team"], seen["llms"]) == (MockIdP().issuer, "ops", {"openai": []})
    assert seen["exp"] - seen["iat"] == 3600
    assert claims(told("llmgate_mint", "--dir", str(folder), "--ttl", "2d"), folder)["team"] == "data-platform"


def test_mint_can_speak_for_a_user_of_the_site(tmp_path: Path) -> None:
    ada = User.objects.create_user("ada", "ada@acme.test")
    ada.groups.add(Group.objects.create(name="data"))
    seen = claims(told("llmgate_mint", "--dir", str(tmp_path), "--user", "ada"), tmp_path)
    assert (seen["sub"], seen["email"], seen["groups"], seen["staff"]) == ("ada", "ada@acme.test", ["data"], False)
    assert seen["iss"] == MockIdP().issuer


def test_mint_takes_the_options_of_llmgate_mint(tmp_path: Path) -> None:
    asked = {option.name: option for option in mint.params}
    command = load_command_class("llmgate_django", "llmgate_mint")
    parser = command.create_parser("manage.py", "llmgate_mint")
    own = {action.dest for action in parser._actions if not action.dest.startswith(BASE_OPTIONS)}
    assert own == asked.keys()
    arguments = ["--team", "ops", "--org", "other", "--claim", "a=1", "--claim", "llms=null", "--ttl", "90s"]
    ours = claims(told("llmgate_mint", "--dir", str(tmp_path), *arguments), tmp_path)
    theirs = claims(CliRunner().invoke(mint, ["--dir", str(tmp_path), *arguments]).stdout, tmp_path)
    assert {**ours, "iat": 0, "exp": 0} == {**theirs, "iat": 0, "exp": 0}
    assert (ours["sub"], ours["email"], ours["a"], "llms" in ours) == ("ada", "ada@other.example", 1, False)


@pytest.mark.parametrize("content", ["{}", "not JSON", '{"kty": "RSA"}'])
def test_mint_names_a_folder_with_a_damaged_key(content: str, tmp_path: Path) -> None:
    (tmp_path / "private-key.json").write_text(content)
    with pytest.raises(CommandError, match="cannot be used: its key file is damaged"):
        told("llmgate_mint", "--dir", str(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--user", "nobody"], "no user is named 'nobody'"),
        (["--claim", "team"], "'team' is not of the form name=value"),
        (["--ttl", "soon"], "'soon' is not a duration"),
        (["--ttl", "0"], "'0' is not between 1s and 3650d"),
    ],
)
def test_mint_explains_what_it_cannot_do(tmp_path: Path, arguments: list[str], says: str) -> None:
    with pytest.raises(CommandError, match=says):
        told("llmgate_mint", "--dir", str(tmp_path), *arguments)


def add(number: int, days: float = 0, **facts: Any) -> None:
    UsageRecord.objects.create(
        time=timezone.now() - timedelta(days=days), request_id=f"req_{number}", duration_ms=1, **facts
    )


@pytest.fixture
def with_teams(company: Company) -> Iterator[None]:
    with configured(company.settings(usage={"fields": {"team": "jwt.team"}})):
        yield


@pytest.mark.usefixtures("with_teams")
def test_usage_sums_what_is_asked_for() -> None:
    add(1, subject="ada", request_model="m", outcome="ok", input_tokens=1500, output_tokens=20, cost_usd=0.5)
    add(2, subject="ada", request_model="m", outcome="refused")
    add(3, subject="bob", request_model="n", outcome="ok", input_tokens=7, output_tokens=1)
    add(4, 30, subject="old", outcome="ok")
    assert told("llmgate_usage", "--by", "user,model").splitlines() == [
        "user  model  requests  failed  input_tokens  output_tokens  cached_tokens  cost_usd",
        "ada   m             2       1         1,500             20              0    0.5000",
        "bob   n             1       0             7              1              0         -",
    ]
    assert [row["user"] for row in json.loads(told("llmgate_usage", "--by", "user", "--format", "json"))] == [
        "ada",
        "bob",
    ]
    header, *rows = told("llmgate_usage", "--by", "day", "--since", "8w", "--format", "csv").splitlines()
    assert header.startswith("day,requests,failed")
    assert len(rows) == 2
    assert rows == sorted(rows)


@pytest.mark.usefixtures("with_teams")
def test_usage_knows_the_operators_own_fields() -> None:
    add(1, fields={"team": "data"}, input_tokens=5)
    add(2, fields={"team": "data"}, input_tokens=6)
    add(3)
    rows = json.loads(told("llmgate_usage", "--by", "team", "--format", "json"))
    assert [(row["team"], row["input_tokens"]) for row in rows] == [("data", 11), ("", 0)]
    with pytest.raises(CommandError, match=r"cannot group by 'taem' \(did you mean team\?\)"):
        told("llmgate_usage", "--by", "taem")


@pytest.mark.usefixtures("with_teams")
def test_usage_explains_what_it_cannot_do() -> None:
    assert told("llmgate_usage").startswith("no records in the last 7d\n")
    with pytest.raises(CommandError, match=r"cannot group by 'modle' \(did you mean model\?\)"):
        told("llmgate_usage", "--by", "modle")
    with pytest.raises(CommandError, match="--since: not a duration"):
        told("llmgate_usage", "--since", "yesterday")


@pytest.fixture
def with_another_ledger(company: Company, tmp_path: Path) -> Iterator[None]:
    """A call of the running site, in a SQLite file that `usage.ledger.url` names; its own table has another one."""
    add(1, subject="of the site's table", outcome="ok")
    url = f"sqlite:///{tmp_path / 'usage.sqlite3'}"
    setting = company.settings(usage={"ledger": {"url": url, "journal": str(tmp_path)}, "fields": {"team": "jwt.team"}})
    with configured(setting):

        async def ask() -> None:
            gateway = build(read())
            await call(gateway, "POST", "/v1/messages", json=ASK, headers=company.bearer(sub="ada"))
            await gateway.shutdown()

        asyncio.run(ask())
        yield


@pytest.mark.usefixtures("with_another_ledger")
def test_usage_reads_the_ledger_that_the_setting_names() -> None:
    header, row = told("llmgate_usage", "--by", "user,team").splitlines()
    assert header.split() == [
        *("user", "team", "requests", "failed", "input_tokens", "output_tokens"),
        *("cached_tokens", "cost_usd", "unpriced"),
    ]
    assert row.split()[:3] == ["ada", "data-platform", "1"]
    (found,) = json.loads(told("llmgate_usage", "--by", "user", "--format", "json"))
    assert (found["user"], found["requests"], found["failed"]) == ("ada", 1, 0)
    assert told("llmgate_usage", "--by", "user", "--format", "csv").splitlines()[1].startswith("ada,1,0,")
    with pytest.raises(CommandError, match="cannot group by 'usr'"):
        told("llmgate_usage", "--by", "usr")
    with pytest.raises(CommandError, match="a running gateway prunes by itself"):
        told("llmgate_prune", "--keep", "1d")


def test_usage_says_when_nothing_is_written_down(company: Company) -> None:
    with configured(company.settings()):
        assert "has no usage.ledger, so none are written" in told("llmgate_usage")


@pytest.mark.parametrize("since", ["36501d", "999999999w", "99999999999d", "0.5d", "-1d", ""])
@pytest.mark.usefixtures("with_teams")
def test_usage_refuses_a_time_that_is_none(since: str) -> None:
    with pytest.raises(CommandError, match=r"--since: (not a duration|longer than 36500 days)"):
        told("llmgate_usage", f"--since={since}")


def test_prune_deletes_what_is_older_than_is_kept(company: Company) -> None:
    for number, days in enumerate([1, 29, 31, 500]):
        add(number, days)
    usage = {"ledger": {"url": "django", "keep": "400d"}}
    with override_settings(LLMGATE=company.settings(usage=usage)):
        assert told("llmgate_prune", "--dry-run") == "1 record would be deleted\n"
        assert told("llmgate_prune") == "1 record deleted\n"
        assert told("llmgate_prune", "--keep", "30d") == "1 record deleted\n"
    assert UsageRecord.objects.count() == 2


def test_prune_needs_a_time(company: Company) -> None:
    with override_settings(LLMGATE=company.settings()), pytest.raises(CommandError, match="--keep"):
        told("llmgate_prune")


def test_the_migrations_are_those_of_the_model() -> None:
    call_command("makemigrations", "llmgate", check=True, dry_run=True, verbosity=0)
