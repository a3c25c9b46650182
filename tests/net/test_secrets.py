from __future__ import annotations

import os
from pathlib import Path

import pytest

from asgi_llmgate.errors import SettingsError
from asgi_llmgate.net import parse_secret


async def reveal(spec: str) -> str:
    return (await parse_secret(spec).get()).reveal()


async def test_a_secret_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_KEY", "sk-1\n")
    assert await reveal("env:MODEL_KEY") == "sk-1"


async def test_a_secret_comes_from_a_file_without_the_white_space_around_it(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("  sk-1\n")
    assert await reveal(f"file:{path}") == "sk-1"


async def test_a_file_is_read_again_when_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("sk-1")
    source = parse_secret(f"file:{path}")
    path.write_text("sk-22")
    assert (await source.get()).reveal() == "sk-22"


async def test_a_file_is_read_again_when_another_takes_its_place_with_the_same_size_and_time(tmp_path: Path) -> None:
    path, successor = tmp_path / "key", tmp_path / "successor"
    path.write_text("sk-1")
    source = parse_secret(f"file:{path}")
    stat = path.stat()
    successor.write_text("sk-2")
    os.utime(successor, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    successor.rename(path)
    assert (await source.get()).reveal() == "sk-2"


async def test_a_rotation_by_symbolic_links_is_seen(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("sk-1")
    (tmp_path / "two").write_text("sk-2")
    path = tmp_path / "key"
    path.symlink_to("one")
    source = parse_secret(f"file:{path}")
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").rename(path)
    assert (await source.get()).reveal() == "sk-2"


async def test_the_last_secret_stays_in_force_while_there_is_none(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("sk-1")
    source = parse_secret(f"file:{path}")
    path.write_text("")
    assert (await source.get()).reveal() == "sk-1"
    path.unlink()
    assert (await source.get()).reveal() == "sk-1"
    path.write_text("sk-2")
    assert (await source.get()).reveal() == "sk-2"


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("env:LLMGATE_NOT_SET", "LLMGATE_NOT_SET is not set"),
        ("env:LLMGATE_EMPTY", "LLMGATE_EMPTY is not set"),
        ("file:missing", "No such file"),
        ("file:empty", "empty"),
        ("file:binary", "UTF-8"),
    ],
)
def test_a_secret_that_is_not_there_is_found_at_start(
    spec: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMGATE_EMPTY", " ")
    monkeypatch.chdir(tmp_path)
    Path("empty").touch()
    Path("binary").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=says) as failure:
        parse_secret(spec, path="backends.vllm.api_key")
    assert failure.value.path == "backends.vllm.api_key"


@pytest.mark.parametrize("spec", ["sk-live-abc", "", "env:", "file:", "https://user:sk-live-abc@host"])
def test_a_key_that_is_written_out_is_refused_and_not_repeated(spec: str) -> None:
    with pytest.raises(SettingsError, match="env:NAME or file:PATH") as failure:
        parse_secret(spec)
    assert "sk-live" not in str(failure.value)


async def test_a_source_does_not_show_its_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"
    path.write_text("sk-1")
    monkeypatch.setenv("MODEL_KEY", "sk-1")
    for source in (parse_secret(f"file:{path}"), parse_secret("env:MODEL_KEY")):
        assert "sk-1" not in repr(source) + repr(await source.get()) + repr(vars(source))


@pytest.mark.parametrize("kind", ["env", "file"])
def test_a_key_that_no_header_can_hold_is_found_at_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    monkeypatch.setenv("KEY", "sk-1\nsk-2")
    (tmp_path / "KEY").write_text("sk-1\nsk-2\n")
    spec = "env:KEY" if kind == "env" else f"file:{tmp_path / 'KEY'}"
    parse_secret(spec)
    with pytest.raises(SettingsError, match="a header cannot contain") as caught:
        parse_secret(spec, path="backends.main.api_key", in_header=True)
    assert caught.value.path == "backends.main.api_key"
    assert "KEY" in caught.value.message
    assert "sk-" not in str(caught.value)
