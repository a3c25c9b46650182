from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from asgi_llmgate.testing import driver
from asgi_llmgate.testing.driver import Driver
from asgi_llmgate.testing.model_script import Turn, call, raw, refuse, say
from asgi_llmgate.testing.model_server import ModelServer

HELLO: list[dict[str, Any]] = [{"role": "user", "content": "Hello"}]
TOOLS: list[dict[str, Any]] = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    for name in ("Write", "Bash", "Read")
]

Client = Callable[[ModelServer], AbstractAsyncContextManager[openai.AsyncOpenAI]]


@pytest.fixture
def sdk() -> Client:
    """The official SDK, talking to a model server in memory."""

    @asynccontextmanager
    async def connect(server: ModelServer) -> AsyncIterator[openai.AsyncOpenAI]:
        transport = httpx2.ASGITransport(server)
        async with openai.AsyncOpenAI(
            api_key="sk-test",
            base_url="http://model.test/v1",
            max_retries=0,
            http_client=openai.DefaultAsyncHttpxClient(transport=transport),
        ) as client:
            yield client

    return connect


async def collect(stream: openai.AsyncStream[ChatCompletionChunk]) -> tuple[str, dict[int, list[str]], list[str]]:
    """Text, arguments per tool call index in order of arrival as `[name, fragment, ...]`, finish reasons."""
    text, calls, reasons = "", dict[int, list[str]](), list[str]()
    async for chunk in stream:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            for part in choice.delta.tool_calls or ():
                assert part.function is not None
                if part.function.name:
                    assert part.id
                    calls[part.index] = [part.function.name]
                calls[part.index].append(part.function.arguments or "")
            if choice.finish_reason:
                reasons.append(choice.finish_reason)
    return text, calls, reasons


async def test_text_comes_back_whole(sdk: Client) -> None:
    server = ModelServer([say("Good  morning,\nworld. ", reasoning="Be polite.")])
    async with sdk(server) as client:
        answer = await client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
    choice = answer.choices[0]
    assert (choice.message.content, choice.finish_reason) == ("Good  morning,\nworld. ", "stop")
    assert choice.message.model_extra == {"reasoning_content": "Be polite."}
    assert answer.model == "gpt-4o-mini-2024-07-18"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (8, 8, 16)


async def test_the_labs_question_costs_about_what_it_cost_there(sdk: Client) -> None:
    messages: Any = [{"role": "user", "content": "In one sentence, what is an API gateway?"}]
    async with sdk(ModelServer()) as client:
        answer = await client.chat.completions.create(model="gpt-4o-mini", messages=messages)
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (17, 34)  # there: 17, 35


async def test_the_same_text_comes_back_in_pieces(sdk: Client) -> None:
    server = ModelServer([say("Good  morning,\nworld. ", reasoning="Be polite.")])
    async with sdk(server) as client:
        stream = await client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, stream=True)
        chunks = [chunk async for chunk in stream]
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices[0].delta.content]
    assert len(pieces) > 1
    assert "".join(pieces) == "Good  morning,\nworld. "
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks)


