"""What a refusal of one caller's request may change in another's: nothing, unless the server itself has said it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import product
from typing import Any

import httpx
import pytest

from asgi_llmgate.errors import UpstreamError
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.exchange_values import Call, Target
from asgi_llmgate.net import HTTPClient
from asgi_llmgate.protocol.messages.request import decode_messages
from asgi_llmgate.protocol.servers.dialects import derive
from asgi_llmgate.upstream import Backend, Upstream, UpstreamCall
from asgi_llmgate.upstream import call as upstream_call
from tests.protocol.correcting_errors import REFUSALS, Refusal

IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}

PLACES = ("prompt", "system", "tool description", "tool result", "tool schema", "answer schema", "stop", "two blocks")


def asked(text: str = "", place: str = "prompt", *, disguise: bool = False) -> bytes:
    """A request that has something of everything that can be left out; the caller's text in one place of it."""
    said = {name: text if name == place else "What is this?" for name in PLACES}
    half = len(text) // 2
    half = text.find(" ", half) if " " in text[half:] else half
    blocks = [text[:half], text[half:].strip()] if place == "two blocks" else ["One", "two."]
    tool = {
        "name": "Read",
        "description": said["tool description"],
        "input_schema": {**SCHEMA, "description": said["tool schema"]},
    }
    body = {
        "model": "m",
        "max_tokens": 128000,
        "stream": True,
        "temperature": 0.5,
        "top_p": 0.5,
        "top_k": 5,
        "stop_sequences": [said["stop"]],
        "thinking": {"type": "enabled", "budget_tokens": 60000},
        "output_config": {
            "effort": "max",
            "format": {"type": "json_schema", "schema": {**SCHEMA, "title": said["answer schema"]}},
        },
        "system": [{"type": "text", "text": said["system"]}],
        "tools": [tool],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": said["prompt"]}, IMAGE, IMAGE, PDF]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "Read", "input": {}}]},
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": said["tool result"]},
                    {"type": "text", "text": "Well?"},
                ],
            },
            {"role": "system", "content": "Mind the gap."},
            {"role": "user", "content": [{"type": "text", "text": block} for block in blocks]},
            {"role": "user", "content": "Go on."},
        ],
    }
    data = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    if disguise:  # every other letter as an escape, which a server undoes before it quotes
        plain = json.dumps(text, ensure_ascii=False)[1:-1]
        data = data.replace(plain, re.sub(r"(?<!\\)([a-z])([a-z])", lambda two: f"{two[1]}\\u{ord(two[2]):04X}", plain))
    return data.encode()


class Server:
    """Refuses each caller's first request as it is told to, and takes whatever comes after it."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.refusing: list[tuple[int, bytes]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.bodies.append(request.content)
        status, content = self.refusing.pop(0) if self.refusing else (200, b"{}")
        return httpx.Response(status, content=content)


class Side:
    """One server and what is known of it."""

    def __init__(self, refusal: Refusal) -> None:
        self.server = Server()
        self.client = HTTPClient(transport=httpx.MockTransport(self.server))
        dialect = derive(
            refusal.dialect,
            {
                "images": "data",
                "pdf": "file",
                "mid_system": "inplace",
                "sampling": ["temperature", "top_p", "top_k"],
                "stop_max": 4,
                "response_format": "json_schema",
                "parallel_tool_calls": True,
                "prompt_cache_key": True,
                **({"max_tokens_field": "max_tokens"} if refusal.model == "gpt-4o" else {}),
            },
        )
        self.upstream = Upstream(Backend(base_url="http://model.test/v1", dialect=dialect), self.client)
        self.model = refusal.model

    def upstream_call(self, body: bytes) -> UpstreamCall:
        request, exchange = decode_messages(body), Exchange()
        exchange.call = Call(request, (), session_id="s")
        return UpstreamCall(self.upstream, exchange, Target("b", "p", self.model), request, input_estimate=1000)

    async def call(self, body: bytes, *refusals: tuple[int, bytes], answered: bool = True) -> int:
        """One caller's call; gives how often the server was asked."""
        self.server.refusing = list(refusals)
        before = len(self.server.bodies)
        call = self.upstream_call(body)
        try:
            async with await call.open():
                pass
        except UpstreamError:
            return len(self.server.bodies) - before
        if answered:
            call.note_first_token()
        return len(self.server.bodies) - before


