"""What tests of every room share: a real server, and Claude Code, the real client, as the binary of its npm package.

Where Claude Code cannot be had (no npm, no registry) its tests skip and say why; with CI=true they fail.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from asgi_llmgate.testing.serving import serving
from tests.helpers.exchange_writers import checked_writers, violations
from tests.helpers.installation import npm, npm_packages, npm_platform
from tests.helpers.record_sink import RecordSink

TESTS = Path(__file__).parent

CLAUDE_CODE = "2.1.332"
"""The version that the tests run.  CLAUDE_CODE_VERSION overrides it: a version, or `newest`."""

settings.register_profile(
    "however busy the machine is", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("however busy the machine is")


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Longer bytes name no test: what gzip made holds the time, and all processes of a run need the same names."""
    return argname if isinstance(val, bytes) and len(val) > 16 else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--dist loadgroup` a folder stays in one process, which starts its servers once."""
    if config.getoption("dist", "no") == "loadgroup":
        for item in items:
            item.add_marker(pytest.mark.xdist_group(item.path.relative_to(TESTS).parts[0]))


@pytest.fixture(scope="session", autouse=True)
def _exchange_debug_mode() -> Iterator[None]:
    """All tests run with the exchange's table of writers asserted."""
    with checked_writers():
        yield


@pytest.fixture(autouse=True)
def _exchange_writers() -> Iterator[None]:
    violations.clear()
    yield
    found, violations[:] = sorted(set(violations)), []
    assert not found, "\n".join(found)


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """`serve(app) -> base URL`: the app under a real uvicorn, on a free port, until the test ends."""
    with ExitStack() as running:

        def start(app: Any, **options: Any) -> str:
            return running.enter_context(serving(app, **{"timeout_graceful_shutdown": 1, **options}))

        yield start


@pytest.fixture
def sink() -> RecordSink:
    return RecordSink()


@pytest.fixture(scope="session")
def claude_binary() -> Path:
    """Claude Code's binary, installed into the cache unless it is there."""
    package = f"@anthropic-ai/claude-code-{npm_platform()}"
    version = os.environ.get("CLAUDE_CODE_VERSION", CLAUDE_CODE)
    if version == "newest":
        version = npm("view", package, "version").strip()
    return npm_packages("claude-code", f"{package}@{version}") / package / "claude"


@pytest.fixture(params=["native", "aiohttp"])
def own_transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The transport of clients that name none: each in its turn."""
    monkeypatch.setattr("asgi_llmgate.net.client.DEFAULT_TRANSPORT", request.param)
    name: str = request.param
    return name
