"""Who counts the tokens of a prompt.  The tokenizers here answer in the shapes that vLLM's and llama.cpp's have."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from asgi_llmgate import Backend, ModelRow, ModelTable, TranslationApp
from asgi_llmgate.protocol.dialects import DIALECTS
from asgi_llmgate.testing.driver import call

BODY = {"model": "x", "messages": [{"role": "user", "content": "a few words " * 50}]}


class Tokenizers:
    """Counts a token per word.  `broken` is the status of every answer."""

    def __init__(self, broken: int = 0) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._broken = broken

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        body = json.loads((await receive())["body"])
        self.asked.append((scope["path"], body))
        status, answer = (self._broken, {"error": "no"}) if self._broken else (200, self._answer(scope["path"], body))
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
        models = ModelTable([ModelRow("*", ("b/qwen3",))], {"b": dialect})
        apps.append(TranslationApp({"b": backend}, models=models))
        return apps[-1]

    yield made
    for app in apps:
        await app.aclose()


async def count(app: TranslationApp) -> int:
    reply = await call(app, "POST", "/v1/messages/count_tokens", json=BODY)
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


async def test_others_are_estimated(make: Any) -> None:
    tokenizers = Tokenizers()
    assert await count(make("openai", tokenizers)) == round((len(BODY["messages"][0]["content"]) + 2) / 3.6)  # type: ignore[index]
    assert tokenizers.asked == []


@pytest.mark.parametrize(("status", "asked"), [(404, 1), (501, 1), (500, 2), (400, 2)])
async def test_a_tokenizer_that_fails_is_no_failure_and_a_missing_one_is_not_asked_again(
    make: Any, status: int, asked: int
) -> None:
    tokenizers = Tokenizers(broken=status)
    app = make("vllm", tokenizers)
    assert await count(app) == await count(app) > 100
    assert len(tokenizers.asked) == asked


async def test_an_estimate_learns_from_a_count(make: Any) -> None:
    tokenizers = Tokenizers()
    app = make("vllm", tokenizers)
    await count(app)
    tokenizers._broken = 500
    assert await count(app) == 151
