from __future__ import annotations

from pathlib import Path

import pytest

from asgi_llmgate import Gateway
from asgi_llmgate.config.sections.secret import make_sealer
from asgi_llmgate.errors import SettingsError
from tests.config.sections.test_server import SETTINGS

LONG = "0123456789abcdef" * 4


def test_the_first_secret_seals_and_all_of_them_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "old").write_text("old" * 20)
    monkeypatch.setenv("LLMGATE_SECRET", LONG)
    old, new = f"file:{tmp_path / 'old'}", "env:LLMGATE_SECRET"
    both = make_sealer((new, old)).bound_to("a")
    assert both.open(make_sealer(old).bound_to("a").seal(b"x")) == b"x"
    assert make_sealer(new).bound_to("a").open(both.seal(b"x")) == b"x"
    assert make_sealer((old,)).bound_to("a").open(both.seal(b"x")) is None


@pytest.mark.parametrize(
    ("names", "place"),
    [
        ("env:MISSING_SECRET", "secret"),
        (("env:LLMGATE_SECRET", "env:SHORT"), "secret[1]"),
        ("written here", "secret"),
    ],
)
def test_a_secret_that_is_missing_or_could_be_guessed_is_refused(
    names: str | tuple[str, ...], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMGATE_SECRET", LONG)
    monkeypatch.setenv("SHORT", "s" * 31)
    with pytest.raises(SettingsError) as refused:
        make_sealer(names)
    assert refused.value.path == place
    assert "s" * 31 not in str(refused.value)


@pytest.mark.parametrize("secret", ["env:LLMGATE_SECRET", ["env:LLMGATE_SECRET"], []], ids=["one", "a list", "none"])
def test_a_gateway_is_made_with_it(secret: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMGATE_SECRET", LONG)
    gateway = Gateway.from_settings({**SETTINGS, "secret": secret})
    assert LONG not in repr(gateway)
