"""A model server that does not work: the demo says what was asked, what happened, and what to set."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import certifi
import pytest

from asgi_llmgate.testing.model_script import raw, refuse, say
from asgi_llmgate.testing.model_server import ModelServer
from asgi_llmgate.testing.serving import bind
from tests.cli.demo.conftest import Demo
from tests.cli.doctor.conftest import document, raw_server
from tests.helpers.certificates import self_signed

OTHERWISE = "unset OPENAI_BASE_URL and OPENAI_API_KEY: the demo then uses a model of its own"


@pytest.fixture
def silent() -> Iterator[str]:
    """An address that accepts connections and never responds."""
    with bind() as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


def dead_port() -> int:
    with bind() as listener:
        return int(listener.getsockname()[1])


ADDRESSES = {
    "nothing listens": (lambda: f"http://127.0.0.1:{dead_port()}/v1", "nothing listens at this address"),
    "an unknown host": (lambda: "http://models.invalid/v1", "the name of the host is not known"),
    "TLS, and nothing listens": (lambda: f"https://127.0.0.1:{dead_port()}/v1", "nothing listens at this address"),
}


@pytest.mark.parametrize("case", ADDRESSES)
def test_an_address_where_no_server_is(demo_here: Demo, case: str) -> None:
    address, happened = ADDRESSES[case]
    url = address()
    done = demo_here("--once", OPENAI_BASE_URL=url, OPENAI_API_KEY="sk-very-private")
    assert done.returncode == 1
    assert f"asked:  GET {url}/models\n  result: {happened}" in done.stderr
    assert "Set OPENAI_BASE_URL to" in done.stderr
    assert OTHERWISE in done.stderr
    assert "Traceback" not in done.stderr
    assert "sk-very-private" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("localhost:8000", "OPENAI_BASE_URL: not a URL: 'localhost:8000' does not begin with http:// or https://"),
        ("http://h/v1/responses", "OPENAI_BASE_URL: the URL ends in /responses, which is another API"),
        ("http://h:99999/v1", "OPENAI_BASE_URL: not a URL: 'http://h:99999/v1'"),
    ],
)
def test_what_is_no_address(demo_here: Demo, written: str, words: str) -> None:
    done = demo_here("--once", OPENAI_BASE_URL=written)
    assert (done.returncode, words in done.stderr, "Traceback" in done.stderr) == (1, True, False)


def test_a_password_in_the_address_is_not_shown(demo_here: Demo) -> None:
    done = demo_here("--once", OPENAI_BASE_URL=f"http://me:hunter2@127.0.0.1:{dead_port()}/v1?key=hunter3")
    assert "nothing listens" in done.stderr
    assert "hunter" not in done.stdout + done.stderr


def test_a_server_without_tls_at_an_https_address(demo_here: Demo, serve: Callable[..., str]) -> None:
    done = demo_here("--once", OPENAI_BASE_URL=serve(ModelServer()).replace("http:", "https:") + "/v1")
    assert "it does not speak TLS; is it http://" in done.stderr


def test_an_authority_of_the_system_is_trusted_as_the_gateway_trusts_it(demo: Demo, tmp_path: Path) -> None:
    authorities = tmp_path / "authorities"
    authorities.mkdir()
    pem = self_signed(
        authorities / "ce275665.0"
    )  # `openssl x509 -hash`: under this name OpenSSL looks for CN=localhost
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with raw_server(document({"data": []}), tls=context) as port:
        url = f"https://localhost:{port}/v1"
        named = {"SSL_CERT_FILE": certifi.where(), "SSL_CERT_DIR": str(authorities)}
        done = demo("--once", OPENAI_BASE_URL=url, NO_PROXY="127.0.0.1,localhost", **named)
    assert f"The gateway asked {url} for the model gpt-4o-mini. The response: " in done.stderr
    assert "certificate" not in done.stderr


@pytest.mark.soak
def test_a_server_that_never_responds(demo_here: Demo, silent: str) -> None:
    done = demo_here("--once", OPENAI_BASE_URL=silent)
    assert "connected, but no response within 15 seconds" in done.stderr


BROKEN: dict[str, tuple[Any, str]] = {
    "a wrong key": (
        ModelServer(api_key="sk-theirs"),
        "Set OPENAI_API_KEY to a key that this server accepts",
    ),
    "a model that it does not have": (
        ModelServer([refuse(404, "The model does not exist.", code="model_not_found").always()], model="gpt-4o-nano"),
        "Set OPENAI_MODEL to a model of this server (did you mean gpt-4o-nano?); it lists gpt-4o-nano, or unset",
    ),
    "no credit": (
        ModelServer([refuse(429, "You exceeded your current quota.", code="insufficient_quota").always()]),
        "has no credit left",
    ),
    "a page in place of a response": (
        ModelServer([raw(b"<html>Sign in</html>", content_type="text/html").always()]),
        "Is OPENAI_BASE_URL the address of an API like OpenAI's?",
    ),
    "a defect of its own": (
        ModelServer([refuse(500, "out of order").always()]),
        "The server's own log may say more.",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_server_that_gives_no_answer(demo_here: Demo, serve: Callable[..., str], case: str) -> None:
    server, to_do = BROKEN[case]
    url = serve(server) + "/v1"
    done = demo_here("--once", OPENAI_BASE_URL=url, OPENAI_API_KEY="sk-very-private")
    assert done.returncode == 1
    assert "not the expected result" in done.stderr
    assert f"The gateway asked {url} for the model gpt-4o-mini. The response: " in done.stderr
    assert to_do in done.stderr
    assert OTHERWISE in done.stderr
    assert "sk-very-private" not in done.stdout + done.stderr


def test_a_list_of_models_that_the_server_does_not_have_is_no_reason_to_end(
    demo_here: Demo, serve: Callable[..., str]
) -> None:
    class NoList(ModelServer):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http" and scope["path"] == "/v1/models":
                scope = scope | {"path": "/nothing"}
            await super().__call__(scope, receive, send)

    done = demo_here("--once", OPENAI_BASE_URL=serve(NoList([say("Ours.").always()])) + "/v1")
    assert done.returncode == 0, done.stdout + done.stderr
