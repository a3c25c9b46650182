"""What the package does by itself: nothing when it is imported; at a call it asks those alone whom the settings name.

A stolen release of a gateway sends keys to somebody else.  Whoever has this test sees it in a release of ours.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from asgi_llmgate.testing.idp import MockIdP
from asgi_llmgate.testing.model_server import ModelServer
from tests.helpers.installation import ROOT

pytestmark = pytest.mark.suites


@pytest.fixture
def observed(serve: Callable[..., str]) -> tuple[list[str], dict[str, str]]:
    """The events, and who was named."""
    idp = MockIdP()
    idp.issuer = serve(idp)
    model = serve(ModelServer(api_key="sk-lab"))
    command = [sys.executable, "-m", "tests.release.observed", idp.issuer, f"{model}/v1"]
    environment = {**os.environ, "NO_PROXY": "127.0.0.1", "OPENAI_API_KEY": "sk-lab"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, input=idp.mint() + "\n", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    named = {"identity provider": idp.issuer, "model server": model}
    return done.stdout.splitlines(), {name: str(urlsplit(url).port) for name, url in named.items()}


def test_an_import_does_nothing_and_a_call_asks_those_who_are_named(
    observed: tuple[list[str], dict[str, str]],
) -> None:
    events, named = observed
    assert [event for event in events if event.startswith("import ")] == []
    assert "served 200" in events
    asked = {event.split(maxsplit=1)[1] for event in events if event.startswith("call ")}
    connected = {place for event in asked for place in re.findall(r"socket\.connect \('127\.0\.0\.1', (\d+)\)", event)}
    assert connected == set(named.values())
    others = {event for event in asked if not event.startswith("socket.connect ('127.0.0.1', ")}
    assert others - {"socket.getaddrinfo 127.0.0.1"} == set()
