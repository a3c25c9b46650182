"""Model servers that do not work, each in one way: the one line that names it, and what Claude Code shows."""

from __future__ import annotations

import json
import socket
import threading
from base64 import b64encode
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from asgi_llmgate.testing.model_script import call, refuse
from asgi_llmgate.testing.model_server import ModelServer
from tests.cli.doctor.conftest import reply, silent

if TYPE_CHECKING:
    from tests.cli.doctor.conftest import Doctor

Serve = Callable[..., str]
Listen = Callable[..., int]


def backend(url: str, **options: Any) -> dict[str, Any]:
    return {"backends": {"main": {"base_url": url, **options}}}


def error(code: str, message: str, kind: str = "invalid_request_error") -> bytes:
    return json.dumps({"error": {"message": message, "type": kind, "code": code}}).encode()


def endless(head: bytes, connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
    while not over.wait(0.002):
        connection.sendall(b": " + b"x" * 60_000 + b"\n\n")


def test_a_good_server_is_asked_everything_that_claude_code_does(doctor: Doctor, serve: Serve) -> None:
    model = ModelServer(model="m")
    told = doctor(backend(serve(model) + "/v1"))
    assert told.exit_code == 0
    assert [each["path"] for each in told.findings] == ["auth.mode"]  # it is off
    messages = [step["message"] for step in told.about("backends") + told.about("models[0]")]
    assert messages[0].startswith("connected to 127.0.0.1:")
    assert messages[1] == "the server lists 1 model"
    assert [message.partition(" (")[0] for message in messages[2:]] == [
        "m responds",
        "m streams",
        "m calls a tool",
        "m goes on after the result of a tool",
    ]
    posted = [request.body for request in model.requests if request.method == "POST"]
    assert [bool(each.get("stream")) for each in posted[:4]] == [False, True, True, True]
    assert [len(each.get("tools", ())) for each in posted[:4]] == [0, 0, 1, 1]
    assert posted[3]["messages"][-1]["role"] == "tool"
    assert posted[0]["max_tokens"] <= 16
    assert all(step["milliseconds"] is not None for step in told.steps if step["state"] == "ok")


KEY = "sk-live-abcdefgh12345678"
BROKEN = {
    "401": (
        reply(error("invalid_api_key", f"Incorrect API key provided: {KEY}"), status="401 Unauthorized"),
        "api_key", "the gateway's own credential was refused", "API Error: 502 the gateway's own credential",
    ),
    "an account without money": (
        reply(error("insufficient_quota", "You exceeded your current quota"), status="429 Too Many Requests"),
        "api_key", "no quota", "API Error: 402 ",
    ),
    "a sign-in page": (
        reply(b"<!doctype html><title>Sign in</title>", content_type="text/html"),
        "base_url", "sign-in page", "API Error: 502 ",
    ),
    "a web page": (
        reply(b"<!doctype html><title>Chat</title>", content_type="text/html"),
        "base_url", "a web page", "API Error: 502 ",
    ),
    "a redirect to itself": (
        reply(b"", status="302 Found", more="location: /v1/models\r\n"),
        "base_url", "a redirect", "API Error: 502 ",
    ),
    "an empty 200": (reply(b""), "base_url", "", "API Error: 502 "),
    "JSON of another kind": (reply(b'{"hello": "world"}'), "base_url", "", "API Error: 502 "),
    "404": (
        reply(b"404 page not found", status="404 Not Found", content_type="text/plain"),
        "base_url", "404", "API Error: 502 ",
    ),
    "a 500": (
        reply(error("x", "CUDA out of memory", "server_error"), status="500 Internal Server Error"),
        "base_url", "CUDA out of memory", "API Error: 500 ",
    ),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n", "base_url", "", "API Error: 502 "),
    "a closed connection": (b"", "base_url", "closed the connection", "API Error: 502 "),
    "a body without an end": (endless, "base_url", "", "API Error: 50"),
    "no response": (silent, "base_url", "timed out", "API Error: 504 timed out"),
}  # fmt: skip


@pytest.mark.parametrize(("respond", "setting", "words", "shown"), BROKEN.values(), ids=BROKEN)
def test_what_is_broken_is_one_error_with_its_setting(
    doctor: Doctor, listen: Listen, monkeypatch: pytest.MonkeyPatch, respond: Any, setting: str, words: str, shown: str
) -> None:
    monkeypatch.setenv("MODEL_KEY", KEY)
    told = doctor(backend(f"http://127.0.0.1:{listen(respond)}/v1", api_key="env:MODEL_KEY"), seconds=0.4)
    found = told.the("error", "backends")
    assert told.exit_code == 1
    assert found["path"] == f"backends.main.{setting}"
    assert words in found["message"]
    assert found["hint"]
    assert found["shown"].startswith(shown)
    assert KEY not in told.output
    assert KEY[:16] not in told.output
    # A call, a list, and what a developer sees: none of them longer than its time, with its margin.
    assert sum(step["milliseconds"] or 0 for step in told.steps) < 20_000


def test_a_port_where_nobody_listens(doctor: Doctor) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    told = doctor(backend(f"http://127.0.0.1:{port}/v1"))
    found = told.the("error", "backends")
    assert found["message"] == f"nothing listens at 127.0.0.1:{port}"
    assert found["shown"].startswith("API Error: 529 ")
    assert "a container" in found["hint"]


def test_a_row_that_sends_any_name_has_a_name_for_what_developers_see(doctor: Doctor) -> None:
    told = doctor({**backend("http://127.0.0.1:1/v1"), "models": [{"match": "qwen*", "use": "main"}]})
    assert told.the("error", "backends")["shown"].startswith("API Error: 529 ")


def key_of(exchange: Any) -> str:
    return "sk-" + exchange.identity.claims["team"]


def test_a_function_that_needs_to_know_who_calls_is_no_error(doctor: Doctor, serve: Serve) -> None:
    api_key = {"callable": f"{__name__}:key_of"}
    told = doctor(backend(serve(ModelServer(model="m")) + "/v1", api_key=api_key), "--no-calls")
    assert told.exit_code == 0
    assert "without a caller" in told.the("skipped", "backends.main.api_key")["message"]


@pytest.mark.parametrize("wrong", ["", "/v1/v1", "/api", "/openai/v1"])
def test_the_right_base_url_is_found(doctor: Doctor, serve: Serve, wrong: str) -> None:
    url = serve(ModelServer(model="m"))
    told = doctor(backend(url + wrong))
    found = told.the("error", "backends")
    assert (found["path"], found["hint"]) == ("backends.main.base_url", f"base_url: {url}/v1")
    assert found["shown"].startswith("API Error: 502 ")
    assert not [step for step in told.about("models[0]") if step["state"] == "ok"]


@pytest.mark.parametrize("around", [" {} ", "\ufeff{}", "\u200b{}", "{}/", "{}/chat/completions"])
def test_an_address_that_the_gateway_accepts_is_asked(doctor: Doctor, serve: Serve, around: str) -> None:
    told = doctor(backend(around.format(serve(ModelServer(model="m")) + "/v1")))
    assert told.exit_code == 0
    assert told.states("backends") == ["ok", "ok"]


def test_a_user_and_password_in_the_address_are_sent_and_not_shown(doctor: Doctor, listen: Listen) -> None:
    heads: list[bytes] = []

    def respond(head: bytes, connection: socket.socket, over: threading.Event) -> None:
        heads.append(head)
        connection.sendall(reply(b'{"object": "list", "data": [{"id": "m"}]}'))

    told = doctor(backend(f"http://me:hunter2@127.0.0.1:{listen(respond)}/v1?version=hunter3"), "--no-calls")
    (head,) = heads
    assert head.startswith(b"GET /v1/models?version=hunter3 ")
    assert b"authorization: basic " + b64encode(b"me:hunter2").lower() in head.lower()
    assert told.exit_code == 0
    assert "hunter" not in told.output


def test_without_calls_no_model_is_called(doctor: Doctor, serve: Serve) -> None:
    model = ModelServer(model="gpt-4o")
    told = doctor({**backend(serve(model) + "/v1"), "models": [{"match": "*", "use": "main/gpt-40"}]}, "--no-calls")
    assert {request.method for request in model.requests} == {"GET"}
    found = told.the("warning")
    assert (found["path"], found["message"]) == ("models[0].use", "the server has no model gpt-40")
    assert found["hint"] == "did you mean gpt-4o?"
    assert told.exit_code == 0


def test_a_refused_key_is_found_without_calls(doctor: Doctor, serve: Serve) -> None:
    told = doctor(backend(serve(ModelServer(api_key="right")) + "/v1"), "--no-calls")
    assert told.the("error")["path"] == "backends.main.api_key"


def test_a_model_that_the_server_does_not_have(doctor: Doctor, serve: Serve) -> None:
    unknown = refuse(404, "The model `m` does not exist", code="model_not_found")
    told = doctor(backend(serve(ModelServer([unknown.always()], model="m-large")) + "/v1"))
    found = told.the("error", "models[0]")
    assert found["message"] == "the server has no model m"
    assert "m-large" in found["hint"]
    assert found["shown"].startswith("There's an issue with the selected model (claude-opus-5-5)")


def test_where_the_key_is_refused_other_models_are_not_asked(doctor: Doctor, serve: Serve) -> None:
    model = ModelServer(api_key="right")
    rows = [{"match": "a", "use": ["main/one", "main/two"]}, {"match": "b", "use": "main/one"}]
    told = doctor({**backend(serve(model) + "/v1"), "models": rows})
    assert told.states("models[0]") == ["skipped"]
    assert len([request for request in model.requests if request.method == "POST"]) == 2  # one as a developer


def test_a_model_for_embeddings_is_not_called_as_chat(doctor: Doctor, serve: Serve) -> None:
    model = ModelServer(model="text-embedding-3-small")
    rows = [{"match": "embeddings", "use": "main/text-embedding-3-small"}]
    settings = {**backend(serve(model) + "/v1"), "models": rows, "routes": {"/v1/embeddings": {"passthrough": "main"}}}
    told = doctor(settings, "--no-calls")
    assert told.states("models[0]") == []
    assert told.states("backends.main") == ["ok", "ok"]


def test_a_row_that_sends_any_name_is_asked_for_one_that_is_listed(doctor: Doctor, serve: Serve) -> None:
    model = ModelServer(model="qwen3-coder")
    told = doctor({**backend(serve(model) + "/v1"), "models": [{"match": "qwen*", "use": "main"}]})
    assert told.about("models[0]")[0]["message"].startswith("qwen3-coder responds")


def test_a_row_that_sends_any_name_and_matches_none_is_told(doctor: Doctor, serve: Serve) -> None:
    told = doctor({**backend(serve(ModelServer()) + "/v1"), "models": [{"match": "x*", "use": "main"}]}, "--no-calls")
    assert told.states("models[0]") == ["skipped"]


def test_the_dialect_of_another_server_is_told(doctor: Doctor, listen: Listen) -> None:
    rows = {"object": "list", "data": [{"id": "m", "object": "model", "owned_by": "vllm", "max_model_len": 131072}]}
    told = doctor(backend(f"http://127.0.0.1:{listen(reply(json.dumps(rows).encode()))}/v1"), "--no-calls")
    found = told.the("warning")
    assert (found["path"], found["hint"]) == ("backends.main.dialect", "dialect: vllm")


def test_a_missing_secret_is_one_error_and_the_others_are_asked(doctor: Doctor, serve: Serve) -> None:
    settings = backend(serve(ModelServer(model="m")) + "/v1")
    settings["backends"]["other"] = {"base_url": "http://127.0.0.1:1/v1", "api_key": "env:NO_SUCH_KEY"}
    told = doctor(settings)
    assert told.the("error")["path"] == "backends.other.api_key"
    assert "m streams" in [step["message"] for step in told.about("models[0]")]


def test_a_server_that_was_started_without_tools(doctor: Doctor, serve: Serve) -> None:
    """A vLLM, a llama.cpp and an Ollama, in their own words."""
    for status, message, hint in (
        (
            400,
            '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
            "--tool-call-parser",
        ),
        (500, "tools param requires --jinja flag", "--jinja"),
        (400, "registry.ollama.ai/library/gemma3:4b does not support tools", "the tag `tools`"),
    ):
        no_tools = refuse(status, message).when(lambda request: "tools" in request.body).always()
        told = doctor(backend(serve(ModelServer([no_tools, call("x").when(lambda _: False)], model="m")) + "/v1"))
        found = told.the("error", "models[0]")
        assert hint in found["hint"]
        assert found["shown"].startswith("API Error: 400 ")


def test_an_address_without_a_list_that_works_is_right(doctor: Doctor, serve: Serve) -> None:
    """As Azure's deployments: there is a list under another path, and the calls are here."""
    model = ModelServer(model="m")

    async def deployment(scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"].replace("/openai/deployments/m/", "/v1/").replace("/v1/models", "/none")
        path = "/v1/models" if scope["path"] == "/openai/v1/models" else path
        await model({**scope, "path": path}, receive, send)

    told = doctor(backend(serve(deployment) + "/openai/deployments/m", dialect="azure"))
    assert told.exit_code == 0
    assert told.about("models[0]")[0]["message"].startswith("m responds")


def test_a_proxy_that_refuses(doctor: Doctor, listen: Listen) -> None:
    proxy = f"http://127.0.0.1:{listen(reply(b'', status='403 Forbidden'))}"
    told = doctor({**backend("https://api.acme.test/v1"), "net": {"proxy": proxy}})
    found = told.the("error", "net.proxy")
    assert "NO_PROXY" in found["hint"]
    assert found["shown"].startswith("API Error: 502 ")


def test_a_server_of_anthropics_wire(doctor: Doctor, serve: Serve) -> None:
    """It is forwarded to and not translated; the list of models and the calls are Anthropic's."""
    asked: list[tuple[str, dict[str, str]]] = []

    async def server(scope: Any, receive: Any, send: Any) -> None:
        request, headers = await receive(), {name.decode(): value.decode() for name, value in scope["headers"]}
        asked.append((scope["path"], headers))
        body = json.loads(request["body"] or b"{}")
        content: Any = [{"type": "text", "text": "Fine."}]
        if body.get("tools"):
            content = [{"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"file_path": "README.md"}}]
        message = {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": content,
            "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 30, "output_tokens": 3},
        }  # fmt: skip
        kind, sent = "application/json", json.dumps(message)
        if scope["path"] == "/v1/models":
            sent = json.dumps({"data": [{"type": "model", "id": "claude-x", "display_name": "X"}], "has_more": False})
        elif body.get("stream"):
            kind, block = "text/event-stream", content[0]
            delta = {"type": "text_delta", "text": "Fine."}
            if "input" in block:
                delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
            start = {**block, **({"input": {}} if "input" in block else {"text": ""})}
            events: list[dict[str, Any]] = [
                {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}},
                {"type": "content_block_start", "index": 0, "content_block": start},
                {"type": "content_block_delta", "index": 0, "delta": delta},
                {"type": "content_block_stop", "index": 0},
                {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
                {"type": "message_stop"},
            ]
            sent = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind.encode())]})
        await send({"type": "http.response.body", "body": sent.encode()})

    rows = [{"match": "claude-*", "use": "main"}]
    told = doctor({**backend(serve(server) + "/v1", dialect="anthropic"), "models": rows})
    assert [step["message"].partition(" (")[0] for step in told.about("models[0]")] == [
        "claude-x responds",
        "claude-x streams",
        "claude-x calls a tool",
        "claude-x goes on after the result of a tool",
    ]
    assert asked[0][0] == "/v1/models"
    assert asked[0][1]["anthropic-version"]
    assert {path for path, _ in asked[1:]} == {"/v1/messages"}
