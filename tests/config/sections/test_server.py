"""The limit of open files is compared with the streams that are expected."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from asgi_llmgate import Gateway
from asgi_llmgate.config.sections.server import check_descriptors

SETTINGS = {
    "auth": {"mode": "off"},
    "policy": {"default": "allow"},
    "backends": {"o": {"base_url": "http://127.0.0.1:9/v1"}},
    "models": [{"match": "*", "use": "o/m"}],
}


@pytest.mark.parametrize(
    ("streams", "limit", "fits"),
    [(1, 4, True), (1, 3, False), (250, 1024, True), (250, 999, False), (1000, 4000, True), (1000, 3999, False)],
)
def test_four_descriptors_for_each_stream(
    streams: int, limit: int, fits: bool, caplog: pytest.LogCaptureFixture
) -> None:
    assert check_descriptors(streams, limit) is fits
    assert len(caplog.messages) == (0 if fits else 1)
    if not fits:
        assert f"LimitNOFILE={4 * streams}" in caplog.text


@pytest.fixture
def thousand_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize(("streams", "warnings"), [(250, 0), (251, 1)])
def test_a_gateway_warns_when_it_is_made(
    streams: int, warnings: int, thousand_files: None, caplog: pytest.LogCaptureFixture
) -> None:
    Gateway.from_settings({**SETTINGS, "server": {"streams": streams}})
    assert sum("open files" in message for message in caplog.messages) == warnings


def test_no_limit_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "getrlimit", lambda which: unlimited)
    assert check_descriptors(10**9)