async def test_usage_ends_a_stream_that_asked_for_it(sdk: Client) -> None:
    server = ModelServer([say("Hi"), say("Hi")])
    async with sdk(server) as client:
        whole = await client.chat.completions.create(model="m", messages=HELLO)
        stream = await client.chat.completions.create(
            model="m", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert not any(chunk.usage for chunk in chunks[:-1])


@pytest.mark.parametrize("interleaved", [False, True], ids=["one after the other", "interleaved"])
async def test_parallel_calls_arrive_as_fragments(sdk: Client, interleaved: bool) -> None:
    turn = (
        say("Working.") + call("Write", file_path="a.txt", content="hello there") + call("Bash", command="wc -c a.txt")
    )
    server = ModelServer([turn.interleaved() if interleaved else turn])
    async with sdk(server) as client:
        stream = await client.chat.completions.create(model="m", messages=HELLO, stream=True)
        order: list[int] = []

        async def watched() -> AsyncIterator[ChatCompletionChunk]:
            async for chunk in stream:
                order.extend(part.index for choice in chunk.choices for part in choice.delta.tool_calls or ())
                yield chunk

        text, calls, reasons = await collect(watched())  # type: ignore[arg-type]
    assert text == "Working."
    assert [(name, json.loads("".join(fragments))) for name, *fragments in calls.values()] == [
        ("Write", {"file_path": "a.txt", "content": "hello there"}),
        ("Bash", {"command": "wc -c a.txt"}),
    ]
    assert all(len(fragments) > 3 for fragments in calls.values())
    assert reasons == ["tool_calls"]
    assert (order == sorted(order)) is not interleaved


async def test_a_conversation_with_tools_goes_round(sdk: Client) -> None:
    server = ModelServer([call("Write", file_path="a.txt", content="hi"), say("Done.")])
    async with sdk(server) as client:
        first = await client.chat.completions.create(model="m", messages=HELLO, tools=TOOLS)
        message = first.choices[0].message
        assert message.tool_calls is not None
        result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "written"}
        messages = [*HELLO, message.model_dump(exclude_none=True), result]
        second = await client.chat.completions.create(model="m", messages=messages, tools=TOOLS)
    assert first.choices[0].finish_reason == "tool_calls"
    assert second.choices[0].message.content == "Done."
    assert server.unused == []
    assert [len(request.messages) for request in server.chats] == [1, 3]
    assert server.chats[0].tool_names == ["Write", "Bash", "Read"]
    assert server.chats[0].authorization == "Bearer sk-test"


async def test_a_condition_goes_before_the_order_of_the_script(sdk: Client) -> None:
    server = ModelServer([say("plain"), say("stars").when(lambda request: "stars" in request.prompt).always()])
    async with sdk(server) as client:

        async def ask(question: str) -> str | None:
            messages: Any = [{"role": "user", "content": [{"type": "text", "text": question}]}]
            answer: ChatCompletion = await client.chat.completions.create(model="m", messages=messages)
            return answer.choices[0].message.content

        assert [await ask(each) for each in ("count stars", "hello", "more stars")] == ["stars", "plain", "stars"]
    assert server.unused == []


SAFETY_QUESTIONS = [
    pytest.param({"stop": ["</block>"]}, "Your ENTIRE response MUST begin with <block>.", id="first"),
    pytest.param({}, "Use <thinking> before responding with <block>.", id="second"),
]


@pytest.mark.parametrize(("options", "prompt"), SAFETY_QUESTIONS)
async def test_a_safety_question_takes_no_turn_of_the_script(sdk: Client, options: Any, prompt: str) -> None:
    server = ModelServer([say("plain")])
    async with sdk(server) as client:
        asked: Any = [{"role": "user", "content": prompt}]
        question = await client.chat.completions.create(model="m", messages=asked, **options)
        turn = await client.chat.completions.create(model="m", messages=asked, tools=TOOLS)
    assert question.choices[0].message.content == "<block>no"
    assert turn.choices[0].message.content == "plain"
    assert len(server.chats) == 1


async def test_a_safety_question_can_be_scripted(sdk: Client) -> None:
    server = ModelServer([say("<block>yes").when(lambda request: request.is_safety_question)])
    async with sdk(server) as client:
        answer = await client.chat.completions.create(model="m", messages=HELLO, stop=["</block>"])
    assert answer.choices[0].message.content == "<block>yes"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_scripted_error_is_openais(sdk: Client, stream: bool) -> None:
    server = ModelServer([refuse(429, "slow down", type="requests", code="rate_limit", headers={"retry-after": "7"})])
    async with sdk(server) as client:
        with pytest.raises(openai.RateLimitError, match="slow down") as caught:
            await client.chat.completions.create(model="m", messages=HELLO, stream=stream)
    assert caught.value.code == "rate_limit"
    assert caught.value.response.headers["retry-after"] == "7"


async def test_a_cut_stream_has_neither_finish_nor_done(sdk: Client) -> None:
    server = ModelServer([say("one two three four").cut(after=3)])
    async with sdk(server) as client:
        stream = await client.chat.completions.create(model="m", messages=HELLO, stream=True)
        assert await collect(stream) == ("one two", {}, [])