def cut(body: bytes) -> bytes:
    """Of a prompt that the server has counted, the room for its answer is known more exactly."""
    return re.sub(rb'("max_tokens"):\d+', rb"\1", body)


LONG_PROMPT = (
    "You are an agent. If a command is not supported or its arguments are unknown, unexpected or not allowed, say so; "
    "unsupported options, an unrecognized flag and what is not permitted are errors. Reading images is supported, PDF "
    "files with at most 20 pages per request too. Set temperature and stop words, and max_tokens at most as the user "
    'says. A parameter must be less than or equal to 100. {"type": "string", "enum": ["unknown", "unsupported", '
    '"file", "image_url"]} The model does not support everything. The maximum is 32768. Use tools instead. '
) * 50
"""What long prompts are full of, though it is no refusal."""


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize("text", ["Hello.", LONG_PROMPT], ids=["short", "long"])
async def test_what_a_server_itself_refuses_spares_others_the_refusal(refusal: Refusal, text: str) -> None:
    side = Side(refusal)
    assert await side.call(asked(text, "system"), (refusal.status, refusal.content)) == 2
    assert await side.call(asked(text, "system")) == 1
    refused, corrected, spared = side.server.bodies
    assert refused != spared
    assert spared == corrected or (" tokens" in refusal.message and cut(spared) == cut(corrected))


def envelope(message: str) -> bytes:
    return json.dumps({"error": {"message": message, "type": "invalid_request_error", "param": None}}).encode()


FRAMES: dict[str, Callable[[str], bytes]] = {
    "in OpenAI's envelope": lambda text: envelope(f"Bad request: {text}"),
    "alone": envelope,
    "not marked": lambda text: envelope(f"we have got {text} which we do not like"),
    "in FastAPI's list": lambda text: json.dumps(
        {"detail": [{"type": "value_error", "loc": ["body", "messages", 0], "msg": "no", "input": text}]}
    ).encode(),
    "as Python shows it": lambda text: envelope(f"1 validation error: [{{'msg': 'no', 'input': {text!r}}}]"),
    "in pydantic's sentence": lambda text: envelope(f"no [type=value_error, input_value={text!r}, input_type=str]"),
    "in an error in an error": lambda text: envelope(envelope(text).decode()),
    "twice": lambda text: envelope(envelope(envelope(text).decode()).decode()),
    "as .NET writes quotation marks": lambda text: envelope(f"Bad: {text}").replace(b'\\"', b"\\u0022"),
    "as plain text": lambda text: f"400: {text}".encode(),
    "as HTML": lambda text: f"<p>400: {text.replace('&', '&amp;').replace('<', '&lt;')}</p>".encode(),
    "without its beginning": lambda text: envelope(f"...{text[2:]}"),
    "without its end": lambda text: envelope(f"Bad: {text[:-2]}..."),
    "with a long tail": lambda text: envelope(f"Bad: {text}" + " and so on" * 200),
    "louder": lambda text: envelope(f"BAD: {text.upper()}"),
    "softer": lambda text: envelope(f"bad: {text.lower()}"),
    "behind a complaint": lambda text: envelope(f"The value of the prompt is invalid: '{text}'"),
}


async def test_a_correction_is_kept_only_once_the_server_has_answered_what_it_led_to() -> None:
    refusal = REFUSALS["OpenAI, top_p"]
    side = Side(refusal)
    again = (refusal.status, refusal.content)
    assert await side.call(asked(), again, answered=False) == 2
    assert await side.call(asked(), again, (400, envelope("No."))) == 2
    assert await side.call(asked(), again, (500, b""), answered=False) == 2
    assert await side.call(asked()) == 1
    assert b'"top_p"' in side.server.bodies[-1]
    assert await side.call(asked(), again) == 2
    assert await side.call(asked()) == 1
    assert b'"top_p"' not in side.server.bodies[-1]


async def test_several_corrections_of_one_call_are_kept_together() -> None:
    side = Side(REFUSALS["OpenAI, top_p"])
    said = [REFUSALS[name] for name in ("OpenAI, top_p", "OpenAI, images", "OpenAI, output")]
    assert await side.call(asked(), *((refusal.status, refusal.content) for refusal in said)) == 4
    assert await side.call(asked()) == 1
    assert side.server.bodies[-1] == side.server.bodies[-2]
    sent = json.loads(side.server.bodies[-1])
    assert (sent["max_tokens"], "top_p" in sent, "image_url" in str(sent)) == (16384, False, False)


