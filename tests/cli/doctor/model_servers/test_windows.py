"""Where each kind of server says with which context window it runs a model, and what is said about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.doctor.conftest import document, reply

if TYPE_CHECKING:
    from tests.cli.doctor.conftest import Doctor, Site

NAMES = ("m", "other")


def listed(owner: str = "x", **fields: Any) -> bytes:
    rows = [{"id": name, "object": "model", "owned_by": owner, **fields} for name in NAMES]
    return document({"object": "list", "data": rows})


def loaded(name: str, tokens: int) -> dict[str, Any]:
    return {"name": name, "model": name, "size": 1, "context_length": tokens}


# dialect, the pages of a server that runs `m` with N tokens
SERVERS: dict[str, tuple[str, Any]] = {
    "vLLM, SGLang": ("vllm", lambda n: {"/v1/models": listed("vllm", max_model_len=n)}),
    "vLLM as openai": ("openai", lambda n: {"/v1/models": listed("vllm", max_model_len=n)}),
    "OpenRouter": ("openrouter", lambda n: {"/v1/models": listed(context_length=n)}),
    "Groq": ("groq", lambda n: {"/v1/models": listed(context_window=n)}),
    "Mistral": ("mistral", lambda n: {"/v1/models": listed(max_context_length=n)}),
    "Ollama, loaded": (
        "ollama",
        lambda n: {"/v1/models": listed("library"), "/api/ps": document({"models": [loaded("m", n)]})},
    ),
    "Ollama, a tag": (
        "ollama",
        lambda n: {
            "/v1/models": listed("library"),
            "/api/ps": document({"models": [loaded("other", 1), loaded("m:latest", n)]}),
        },
    ),
    "Ollama, its Modelfile": (
        "ollama",
        lambda n: {
            "/v1/models": listed("library"),
            "/api/ps": document({"models": []}),
            "/api/show": document({"parameters": f'num_ctx    {n}\nstop    "x"'}),
        },
    ),
    "llama.cpp": (
        "llamacpp",
        lambda n: {
            "/v1/models": listed("llamacpp", meta={"n_ctx_train": 999_999}),
            "/props": document({"default_generation_settings": {"n_ctx": n}, "total_slots": 4}),
        },
    ),
    "LM Studio": (
        "lmstudio",
        lambda n: {
            "/v1/models": listed("organization_owner"),
            "/api/v0/models": document(
                {"data": [{"id": "m", "loaded_context_length": n, "max_context_length": 262_144}]}
            ),
        },
    ),
    "TGI": ("huggingface", lambda n: {"/v1/models": listed(), "/info": document({"max_total_tokens": n})}),
    "LiteLLM": (
        "openai",
        lambda n: {
            "/v1/models": reply(
                b'{"object": "list", "data": [{"id": "m", "object": "model"}]}', more="x-litellm-version: 1\r\n"
            ),
            "/model/info": document({"data": [{"model_name": "m", "model_info": {"max_input_tokens": n}}]}),
        },
    ),
}


def asked(doctor: Doctor, site: Site, server: tuple[str, Any], tokens: int, **row: Any) -> list[dict[str, Any]]:
    """What is said about the row."""
    dialect, pages = server
    for path, page in pages(tokens).items():
        site[path] = page
    backends = {"main": {"base_url": f"{site.url}/v1", "dialect": dialect}}
    told = doctor({"backends": backends, "models": [{"match": "*", "use": "main/m", **row}]}, "--no-calls")
    return told.about("models[0]")


@pytest.mark.parametrize("server", SERVERS.values(), ids=SERVERS)
def test_a_small_window_is_an_error_with_what_to_do(doctor: Doctor, site: Site, server: tuple[str, Any]) -> None:
    (step,) = asked(doctor, site, server, 4096)
    assert (step["state"], step["path"]) == ("error", "models[0].use")
    assert "context window of 4096 tokens; Claude Code needs about 48000" in step["message"]
    assert "larger" in step["hint"] or "LENGTH" in step["hint"]


@pytest.mark.parametrize("server", SERVERS.values(), ids=SERVERS)
def test_a_large_window_is_told(doctor: Doctor, site: Site, server: tuple[str, Any]) -> None:
    (step,) = asked(doctor, site, server, 131072)
    assert step["state"] == "ok"
    assert "`context_window: 131072` in the row" in step["message"]


@pytest.mark.parametrize(
    ("tokens", "state"), [(23_999, "error"), (24_000, "warning"), (47_999, "warning"), (48_000, "ok")]
)
def test_how_small_is_too_small(doctor: Doctor, site: Site, tokens: int, state: str) -> None:
    """Half of 48,000 tokens are Claude Code's instructions and tools."""
    (step,) = asked(doctor, site, SERVERS["vLLM, SGLang"], tokens)
    assert step["state"] == state


def test_ollama_cuts_without_an_error(doctor: Doctor, site: Site) -> None:
    (step,) = asked(doctor, site, SERVERS["Ollama, loaded"], 4096)
    assert "cuts longer prompts without an error" in step["message"]
    assert "OLLAMA_CONTEXT_LENGTH" in step["hint"]


@pytest.mark.parametrize(("stated", "state"), [(131072, "ok"), (65536, "ok"), (131073, "warning")])
def test_the_window_of_the_row_is_compared(doctor: Doctor, site: Site, stated: int, state: str) -> None:
    (step,) = asked(doctor, site, SERVERS["vLLM, SGLang"], 131072, context_window=stated)
    assert (step["state"], step["path"]) == (state, "models[0].context_window")
    if state == "warning":
        assert step["hint"] == "context_window: 131072"


STRANGE: dict[str, Any] = {
    "no such page": {},
    "another document": {"/api/ps": document({"hello": 1}), "/api/show": document([])},
    "a list of texts": {"/api/ps": document({"models": ["m"]}), "/api/show": document({"parameters": 3})},
    "a page": {"/api/ps": reply(b"<html>", content_type="text/html")},
    "no number": {"/api/ps": document({"models": [loaded("m", "x")]}), "/api/show": document({})},  # type: ignore[arg-type]
}


@pytest.mark.parametrize("pages", STRANGE.values(), ids=STRANGE)
def test_a_server_that_does_not_say_is_no_error(doctor: Doctor, site: Site, pages: dict[str, bytes]) -> None:
    assert asked(doctor, site, ("ollama", lambda _: {"/v1/models": listed("library"), **pages}), 1) == []