async def test_a_cut_answer_is_no_json(sdk: Client) -> None:
    server = ModelServer([say("one two three four").cut(after=0)])
    async with sdk(server) as client:
        with pytest.raises(json.JSONDecodeError):
            await client.chat.completions.create(model="m", messages=HELLO)


async def test_a_cut_stream_closes_without_done() -> None:
    server = ModelServer([say("one two").cut(after=1)])
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(server), base_url="http://model.test") as client:
        answer = await client.post("/v1/chat/completions", json={"model": "m", "messages": HELLO, "stream": True})
    assert answer.text.count("data: ") == 1
    assert "[DONE]" not in answer.text


async def test_a_stalled_stream_is_silent_until_the_client_leaves() -> None:
    server = ModelServer([say("one two three").stall(after=2)])
    asked = {"model": "m", "messages": HELLO, "stream": True}
    async with Driver(server, "POST", "/v1/chat/completions", json=asked) as client:
        assert await client.start() == 200
        assert b'"role"' in await client.chunk()
        assert b"one" in await client.chunk()
        assert not server.requests[0].gone.is_set()
        client.disconnect()
        await client.finish()
    assert await asyncio.to_thread(server.requests[0].gone.wait, 5)


async def test_any_bytes_can_be_sent() -> None:
    server = ModelServer([raw(b"data: {nonsense\n\n", status=200)])
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(server), base_url="http://model.test") as client:
        answer = await client.post("/v1/chat/completions", json={"model": "m", "messages": HELLO})
    assert (answer.content, answer.headers["content-type"]) == (b"data: {nonsense\n\n", "text/event-stream")


async def test_another_finish_reason_can_be_given(sdk: Client) -> None:
    server = ModelServer([say("and then").finish("length")])
    async with sdk(server) as client:
        answer = await client.chat.completions.create(model="m", messages=HELLO)
    assert answer.choices[0].finish_reason == "length"


async def test_its_model_is_listed(sdk: Client) -> None:
    async with sdk(ModelServer(model="qwen3-coder")) as client:
        assert [model.id async for model in client.models.list()] == ["qwen3-coder"]


async def test_a_wrong_key_is_refused(sdk: Client) -> None:
    async with sdk(ModelServer(api_key="sk-other")) as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            await client.chat.completions.create(model="m", messages=HELLO)
    assert caught.value.code == "invalid_api_key"


CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "a", "type": "function", "function": {"name": "Bash", "arguments": "{}"}}],
}
RESULT = {"role": "tool", "tool_call_id": "a", "content": "ok"}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        pytest.param({"messages": []}, "too short", id="no messages"),
        pytest.param({"messages": [{"role": "user", "content": None}]}, "got null", id="no content"),
        pytest.param({"messages": [{"role": "robot", "content": "x"}]}, "Invalid value: 'robot'", id="role"),
        pytest.param({"messages": [*HELLO, RESULT]}, "must be a response", id="result without its call"),
        pytest.param({"messages": [*HELLO, CALL, *HELLO]}, "did not have response messages: a", id="no result"),
        pytest.param({"messages": [*HELLO, CALL]}, "did not have response messages: a", id="call at the end"),
        pytest.param({"messages": [*HELLO, CALL, RESULT, RESULT]}, "must be a response", id="two results"),
        pytest.param({"tools": []}, "too short - 'tools'", id="empty tools"),
        pytest.param({"tools": [{"function": {"name": "a.b"}}]}, "'a.b' does not match", id="tool name"),
        pytest.param({"stream_options": {"include_usage": True}}, "only allowed when", id="stream_options"),
        pytest.param({"model": None}, "model parameter", id="no model"),
    ],
)
async def test_it_is_as_strict_as_openai(change: dict[str, Any], complaint: str) -> None:
    transport = httpx2.ASGITransport(ModelServer())
    async with httpx2.AsyncClient(transport=transport, base_url="http://model.test") as client:
        asked = {"model": "m", "messages": HELLO, **change}
        answer = await client.post("/v1/chat/completions", json=asked)
    assert answer.status_code == 400
    assert complaint in answer.json()["error"]["message"]


