"""The cost of a body until the decision, by its shape: python -m benchmarks.shapes

Bodies of 1, 2, 4 and 8 MB go through a whole gateway, in process, to a rule that reads all of their variables and then
denies. Of each shape: the milliseconds of processor time at each size, the memory beside the body as a multiple of the
body, and the response.  tests/gateway/test_body_shapes.py holds memory and counted work.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import tracemalloc
from collections.abc import Callable, Mapping
from functools import partial

from asgi_llmgate import Gateway, JWTAuthMiddleware, ModelRow, ModelTable, PolicyMiddleware
from asgi_llmgate._types import ASGIApp, Receive, Scope, Send
from asgi_llmgate.route import Route
from asgi_llmgate.testing.driver import Reply, call
from asgi_llmgate.testing.idp import MockIdP

MB = 10**6
SIZES = (MB, 2 * MB, 4 * MB, 8 * MB)

RULE = (
    'llm.model == "never" || llm.maxTokens < 0 || "never" in llm.toolNames || llm.messageCount < 0 '
    "|| llm.hasImages && llm.inputTokensEstimate < 0"
)

_ANTHROPIC = b'{"model":"m","max_tokens":5,"messages":[%s],"tools":[%s]%s}'
_USER = b'{"role":"user","content":"a"}'

Shape = Callable[[int], bytes]


def _times(piece: bytes, size: int) -> bytes:
    """Pieces with commas between them, of about `size` bytes."""
    return b",".join([piece] * (size // (len(piece) + 1)))


def _numbered(piece: bytes, size: int) -> bytes:
    return b",".join(piece % index for index in range(size // (len(piece) + 6)))


def _body(messages: bytes = _USER, tools: bytes = b"", more: bytes = b"") -> bytes:
    return _ANTHROPIC % (messages, tools, more)


def _content(blocks: bytes) -> bytes:
    return _body(b'{"role":"user","content":[%s]}' % blocks)


def _text(text: bytes, size: int) -> bytes:
    return _content(b'{"type":"text","text":"%s"}' % (text * (size // len(text))))


def _deep(opening: bytes, closing: bytes, size: int) -> bytes:
    levels = size // (len(opening) + len(closing))
    return _body(more=b',"x":%s1%s' % (opening * levels, closing * levels))


def _deep_after(levels: int, size: int) -> bytes:
    """As deep as the limit, with a long text at the bottom."""
    return _body(more=b',"x":%s"%s"%s' % (b'{"a":' * levels, b"a" * size, b"}" * levels))


def _nested_blocks(levels: int, size: int) -> bytes:
    around = b'{"type":"tool_result","tool_use_id":"t","content":[' * levels, b"]}" * levels
    return _content(b'{"type":"text","text":"%s"}'.join(around) % (b"a" * size))


_MIXED = b'{"role":"user","content":[{"type":"text","text":"{[,\\"\\u00e9"},{"type":"x","y":[{"z":[1,{"a":-1e5}]}]}]}'
_NAMED = b'{"name":"n%d","input_schema":{}}'

SHAPES: Mapping[str, Shape] = {
    "one long text": partial(_text, b"all work and no play "),
    "a text of braces and commas": partial(_text, b"{[,]},:"),
    "a text of escaped quotes": partial(_text, rb"\""),
    "a text of backslashes": partial(_text, rb"\\"),
    "a text of unicode escapes": partial(_text, rb"\u00e9"),
    "a text of halves of surrogates": partial(_text, rb"\ud83d"),
    "a text with one half of a surrogate": lambda size: _text(rb"\n\u00e9\\", size).replace(rb"\n", rb"\ud83d", 1),
    "a text of emoji": partial(_text, "🙂".encode()),
    "a text with one emoji": lambda size: _text(b"a", size).replace(b"aa", "🙂".encode(), 1),
    "bytes that are no UTF-8": partial(_text, b"\xc3"),
    "messages of a letter": lambda size: _body(_times(_USER, size)),
    "messages without anything": lambda size: _body(_times(b"{}", size)),
    "messages that are none": lambda size: _body(_times(b"1", size)),
    "text blocks": lambda size: _content(_times(b'{"type":"text","text":"a"}', size)),
    "unknown blocks": lambda size: _content(_times(b'{"type":"a"}', size)),
    "blocks of system": lambda size: _body(more=b',"system":[%s]' % _times(b'{"type":"text","text":"a"}', size)),
    "messages of a block": lambda size: _body(_times(b'{"role":"user","content":[{"type":"text","text":"a"}]}', size)),
    "results in results": lambda size: _nested_blocks(size // 50, 10),
    "a long text in results": partial(_nested_blocks, 3),
    "images": lambda size: _content(_times(b'{"type":"image","source":{"type":"url","url":"a"}}', size)),
    "tools": lambda size: _body(tools=_numbered(b'{"name":"n%d"}', size)),
    "tools with one name": lambda size: _body(tools=_times(b'{"name":"a"}', size)),
    "names at the top": lambda size: _body(more=b"," + _numbered(b'"n%d":1', size)),
    "repeated names at the top": lambda size: _body(more=b"," + _times(b'"a":1', size)),
    "names in a message": lambda size: _body(b'{"role":"user","content":"a",%s}' % _numbered(b'"n%d":1', size)),
    "repeated names in a message": lambda size: _body(b'{"role":"user","content":"a",%s}' % _times(b'"a":1', size)),
    "names in a block": lambda size: _content(b'{"type":"x",%s}' % _numbered(b'"n%d":1', size)),
    "names in an input": lambda size: _content(
        b'{"type":"tool_use","id":"a","name":"a","input":{%s}}' % _numbered(b'"n%d":1', size)
    ),
    "names in a schema": lambda size: _body(
        tools=b'{"name":"a","input_schema":{"properties":{%s}}}' % _numbered(b'"n%d":{}', size)
    ),
    "repeated names in a schema": lambda size: _body(
        tools=b'{"name":"a","input_schema":{"properties":{%s}}}' % _times(b'"a":{}', size)
    ),
    "a long name": lambda size: _body(more=b',"%s":1' % (b"a" * size)),
    "a long name of escapes": lambda size: _body(more=b',"%s":1' % (rb"\u0061" * (size // 6))),
    "a long model": lambda size: b'{"model":"%s","max_tokens":5,"messages":[%s]}' % (b"m" * size, _USER),
    "a number of many digits": lambda size: _body(more=b',"x":%s' % (b"9" * size)),
    "max_tokens of many digits": lambda size: b'{"model":"m","max_tokens":%s,"messages":[]}' % (b"9" * size),
    "numbers": lambda size: _body(more=b',"x":[%s]' % _times(b"1", size)),
    "empty lists": lambda size: _body(more=b',"x":[%s]' % _times(b"[]", size)),
    "empty objects": lambda size: _body(more=b',"x":[%s]' % _times(b"{}", size)),
    "strings": lambda size: _body(more=b',"x":[%s]' % _times(b'"a"', size)),
    "strings without commas": lambda size: b'""' * (size // 2),
    "deep lists": partial(_deep, b"[", b"]"),
    "deep objects": partial(_deep, b'{"a":', b"}"),
    "open lists": lambda size: b"[" * size,
    "a long text, deep down": partial(_deep_after, 60),
    "a text, cut": lambda size: _text(b"a", size)[:-20],
    "white space": lambda size: b" " * size + _body(),
    "all of it": lambda size: _body(
        _times(_MIXED, size // 2), _numbered(b'{"name":"n%d","input_schema":{}}', size // 2)
    ),
}

PATHS = ("/v1/messages", "/v1/chat/completions", "/v1/other")
_ROUTES = {
    "/v1/messages": Route("messages"),
    "/v1/chat/completions": Route("completions"),
    "/v1/other": Route("passthrough", "a"),
}


async def _never(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("the rule lets nothing through")


def make_gateway(idp: MockIdP) -> ASGIApp:
    """All layers up to the decision."""
    models = ModelTable([ModelRow("*", ("a",))], {"a": "a"})
    return Gateway(
        _never,
        models=models,
        auth=partial(JWTAuthMiddleware, providers=[idp.provider()]),
        policy=partial(PolicyMiddleware, rules=[RULE]),
        routes=_ROUTES,
    )


async def ask(gateway: ASGIApp, token: str, path: str, body: bytes) -> Reply:
    return await call(gateway, "POST", path, headers={"authorization": f"Bearer {token}"}, content=body, timeout=600)


async def _measure(paths: tuple[str, ...]) -> None:
    idp = MockIdP()
    gateway, token = make_gateway(idp), idp.mint()
    for path in paths:
        print(
            f"\n| {path} | {' | '.join(f'{size // MB} MB' for size in SIZES)} | memory | answer |\n|---|" + "---|" * 6
        )
        for name, shape in SHAPES.items():
            times = [await _milliseconds(gateway, token, path, shape(size)) for size in SIZES]
            body = shape(SIZES[-1])
            tracemalloc.start()
            reply = await ask(gateway, token, path, body)
            memory = tracemalloc.get_traced_memory()[1] / len(body)
            tracemalloc.stop()
            message = json.loads(reply.body)["error"]["message"][:50]
            shown = " | ".join(f"{taken:.0f}" for taken in times)
            print(f"| {name} | {shown} | {memory:.1f} | {reply.status} {message} |")


async def _milliseconds(gateway: ASGIApp, token: str, path: str, body: bytes) -> float:
    """Milliseconds of processor time, in the fastest of three rounds."""
    rounds = []
    for _ in range(3):
        begun = time.process_time()
        await ask(gateway, token, path, body)
        rounds.append(time.process_time() - begun)
    return min(rounds) * 1000


if __name__ == "__main__":
    asyncio.run(_measure(tuple(sys.argv[1:]) or PATHS))
