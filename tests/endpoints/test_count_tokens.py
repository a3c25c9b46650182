"""Who counts the tokens of a prompt.  The tokenizers here answer in the shapes that vLLM's and llama.cpp's have."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from asgi_llmgate import Backend, ModelRow, ModelTable, TranslationApp
from asgi_llmgate.endpoints.count_tokens import RETRY_INTERVAL, TokenCounter
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.exchange_values import Identity, Target
from asgi_llmgate.net import HTTPClient
from asgi_llmgate.protocol.messages.request import decode_messages
from asgi_llmgate.protocol.servers.dialects import DIALECTS
from asgi_llmgate.protocol.token_estimate import Estimator
from asgi_llmgate.testing.driver import call
from asgi_llmgate.upstream import Upstream

BODY = {"model": "x", "messages": [{"role": "user", "content": "a few words " * 50}]}


class Tokenizers:
    """Counts a token per word.  `broken` is the status of every answer, and `says` what it says."""

    def __init__(self, broken: int = 0, says: Any = "no") -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._broken = broken
        self._says = says

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        body = json.loads((await receive())["body"])
        self.asked.append((scope["path"], body))
        status, answer = (
            (self._broken, {"error": self._says}) if self._broken else (200, self._answer(scope["path"], body))
        )
        await send(
            {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]}
        )
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    def _answer(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path == "/apply-template":
            return {"prompt": "<|user|> " + body["messages"][0]["content"]}
        text = body["content"] if "content" in body else "<|user|> " + body["messages"][0]["content"]
        tokens = list(range(len(text.split())))
        return {"tokens": tokens} if "content" in body else {"count": len(tokens), "max_model_len": 4096}


@pytest.fixture
async def make(serve: Callable[..., str]) -> Any:
    apps: list[TranslationApp] = []

    def made(dialect: str, tokenizers: Tokenizers) -> TranslationApp:
        backend = Backend(base_url=serve(tokenizers) + "/v1/", dialect=DIALECTS[dialect])
        models = ModelTable([ModelRow("qwen*", ("b",)), ModelRow("*", ("b/qwen3",))], {"b": dialect})
        apps.append(TranslationApp({"b": backend}, models=models))
        return apps[-1]

    yield made
    for app in apps:
        await app.aclose()


async def count(app: TranslationApp, model: str = "x") -> int:
    reply = await call(app, "POST", "/v1/messages/count_tokens", json={**BODY, "model": model})
    assert reply.status == 200
    found: int = reply.json()["input_tokens"]
    return found


async def test_vllm_counts_the_conversation(make: Any) -> None:
    tokenizers = Tokenizers()
    assert await count(make("vllm", tokenizers)) == 151
    [(path, body)] = tokenizers.asked
    assert path == "/tokenize"
    assert (body["model"], body["messages"]) == ("qwen3", BODY["messages"])


async def test_llama_cpp_counts_the_templated_text(make: Any) -> None:
    tokenizers = Tokenizers()
    assert await count(make("llamacpp", tokenizers)) == 151
    assert [path for path, _ in tokenizers.asked] == ["/apply-template", "/tokenize"]


class Long(Tokenizers):
    """A conversation of 300,000 tokens, each of them in the answer."""

    def _answer(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return {"tokens": list(range(300_000))} if "content" in body else super()._answer(path, body)


async def test_a_count_comes_with_all_the_tokens_of_a_long_conversation(make: Any) -> None:
    assert await count(make("llamacpp", Long())) == 300_000


@pytest.mark.parametrize(
    "more", ['"Model":"big"', '"tools":[{"name":"a","name":"b"}]', '"fallbacks":[{"model":"big"}]']
)
async def test_a_native_server_is_asked_with_nothing_that_it_could_read_otherwise(make: Any, more: str) -> None:
    server = Tokenizers()
    body = json.dumps(BODY)[:-1] + f",{more}}}"
    reply = await call(make("anthropic", server), "POST", "/v1/messages/count_tokens", content=body.encode())
    assert (reply.status, server.asked) == (400, [])
    assert await count(make("anthropic", server)) > 100
    assert [asked["model"] for _, asked in server.asked] == ["qwen3"]


async def test_others_are_estimated(make: Any) -> None:
    tokenizers = Tokenizers()
    text: str = BODY["messages"][0]["content"]  # type: ignore[index]
    assert abs(await count(make("openai", tokenizers)) - len(text) / 3.6) < 2  # the list around it counts a few bytes
    assert tokenizers.asked == []


@pytest.mark.parametrize(("status", "asked"), [(404, 1), (501, 1), (500, 2), (400, 2)])
async def test_a_tokenizer_that_fails_is_no_failure_and_a_missing_one_is_not_asked_again(
    make: Any, status: int, asked: int
) -> None:
    tokenizers = Tokenizers(broken=status)
    app = make("vllm", tokenizers)
    assert await count(app) == await count(app) > 100
    assert len(tokenizers.asked) == asked


@pytest.mark.parametrize(("status", "others"), [(404, 2), (405, 1), (501, 1), (500, 4)])
async def test_a_404_turns_counting_off_for_one_model_and_405_or_501_for_the_server(
    make: Any, status: int, others: int
) -> None:
    tokenizers = Tokenizers(broken=status)
    app = make("vllm", tokenizers)
    for model in ("qwen3", "qwen3-coder"):
        assert await count(app, model) == await count(app, model) > 100
    assert len(tokenizers.asked) == others


@pytest.mark.parametrize(
    "says",
    [
        {"message": "The model `qwen3` does not exist.", "type": "NotFoundError", "code": 404},
        {"message": "The model 'qwen3' does not exist", "code": "model_not_found"},
        "model 'qwen3' not found",
    ],
    ids=["vLLM", "OpenAI", "Ollama"],
)
async def test_that_a_model_is_not_there_says_nothing_of_the_tokenizer(make: Any, says: Any) -> None:
    tokenizers = Tokenizers(broken=404, says=says)
    app = make("vllm", tokenizers)
    await count(app)
    tokenizers._broken = 0
    assert await count(app) == 151


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_a_tokenizer_that_was_not_there_is_looked_for_again_after_a_while(serve: Any, status: int) -> None:
    clock, tokenizers, client = [50.0], Tokenizers(broken=status), HTTPClient()
    upstream = Upstream(Backend(base_url=serve(tokenizers) + "/v1", dialect=DIALECTS["vllm"]), client)
    counter = TokenCounter({"b": upstream}, estimator=Estimator(), now=lambda: clock[0])
    request, target = decode_messages(json.dumps({**BODY, "max_tokens": 1}).encode()), Target("b", "vllm", "qwen3")
    for later, asked in ((0, 1), (RETRY_INTERVAL - 1, 1), (1, 2)):
        clock[0] += later
        await counter.count(Exchange(), request, target)
        assert len(tokenizers.asked) == asked
    tokenizers._broken = 0
    clock[0] += RETRY_INTERVAL
    assert await counter.count(Exchange(), request, target) == 151
    await client.aclose()


async def test_made_up_names_turn_nothing_off(make: Any) -> None:
    tokenizers = Tokenizers(broken=404)
    app = make("vllm", tokenizers)
    for number in range(20):
        await count(app, f"qwen-{number}")
    tokenizers._broken = 0
    assert await count(app, "qwen3") == 151


async def test_an_estimate_learns_from_a_count(make: Any) -> None:
    tokenizers = Tokenizers()
    app = make("vllm", tokenizers)
    await count(app)
    tokenizers._broken = 500
    assert await count(app) == 151


async def test_what_is_counted_for_one_caller_does_not_bend_anothers_estimate(serve: Any) -> None:
    tokenizers, client = Tokenizers(), HTTPClient()
    upstream = Upstream(Backend(base_url=serve(tokenizers) + "/v1", dialect=DIALECTS["vllm"]), client)
    counter = TokenCounter({"b": upstream}, estimator=Estimator())
    alice, mallory = (Exchange(identity=Identity(name, "i", "idp")) for name in ("alice", "mallory"))
    target = Target("b", "vllm", "qwen3")

    async def count_for(exchange: Exchange, text: str) -> int:
        body = {"model": "x", "max_tokens": 1, "messages": [{"role": "user", "content": text}]}
        return await counter.count(exchange, decode_messages(json.dumps(body).encode()), target)

    plain = "a few words " * 50
    assert await count_for(alice, plain) == 151
    for _ in range(5):
        await count_for(mallory, "a " * 600)
    tokenizers._broken = 500
    assert await count_for(alice, plain) == 151
    assert await count_for(mallory, plain) > 250
    await client.aclose()