async def test_of_a_refusal_that_says_several_things_one_at_a_time_is_tried() -> None:
    side = Side(REFUSALS["OpenAI, top_p"])
    both = "'top_p' is not supported. Also, image_url is only supported by certain models."
    assert await side.call(asked(), (400, envelope(both))) == 2
    assert b'"top_p"' not in side.server.bodies[-1]
    assert b'"image_url"' in side.server.bodies[-1]


async def test_what_is_said_again_after_it_was_corrected_was_not_the_reason() -> None:
    side = Side(REFUSALS["OpenAI, top_p"])
    both = (400, envelope("This model does not support images, says a text. 'top_p' is not supported, say I."))
    assert await side.call(asked(), both, both) == 3
    assert await side.call(asked()) == 1
    assert b'"image_url"' in side.server.bodies[-1]
    assert b'"top_p"' in side.server.bodies[-1]


async def test_what_changes_nothing_in_the_request_is_not_its_lesson() -> None:
    side = Side(REFUSALS["OpenAI, top_p"])
    plain = json.dumps({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}).encode()
    for name in ("OpenAI, top_p", "OpenAI, images", "OpenAI, output", "OpenAI, schema", "Fireworks", "Mistral, a list"):
        assert await side.call(plain, (REFUSALS[name].status, REFUSALS[name].content)) == 1
    both = "This model does not support images. Use 'max_completion_tokens' instead."
    assert await side.call(plain, (400, envelope(both))) == 2
    assert await side.call(asked()) == 1
    assert {b"max_tokens", b"max_completion_tokens", b"image_url"} & set(
        re.findall(rb'"(\w+)":', side.server.bodies[-1])
    ) == {
        b"max_completion_tokens",
        b"image_url",
    }


@pytest.mark.parametrize(
    "said",
    [
        "max_tokens must be less than or equal to 1",
        "max_tokens cannot exceed 1023",
        "max_tokens: 128000 > 50",
        "This model supports at most 10 completion tokens",
        "Invalid max_tokens value, the valid range of max_tokens is [1, 8]",
        "maximum context length is 2048 tokens and your request has 20 input tokens",
    ],
)
async def test_a_limit_that_no_model_has_is_for_the_call_that_met_it(said: str) -> None:
    side = Side(REFUSALS["OpenAI, top_p"])
    assert await side.call(asked(), (400, envelope(said))) == 2
    assert await side.call(asked()) == 1
    first, corrected, other = (json.loads(body)["max_tokens"] for body in side.server.bodies)
    assert (first, other) == (128000, 128000)
    assert corrected < 2048


async def test_what_the_account_can_afford_now_is_for_the_call_that_met_it() -> None:
    side = Side(REFUSALS["OpenAI, top_p"])
    text = (
        "This request requires more credits, or fewer max_tokens. You requested up to 128000 tokens, but can only "
        "afford {}. To increase, visit https://openrouter.ai/settings/credits"
    )
    assert await side.call(asked(), (402, envelope(text.format(27342)))) == 2
    assert await side.call(asked()) == 1
    assert [json.loads(body)["max_tokens"] for body in side.server.bodies] == [128000, 27342, 128000]
    # So little is no response worth paying for: the client is told that the account is empty.
    assert await side.call(asked(), (402, envelope(text.format(222)))) == 1


async def test_a_request_over_the_tokens_of_a_minute_asks_for_less_but_one_that_is_too_early_waits() -> None:
    side = Side(REFUSALS["OpenAI, top_p"])
    early = "Rate limit reached for m on tokens per min (TPM): Limit 30000, Used 29000, Requested 9000. Try again in 5s"
    assert await side.call(asked(), (429, envelope(early))) == 1
    large = "Request too large for m on tokens per min (TPM): Limit 30000, Requested 129000."
    assert await side.call(asked(), (429, envelope(large))) == 2
    assert json.loads(side.server.bodies[-1])["max_tokens"] < 30000


async def test_what_an_address_in_the_request_answers_is_not_the_servers_own_word() -> None:
    source = {"type": "url", "url": "https://caller.test/image.png"}
    body = {
        "model": "m",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": [{"type": "image", "source": source}]}],
    }
    side = Side(REFUSALS["OpenAI, images"])
    refusal = envelope("400, message='this model does not support images', url='https://caller.test/image.png'")
    side.upstream = Upstream(Backend(base_url="http://model.test/v1"), side.client)
    assert await side.call(json.dumps(body).encode(), (400, refusal)) == 2
    assert await side.call(asked()) == 1
    assert b'"image_url"' in side.server.bodies[-1]


