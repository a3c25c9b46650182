from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from asgi_llmgate.auth import File, JWTProvider, Verifier
from asgi_llmgate.cli.jwks import jwks
from asgi_llmgate.cli.mint import mint


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all, since making an RSA key takes longer than any of these."""
    return tmp_path_factory.mktemp("keys")


def run(folder: Path, *arguments: str, command: Any = mint) -> Result:
    return CliRunner().invoke(command, [*arguments, "--dir", str(folder)])


def claims(result: Result) -> dict[str, Any]:
    assert (result.exit_code, result.stderr) == (0, "")
    payload = result.stdout.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return found


async def test_a_minted_token_opens_a_gate_that_reads_the_folder(folder: Path) -> None:
    result = run(folder)
    provider = JWTProvider(issuers=["claude-code-lab"], audiences=["anthropic-api"], jwks=File(folder / "jwks.json"))

    async def no_network(url: str, **options: Any) -> Any:
        raise AssertionError("nothing is fetched")

    identity = await Verifier([provider], fetch=no_network).verify(result.stdout.strip())
    assert (identity.subject, identity.claims["org"], identity.claims["team"]) == ("ada", "acme", "data-platform")


def test_only_the_token_is_printed(folder: Path) -> None:
    result = run(folder)
    assert result.stderr == ""
    assert result.stdout.count("\n") == 1
    assert result.stdout.count(".") == 2


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--team", "marketing"], {"team": "marketing", "org": "acme"}),
        (["--org", "other"], {"org": "other"}),
        ([], {"sub": "ada", "email": "ada@acme.example"}),
        (["--user", "bob"], {"sub": "bob", "email": "bob@acme.example"}),
        (["--user", "bob@corp.test", "--org", "x"], {"sub": "bob@corp.test", "email": "bob@corp.test"}),
        (["--claim", "sub=alice"], {"sub": "alice"}),
        (["--claim", "groups=[1,2]", "--claim", "admin=true"], {"groups": [1, 2], "admin": True}),
        (["--claim", "note=a=b"], {"note": "a=b"}),
        (["--claim", "llms=null"], {"llms": None}),
        (["--claim", "header=x", "--claim", "ttl=5"], {"header": "x", "ttl": 5}),
    ],
    ids=str,
)
def test_claims_come_from_the_command_line(arguments: list[str], expected: dict[str, Any], folder: Path) -> None:
    found = claims(run(folder, *arguments))
    assert {name: found.get(name) for name in expected} == expected


@pytest.mark.parametrize(("ttl", "seconds"), [("90s", 90), ("15m", 900), ("1h", 3600), ("2d", 172800), ("5", 5)])
def test_how_long_it_is_good_for(ttl: str, seconds: int, folder: Path) -> None:
    found = claims(run(folder, "--ttl", ttl))
    assert found["exp"] - found["iat"] == seconds
    assert abs(found["iat"] - time.time()) < 60


@pytest.mark.parametrize(
    "arguments",
    [
        *(["--ttl", ttl] for ttl in ("soon", "-5", "1h30m", "", "0", "0h", "3651d", "999999999d")),
        ["--claim", "team"],
        ["--claim", "=x"],
    ],
    ids=str,
)
def test_what_cannot_be_understood_is_refused(arguments: list[str], folder: Path) -> None:
    result = run(folder, *arguments)
    assert result.exit_code == 2
    assert f"Invalid value for '{arguments[0]}': {arguments[1]!r} is not" in result.stderr
    assert result.stdout == ""


def test_the_public_keys_are_printed_as_settings_take_them(folder: Path) -> None:
    result = run(folder, command=jwks)
    document = json.loads(result.stdout)
    assert [key["kid"] for key in document["keys"]] == ["claude-code-key"]
    assert "d" not in document["keys"][0]
    assert document == json.loads((folder / "jwks.json").read_text())


@pytest.mark.parametrize("content", ["{}", "not JSON", '{"kty": "RSA"}'])
def test_a_damaged_key_file_is_an_error_of_one_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "private-key.json").write_text(content)
    result = run(tmp_path)
    assert result.exit_code == 1
    assert result.stderr == f"Error: {tmp_path} cannot be used: its key file is damaged\n"


def test_a_folder_that_cannot_be_created_is_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run(tmp_path / "file" / "below")
    assert result.exit_code == 1
    assert "cannot be used" in result.stderr