async def test_an_unknown_path_is_404(sdk: Client) -> None:
    async with sdk(ModelServer()) as client:
        with pytest.raises(openai.NotFoundError):
            await client.embeddings.create(model="m", input="x")


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        pytest.param("In one sentence, what is an API gateway?", "An API gateway is a server", id="knowledge"),
        pytest.param("<system-reminder>x</system-reminder>Guess", "You said: Guess", id="echo"),
        pytest.param("Please write a file notes/a.txt", {"file_path": "notes/a.txt"}, id="write"),
        pytest.param("Create b.txt saying 'hi you'", {"file_path": "b.txt", "content": "hi you\n"}, id="write quoted"),
        pytest.param("run `ls -l` for me", {"command": "ls -l"}, id="run"),
        pytest.param("Read a.txt to me", {"file_path": "a.txt"}, id="read"),
    ],
)
async def test_without_a_script_a_small_model_answers(sdk: Client, prompt: str, expected: str | dict[str, str]) -> None:
    messages: Any = [{"role": "user", "content": prompt}]
    async with sdk(ModelServer()) as client:
        answer = await client.chat.completions.create(model="m", messages=messages, tools=TOOLS)
    message = answer.choices[0].message
    if isinstance(expected, str):
        assert message.content is not None
        assert message.content.startswith(expected)
        assert message.tool_calls is None
    else:
        assert message.tool_calls is not None
        assert expected.items() <= json.loads(message.tool_calls[0].function.arguments).items()  # type: ignore[union-attr]


async def test_the_small_model_tells_what_a_tool_said(sdk: Client) -> None:
    async with sdk(ModelServer()) as client:
        answer = await client.chat.completions.create(model="m", messages=[*HELLO, CALL, RESULT], tools=TOOLS)
    assert answer.choices[0].message.content == "Done. The tool said: ok"


async def test_the_small_model_calls_no_tool_that_is_not_offered(sdk: Client) -> None:
    messages: Any = [{"role": "user", "content": "write a.txt"}]
    async with sdk(ModelServer()) as client:
        answer = await client.chat.completions.create(model="m", messages=messages)
    assert answer.choices[0].message.content == "You said: write a.txt"


def test_a_turn_is_a_value() -> None:
    turn = say("a")
    assert turn.always() is not turn
    assert turn == say("a")
    assert isinstance(turn + call("x"), Turn)


ASKED = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello."}]}


async def test_tools_are_a_part_of_the_prompt() -> None:
    tool = {"type": "function", "function": {"name": "Write", "description": "Writes a file.", "parameters": {}}}
    counted = []
    for tools in ({}, {"tools": [tool]}):
        reply = await driver.call(ModelServer(), "POST", "/v1/chat/completions", json={**ASKED, **tools})
        counted.append(reply.json()["usage"]["prompt_tokens"])
    words = "type function function name Write description Writes a file parameters"
    assert counted[1] - counted[0] == len(words.split())


async def test_a_client_that_should_ask_the_gateway_is_told_so() -> None:
    headers = {"anthropic-version": "2023-06-01"}
    reply = await driver.call(ModelServer(), "POST", "/v1/messages", json={}, headers=headers)
    assert reply.status == 421
    assert "set ANTHROPIC_BASE_URL to the address of the gateway" in reply.json()["error"]["message"]
    assert (await driver.call(ModelServer(), "POST", "/v1/messages", json={})).status == 404


@pytest.mark.parametrize(("keep", "kept"), [(None, 3), (2, 2), (0, 0)])
async def test_it_keeps_as_many_requests_as_it_is_told(keep: int | None, kept: int) -> None:
    server = ModelServer(keep=keep)
    for number in range(3):
        await driver.call(server, "GET", f"/{number}")
    assert [request.path for request in server.requests] == [f"/{number}" for number in range(3 - kept, 3)]