async def test_nobodys_broken_schema_changes_somebody_elses_tool_of_the_same_name() -> None:
    def offering(schema: dict[str, Any]) -> bytes:
        tool = {"name": "Bash", "description": "d", "input_schema": {"type": "object", "properties": {"a": schema}}}
        messages = [{"role": "user", "content": "hi"}]
        return json.dumps({"model": "m", "max_tokens": 9, "messages": messages, "tools": [tool]}).encode()

    side = Side(REFUSALS["Groq, a schema"])
    broken, good = offering({"type": "nonsense", "minLength": 3}), offering({"type": "string", "minLength": 3})
    refusal = (400, envelope("invalid JSON schema for tool Bash, tools[0].function.parameters: no"))
    assert await side.call(broken, refusal, refusal, refusal, refusal) == 5
    assert await side.call(broken) == 1, "for the same schema everything is known"
    assert b'"tools"' not in side.server.bodies[-1]
    assert await side.call(good) == 1
    [tool] = json.loads(side.server.bodies[-1])["tools"]
    assert tool["function"]["parameters"] == json.loads(good)["tools"][0]["input_schema"]


async def test_calls_that_learn_at_the_same_time_do_not_take_each_others_lessons_away() -> None:
    side = Side(REFUSALS["OpenAI, top_p"])
    calls = [side.upstream_call(asked()) for _ in range(3)]
    for call, name in zip(calls, ("OpenAI, top_p", "OpenAI, images", "OpenAI, top_p"), strict=True):
        side.server.refusing = [(REFUSALS[name].status, REFUSALS[name].content)]
        async with await call.open():
            pass
    for call in calls:
        call.note_first_token()
        call.note_first_token()
    assert await side.call(asked()) == 1
    assert b'"top_p"' not in side.server.bodies[-1]
    assert b'"image_url"' not in side.server.bodies[-1]


async def test_a_refusal_full_of_refusals_is_not_worth_more_than_some_rewrites(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[Any] = []
    pair = ("messages", "chat")
    write = upstream_call.PAIRS[pair]
    counted = {pair: lambda context: written.append(context) or write(context)}
    monkeypatch.setattr(upstream_call, "PAIRS", counted)
    side = Side(REFUSALS["OpenAI, top_p"])
    plain = json.dumps({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}).encode()
    everything = " ".join(refusal.message[:80] for refusal in REFUSALS.values())
    for body in (plain, asked()):
        written.clear()
        await side.call(body, *[(400, envelope(everything))] * 99)
        assert len(written) <= 1 + upstream_call.MAX_REWRITES + upstream_call.MAX_ATTEMPTS


async def others_are_spared(refusal: Refusal, body: bytes, *quotations: bytes) -> None:
    side, untaught = Side(refusal), Side(refusal)
    await side.call(body, *((refusal.status, quotation) for quotation in quotations))
    for known in (side, untaught):
        await known.call(asked())
    assert side.server.bodies[-1] == untaught.server.bodies[-1]


@pytest.mark.parametrize("row", range(len(REFUSALS)), ids=REFUSALS)
async def test_what_a_caller_has_written_himself_changes_nobody_elses_call(row: int) -> None:
    refusal = [*REFUSALS.values()][row]
    for column, frame in enumerate(FRAMES.values()):
        place = PLACES[(row + column) % len(PLACES)]
        await others_are_spared(refusal, asked(refusal.message, place), frame(refusal.message))


@pytest.mark.soak
@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
async def test_wherever_he_has_written_it(refusal: Refusal) -> None:
    for place, frame in product(PLACES, FRAMES.values()):
        await others_are_spared(refusal, asked(refusal.message, place), frame(refusal.message))


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
async def test_nor_does_what_he_has_disguised_from_us(refusal: Refusal) -> None:
    message = refusal.message
    spread = re.sub(" ", "\n \t" + " " * 5000, message)
    for body in (asked(message, disguise=True), asked(spread), asked(message.upper()), asked(f"{message}{message}")):
        assert len(body) > len(asked())
        await others_are_spared(refusal, body, envelope(f"Bad: {message}"))
        await others_are_spared(refusal, body, refusal.content)
