"""The context window that a server runs a model with, where it says so, and whether Claude Code can work in it.

the list of models   vLLM and SGLang `max_model_len`; OpenRouter, Together `context_length`; Groq `context_window`;
                     Mistral `max_context_length`
Ollama               `/api/ps`: what the model is loaded with; `/api/show`: `num_ctx` of its Modelfile
llama.cpp            `/props`: the context of one slot
LM Studio            `/api/v0/models`: what the model is loaded with
TGI                  `/info`
LiteLLM              `/model/info`
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from asgi_llmgate.cli.doctor.model_servers.model_list import ModelList
from asgi_llmgate.cli.doctor.model_servers.server import Server
from asgi_llmgate.cli.doctor.steps import State, Step
from asgi_llmgate.config.checking.advice import CLAUDE_CODE_WINDOW
from asgi_llmgate.errors import GateError

_FIELDS = ("max_model_len", "context_length", "context_window", "max_context_length", "max_input_tokens")
_INSTRUCTIONS = CLAUDE_CODE_WINDOW // 2
"""Tokens of Claude Code's instructions and tools: a smaller window has no room for them."""

_NUM_CTX = re.compile(r"^num_ctx\s+(\d{1,9})\s*$", re.MULTILINE)

RAISE: Mapping[str, str] = {
    "ollama": "set OLLAMA_CONTEXT_LENGTH=65536 for the server, or num_ctx in the model's Modelfile",
    "vllm": "start vLLM with a larger --max-model-len",
    "llamacpp": "start llama-server with a larger --ctx-size; --parallel divides it",
    "sglang": "start SGLang with a larger --context-length",
    "lmstudio": "load the model with a larger context length",
}
"""Dialect -> how the window is made larger."""


async def check_window(
    server: Server, kind: str, listed: ModelList | None, model: str, stated: int | None, row: str
) -> Step | None:
    """The window of a model, compared with the `context_window` of its row (`stated`) and with what Claude Code needs.

    None where the server does not say, or cannot be asked. `kind` is that of the server (`kind_of`), `row` the path of
    the row.
    """
    window = await find_window(server, listed, model, kind)
    if window is None:
        return None
    hint = RAISE.get(kind, "start the server with a larger context window, or use another model")
    if window < CLAUDE_CODE_WINDOW:
        message = f"{model} runs with a context window of {window} tokens; Claude Code needs about {CLAUDE_CODE_WINDOW}"
        if kind == "ollama":
            message += ", and Ollama cuts longer prompts without an error"
        state: State = "error" if window < _INSTRUCTIONS else "warning"
        return Step(state=state, path=f"{row}.use", message=message, hint=hint)
    if stated is not None and stated > window:
        message = f"the server runs {model} with {window} tokens, which is less than {stated}"
        return Step(state="warning", path=f"{row}.context_window", message=message, hint=f"context_window: {window}")
    message = f"{model} has a context window of {window} tokens"
    if stated is None:
        message += f"; with `context_window: {window}` in the row, clients can read it"
    return Step(path=f"{row}.context_window" if stated else row, message=message)


async def find_window(server: Server, listed: ModelList | None, model: str, kind: str) -> int | None:
    """Tokens of the window; None where the server does not say."""
    try:
        if kind in _ASK and (found := await _ASK[kind](server, model)) is not None:
            return found
    except (GateError, LookupError, TypeError, AttributeError):  # another version says it otherwise, or not at all
        pass
    entry = {} if listed is None else listed.entry(model)
    return next((number for name in _FIELDS if (number := _tokens(entry.get(name))) is not None), None)


def _tokens(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


async def _ollama(server: Server, model: str) -> int | None:
    names = (model, f"{model}:latest")
    loaded = (await server.get(f"{server.root}/api/ps")).content["models"]
    for each in loaded:
        if each.get("name") in names and (found := _tokens(each.get("context_length"))) is not None:
            return found
    shown = (await server.get(f"{server.root}/api/show", method="POST", body={"model": model})).content
    match = _NUM_CTX.search(shown.get("parameters") or "")
    return int(match[1]) if match else None


async def _llamacpp(server: Server, model: str) -> int | None:
    return _tokens((await server.get(f"{server.root}/props")).content["default_generation_settings"]["n_ctx"])


async def _lmstudio(server: Server, model: str) -> int | None:
    for each in (await server.get(f"{server.root}/api/v0/models")).content["data"]:
        if each["id"] == model:
            return _tokens(each.get("loaded_context_length"))
    return None


async def _tgi(server: Server, model: str) -> int | None:
    return _tokens((await server.get(f"{server.root}/info")).content["max_total_tokens"])


async def _litellm(server: Server, model: str) -> int | None:
    for each in (await server.get(f"{server.root}/model/info")).content["data"]:
        if each["model_name"] == model:
            return _tokens(each["model_info"].get("max_input_tokens"))
    return None


_ASK: Mapping[str, Callable[[Server, str], Awaitable[int | None]]] = {
    "ollama": _ollama,
    "llamacpp": _llamacpp,
    "lmstudio": _lmstudio,
    "huggingface": _tgi,
    "litellm": _litellm,
}
"""Dialect -> how a server of that kind is asked."""
