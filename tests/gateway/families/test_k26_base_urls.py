"""K26: the address of a model server as people write it. Each gets the right request, or an error at start that names
the place and says what to do."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_llmgate import Backend, Gateway, ModelRow, ModelTable, TranslationApp
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.protocol.servers.dialects import DIALECTS
from asgi_llmgate.route import Route
from asgi_llmgate.routing.routes import ROUTES
from asgi_llmgate.testing.driver import call
from tests.helpers.wire_server import WireRequest, WireServer, Writer, ok, whole

ASKED = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}

GOOD = {
    "as documented": ("http://HOST/v1", "/v1/chat/completions"),
    "no path": ("http://HOST", "/chat/completions"),
    "a slash at the end": ("http://HOST/v1/", "/v1/chat/completions"),
    "slashes at the end": ("http://HOST/v1//", "/v1/chat/completions"),
    "white space around": (" \thttp://HOST/v1 \n", "/v1/chat/completions"),
    "a line of a YAML block": ("http://HOST/v1\n", "/v1/chat/completions"),
    "a byte order mark": ("\ufeffhttp://HOST/v1", "/v1/chat/completions"),
    "upper case": ("HTTP://HOST/v1", "/v1/chat/completions"),
    "the whole address": ("http://HOST/v1/chat/completions", "/v1/chat/completions"),
    "the whole address with a slash": ("http://HOST/v1/chat/completions/", "/v1/chat/completions"),
    "the list of models": ("http://HOST/v1/models", "/v1/chat/completions"),
    "an empty query": ("http://HOST/v1?", "/v1/chat/completions"),
    "Azure": (
        "http://HOST/openai/deployments/gpt?api-version=2024-10-21",
        "/openai/deployments/gpt/chat/completions?api-version=2024-10-21",
    ),
    "Azure, the whole address": (
        "http://HOST/openai/deployments/gpt/chat/completions?api-version=2024-10-21",
        "/openai/deployments/gpt/chat/completions?api-version=2024-10-21",
    ),
    "a slash before the query": ("http://HOST/v1/?a=b&c=%26d", "/v1/chat/completions?a=b&c=%26d"),
    "a path with an escape": ("http://HOST/a%20b/v1", "/a%20b/v1/chat/completions"),
}

REFUSED = {
    "no scheme": (
        "localhost:11434",
        "does not begin with http:// or https:// (http://localhost:11434, if it is there)",
    ),
    "no scheme, with a path": ("api.openai.com/v1", "(http://api.openai.com/v1, if it is there)"),
    "two slashes only": ("//host/v1", "does not begin with http://"),
    "one slash": ("http:/host/v1", "does not begin with http://"),
    "backslashes": (r"http:\\host\v1", "does not begin with http://"),
    "a web socket": ("wss://host/v1", "not an http or https URL: 'wss://host/v1'"),
    "nothing": ("", "not a URL"),
    "nothing but a scheme": ("http://", "not a URL"),
    "a fragment": ("http://host/v1#x", "fragment"),
    "an empty fragment": ("http://host/v1#", "fragment"),
    "two URLs": ("http://a/v1 http://b/v1", "white space"),
    "a space in the host": ("http://my host/v1", "white space"),
    "a zero width space": ("http://host\u200b/v1", "white space"),
    "IPv6 without brackets": ("http://::1:8000/v1", "an IPv6 address stands in brackets"),
    "a port that is none": ("http://host:80a/v1", "a port is a number"),
    "a port that is too large": ("http://host:80000/v1", "a port is a number"),
    "a variable that was not replaced": ("http://${HOST}:8000/v1", "no valid host"),
    "a template that was not filled": ("https://<resource>.openai.azure.com/openai/v1", "no valid host"),
    "no host": ("http:///v1", "no valid host"),
    "Anthropic's address": ("http://host/v1/messages", "/messages, which is another API"),
    "OpenAI's Responses": ("http://host/v1/responses", "(the part before /responses, and the dialect of the server)"),
    "the old completions": ("http://host/v1/completions", "/completions, which is another API"),
    "embeddings": ("http://host/v1/embeddings", "/embeddings, which is another API"),
}


async def respond(request: WireRequest, writer: Writer) -> None:
    if b"/tokenize" in request.head.partition(b"\r\n")[0]:
        writer.write(whole(b'{"count":7}'))
    else:
        writer.write(ok(request))


def app(base_url: str, dialect: str = "generic", **backend: Any) -> TranslationApp:
    backends = {"b": Backend(base_url=base_url, dialect=DIALECTS[dialect], **backend)}
    routes = {**ROUTES, "/v1/embeddings": Route("passthrough", "b")}
    return TranslationApp(backends, models=ModelTable([ModelRow("*", ("b",))], {"b": "x"}), routes=routes)


@pytest.mark.parametrize(("text", "path"), GOOD.values(), ids=GOOD)
async def test_the_request_goes_to_the_right_path(text: str, path: str) -> None:
    async with WireServer(respond) as server:
        made = app(text.replace("HOST", f"127.0.0.1:{server.port}"))
        reply = await call(made, "POST", "/v1/messages", json=ASKED)
        await made.aclose()
    assert reply.status == 200
    assert [request.line for request in server.requests] == [f"POST {path} HTTP/1.1"]


@pytest.mark.parametrize(("text", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_used_is_refused_at_start(text: str, words: str) -> None:
    settings = {
        "auth": {"mode": "off"},
        "backends": {"main": {"base_url": text}},
        "models": [{"match": "*", "use": "main"}],
    }
    with pytest.raises(SettingsError) as refused:
        Gateway.from_settings(settings)
    assert refused.value.path == "backends.main.base_url"
    assert words in str(refused.value)


async def test_a_query_of_the_settings_stays_beside_the_clients_own() -> None:
    async with WireServer(respond) as server:
        made = app(f"{server.url}/v1?api-version=1&key=x", "vllm")
        for path in ("/v1/embeddings", "/v1/messages/count_tokens"):
            reply = await call(made, "POST", path, query="a=b&api-version=9&key=y", json=ASKED)
            assert reply.status == 200
        await made.aclose()
    assert [request.line.split()[1] for request in server.requests] == [
        "/v1/embeddings?api-version=1&key=x&a=b",
        "/tokenize?api-version=1&key=x",
    ]


@pytest.mark.parametrize("user", ["u:pw", "u%40corp:p%3Aw", "u:"])
async def test_a_user_and_password_are_sent_as_basic_authentication(user: str) -> None:
    async with WireServer(respond) as server:
        made = app(server.url.replace("//", f"//{user}@") + "/v1", "vllm")
        for path in ("/v1/messages", "/v1/messages/count_tokens", "/v1/embeddings"):
            assert (await call(made, "POST", path, json=ASKED)).status == 200
        await made.aclose()
    assert len(server.requests) == 3
    for request in server.requests:
        assert request.head.lower().count(b"\r\nauthorization: basic ") == 1
        assert b"@" not in request.head


@pytest.mark.parametrize("other", [{"extra_headers": {"Authorization": "Bearer x"}}, {"api_key": "env:HOME"}])
def test_two_credentials_for_one_header_are_refused(other: dict[str, Any]) -> None:
    settings = {
        "auth": {"mode": "off"},
        "backends": {"main": {"base_url": "http://u:s3cr3t@host/v1", **other}},
        "models": [{"match": "*", "use": "main"}],
    }
    with pytest.raises(SettingsError, match="authorization header") as refused:
        Gateway.from_settings(settings)
    assert refused.value.path == "backends.main.base_url"
    assert "s3cr3t" not in str(refused.value)


def test_a_key_in_a_header_of_its_own_may_stand_beside_them() -> None:
    app("http://u:pw@host/v1", extra_headers={"x-api-key": "k"})
