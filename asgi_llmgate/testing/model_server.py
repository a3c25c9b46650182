"""An OpenAI-style model server that responds from a script: an ASGI app for tests and for `make demo`.

    server = ModelServer([call("Write", file_path="a.txt", content="hi"), say("Done.")])

It speaks `POST /v1/chat/completions` (JSON and SSE) and `GET /v1/models`, keeps the requests that it got in `requests`,
and is as strict about a conversation as OpenAI's own server: a tool result without its call is a 400 here too.  Run it
under uvicorn, or in memory through `httpx.ASGITransport(server)`.

The turn for a request: the first one whose condition (`Turn.when`) accepts it; else, unless it is Claude Code's
own safety question, the first one without a condition; else `otherwise` (small_model.py).
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from asgi_llmgate._types import Receive, Scope, Send
from asgi_llmgate.request_headers import read_headers
from asgi_llmgate.testing import small_model
from asgi_llmgate.testing.model_script import ReceivedRequest, Turn, raw, refuse, text_of

__all__ = ["ModelServer"]

CREATED = 1_721_172_717
"""`created` of every response and model: responses are the same in every run."""

_WORD = re.compile(r"\w+")
_TOKEN = re.compile(r"\w+|[^\w\s]")
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class ModelServer:
    """`model` is the model that it lists; responses have a dated name for it, as OpenAI's do, and any other name
    unchanged.

    With `api_key` a request needs that as its bearer token.  With `context_window`, in tokens, it refuses a request
    whose prompt and requested output are larger together, with vLLM's message.  Of the requests it keeps the latest
    `keep`, or all of them.  `on_response` is called before each response is sent.
    """

    def __init__(
        self,
        script: Iterable[Turn] = (),
        *,
        model: str = "gpt-4o-mini",
        api_key: str = "",
        context_window: int | None = None,
        otherwise: Callable[[ReceivedRequest], Turn] = small_model.respond,
        keep: int | None = None,
        on_response: Callable[[ReceivedRequest, Turn], None] = lambda request, turn: None,
    ) -> None:
        self.requests: list[ReceivedRequest] = []
        self.asked = threading.Event()
        self._script = list(script)
        self._model = model
        self._api_key = api_key
        self._context_window = context_window
        self._otherwise = otherwise
        self._keep = keep
        self._on_response = on_response
        self._completions = 0

    @property
    def unused(self) -> list[Turn]:
        """The turns of the script that no request has used, without those marked `always`."""
        return [turn for turn in self._script if not turn.repeats]

    @property
    def chats(self) -> list[ReceivedRequest]:
        """The requests for a chat completion, without Claude Code's own safety questions."""
        return [each for each in self.requests if each.method == "POST" and not each.is_safety_question]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(f"the model server speaks HTTP only, not {scope['type']}")
        request = await _read(scope, receive)
        self.requests.append(request)
        if self._keep is not None:
            del self.requests[: -self._keep or None]
        self.asked.set()
        turn = self._fixed(request) or self._turn_for(request)
        self._on_response(request, turn)
        if turn.fault == "stall" and (turn.after == 0 or not request.body.get("stream")):
            await _wait_until_gone(receive, request)
        elif turn.body is not None:
            await _send_whole(send, turn.body, turn.status, turn.headers)
        elif request.body.get("stream"):
            await self._stream(turn, request, receive, send)
        else:
            await self._complete(turn, request, send)

    def _fixed(self, request: ReceivedRequest) -> Turn | None:
        """The response that does not depend on the script, if there is one."""
        if self._api_key and request.authorization != f"Bearer {self._api_key}":
            return refuse(401, "Incorrect API key provided.", code="invalid_api_key")
        if (request.method, request.path) == ("GET", "/v1/models"):
            row = {"id": self._model, "object": "model", "created": CREATED, "owned_by": "script"}
            return raw(json.dumps({"object": "list", "data": [row]}).encode(), content_type="application/json")
        if (request.method, request.path) != ("POST", "/v1/chat/completions"):
            return _of_the_gateway(request) or refuse(404, f"Invalid URL ({request.method} {request.path})")
        message = complaint(request.body) or _no_room(request, self._context_window)
        return refuse(400, message) if message else None

    def _turn_for(self, request: ReceivedRequest) -> Turn:
        turn = next((each for each in self._script if each.condition and each.condition(request)), None)
        if turn is None and not request.is_safety_question:
            turn = next((each for each in self._script if not each.condition), None)
        if turn is None:
            return self._otherwise(request)
        if not turn.repeats:
            self._script.remove(turn)
        return turn

    def _head(self, request: ReceivedRequest, kind: str) -> dict[str, Any]:
        self._completions += 1
        asked = request.body["model"]
        response_model = f"{asked}-2024-07-18" if asked == self._model else asked
        return {"id": f"chatcmpl-{self._completions:06}", "object": kind, "created": CREATED, "model": response_model}

    async def _complete(self, turn: Turn, request: ReceivedRequest, send: Send) -> None:
        head = self._head(request, "chat.completion")
        choice = {
            "index": 0,
            "message": turn.message(head["id"]),
            "logprobs": None,
            "finish_reason": turn.stop_reason,
        }
        body = json.dumps({**head, "choices": [choice], "usage": _usage(request, turn)}).encode()
        if turn.fault == "cut":
            await _start(send, 200, {"content-type": "application/json"})
            await send({"type": "http.response.body", "body": body[: len(body) // 2]})
        else:
            await _send_whole(send, body, 200, turn.headers)

    async def _stream(self, turn: Turn, request: ReceivedRequest, receive: Receive, send: Send) -> None:
        head = self._head(request, "chat.completion.chunk")
        with_usage = bool((request.body.get("stream_options") or {}).get("include_usage"))
        if with_usage:
            head["usage"] = None

        async def event(data: bytes) -> None:
            await send({"type": "http.response.body", "body": b"data: " + data + b"\n\n", "more_body": True})

        async def choice(delta: Mapping[str, Any], finish_reason: str | None = None) -> None:
            row = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
            await event(json.dumps({**head, "choices": [row]}).encode())

        await _start(send, 200, {"content-type": "text/event-stream; charset=utf-8", **turn.headers})
        for sent, delta in enumerate(turn.deltas(head["id"])):
            if turn.fault and sent == turn.after:
                break
            await choice(delta)
        if turn.fault == "stall":
            await _wait_until_gone(receive, request)
        elif not turn.fault:
            await choice({}, turn.stop_reason)
            if with_usage:
                await event(json.dumps({**head, "choices": [], "usage": _usage(request, turn)}).encode())
            await event(b"[DONE]")
        await send({"type": "http.response.body", "body": b""})


def _of_the_gateway(request: ReceivedRequest) -> Turn | None:
    """For a client that should ask the gateway and asks the model server: an error that Claude Code shows, as it does
    with a 421 and not with a 404."""
    if not (request.method == "POST" and "/messages" in request.path and "anthropic-version" in request.headers):
        return None
    message = "this is the model server and not the gateway: set ANTHROPIC_BASE_URL to the address of the gateway"
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
    return raw(json.dumps(error).encode(), status=421, content_type="application/json")


def complaint(body: Mapping[str, Any]) -> str:
    """The error message of OpenAI's server for a request; empty when it would accept the request."""
    if not isinstance(body.get("model"), str):
        return "you must provide a model parameter"
    messages = body.get("messages")
    if not messages:
        return "[] is too short - 'messages'"
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        return "Invalid type for 'messages': expected an array of objects."
    if "stream_options" in body and not body.get("stream"):
        return "The 'stream_options' parameter is only allowed when 'stream' is enabled."
    if body.get("tools") == []:
        return "[] is too short - 'tools'"
    for tool in body.get("tools", ()):
        if not _TOOL_NAME.fullmatch(tool["function"]["name"]):
            return f"Invalid 'tools': string {tool['function']['name']!r} does not match the pattern."
    return _conversation_complaint(messages)


def _conversation_complaint(messages: Iterable[Mapping[str, Any]]) -> str:
    awaited: set[str] = set()
    for place, message in enumerate(messages):
        role = message.get("role")
        if role == "tool":
            if message.get("tool_call_id") not in awaited:
                return (
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
                    f"'tool_calls' (messages.[{place}].role)."
                )
            awaited.remove(message["tool_call_id"])
            continue
        if awaited:
            break
        if role not in ("system", "developer", "user", "assistant"):
            return f"Invalid value: {role!r} (messages.[{place}].role)."
        awaited = {each["id"] for each in message.get("tool_calls") or ()}
        if message.get("content") is None and not awaited:
            return f"Invalid value for 'content': expected a string, got null. (messages.[{place}].content)"
    if awaited:
        return (
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(sorted(awaited))}"
        )
    return ""


def _no_room(request: ReceivedRequest, window: int | None) -> str:
    """vLLM's error message where a request exceeds the context window (vllm/entrypoints, `_validate_input`)."""
    if window is None:
        return ""
    prompt = _prompt_tokens(request)
    asked = request.body.get("max_completion_tokens") or request.body.get("max_tokens") or 0
    if prompt >= window:
        return (
            f"This model's maximum context length is {window} tokens. However, your request has {prompt} input tokens. "
            "Please reduce the length of the input messages."
        )
    if prompt + asked > window:
        return (
            f"'max_tokens' or 'max_completion_tokens' is too large: {asked}. This model's maximum context length is "
            f"{window} tokens and your request has {prompt} input tokens ({asked} > {window} - {prompt})."
        )
    return ""


def _usage(request: ReceivedRequest, turn: Turn) -> dict[str, Any]:
    prompt = _prompt_tokens(request)
    reasoning = _tokens(turn.reasoning)
    completion = reasoning + _tokens(turn.text) + sum(_tokens(each.name + each.arguments) for each in turn.calls)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


def _prompt_tokens(request: ReceivedRequest) -> int:
    """A token is a word or a mark, and seven frame the prompt: what OpenAI's tokenizer says of plain English.  Of tools
    the words count: servers write them into the prompt in a form of their own."""
    tools = sum(len(_WORD.findall(json.dumps(tool))) for tool in request.body.get("tools") or ())
    return 7 + sum(_tokens(text_of(message)) for message in request.messages) + tools


def _tokens(text: str) -> int:
    return len(_TOKEN.findall(text))


async def _read(scope: Scope, receive: Receive) -> ReceivedRequest:
    content, more = b"", True
    while more:
        message = await receive()
        content += message.get("body", b"")
        more = message.get("more_body", False)
    try:
        body = json.loads(content or b"{}")
    except ValueError:
        body = {}
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    return ReceivedRequest(scope["method"], path, read_headers(scope), content, body if isinstance(body, dict) else {})


async def _wait_until_gone(receive: Receive, request: ReceivedRequest) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    request.gone.set()


async def _start(send: Send, status: int, headers: Mapping[str, str]) -> None:
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})


async def _send_whole(send: Send, body: bytes, status: int, headers: Mapping[str, str]) -> None:
    await _start(send, status, {"content-type": "application/json", "content-length": str(len(body)), **headers})
    await send({"type": "http.response.body", "body": body})
