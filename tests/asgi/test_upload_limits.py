"""How slow a body may be, and what all bodies together may hold: over a clock that only the client's pauses move."""

from __future__ import annotations

import asyncio
import gzip
import threading
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_llmgate._types import Message
from asgi_llmgate.asgi import Body, Uploads
from asgi_llmgate.asgi.encodings import PIECE
from asgi_llmgate.asgi.upload_limits import GRACE
from asgi_llmgate.errors import BodyTooLarge, BodyTooSlow, ClientGone, GateError, InvalidRequest, TooManyBodies
from tests.asgi.test_body import brotli, raw_deflate, zstd

KIB, MIB = 2**10, 2**20
RATE = 16 * KIB


class Clock:
    """Seconds, and a timeout over them."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    @asynccontextmanager
    async def timer(self, seconds: float) -> AsyncIterator[None]:
        end = self.now + seconds
        yield
        if self.now > end:
            self.now = end
            raise TimeoutError


class Client:
    """Sends pieces, each after so many seconds; then leaves, or is silent for ever."""

    def __init__(self, clock: Clock, pieces: Iterable[tuple[float, bytes]], *, then: str = "ends") -> None:
        self._clock, self._pieces, self._then = clock, iter(pieces), then
        self.sent = 0

    async def __call__(self) -> Message:
        for pause, data in self._pieces:
            if pause:
                await asyncio.sleep(0)
                self._clock.now += pause
            self.sent += len(data)
            return {"type": "http.request", "body": data, "more_body": True}
        if self._then == "is cancelled":
            raise asyncio.CancelledError
        if self._then == "leaves":
            return {"type": "http.disconnect"}
        if self._then == "is silent":
            await asyncio.sleep(0)
            self._clock.now += 3600
        return {"type": "http.request", "body": b"", "more_body": False}


def turns_of(work: Coroutine[Any, Any, Any]) -> tuple[Any, int]:
    """The result of what never waits for anything real, and how often it gives others their turn."""
    turns = 0
    try:
        while work.send(None) is None:
            turns += 1
    except StopIteration as stop:
        return stop.value, turns
    raise AssertionError("it waits")


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return turns_of(work)[0]


def steady(rate: float, size: int, every: float = 1.0) -> list[tuple[float, bytes]]:
    """`size` bytes at a rate."""
    piece = bytes(int(rate * every))
    return [(every, piece)] * (size // len(piece))


SLOW = [
    # name, pieces, then, seconds until it is over, whether it was let through
    ("at once", [(0.0, bytes(MIB))], "ends", 0, True),
    ("nothing", [], "ends", 0, True),
    ("in bytes", [(0.0, b"x")] * 500, "ends", 0, True),
    ("at the rate", steady(RATE, MIB), "ends", 64, True),
    ("8 MiB at the rate", steady(RATE, 8 * MIB), "ends", 512, True),
    ("at twice the rate, with pauses", [*steady(2 * RATE, MIB), (9.0, b"x")], "ends", 41, True),
    ("at the rate after a pause", [(9.9, b"x"), *steady(RATE, MIB)], "ends", 73.9, True),
    ("at a little less, for its size", steady(0.9 * RATE, 2 * MIB), "ends", 142, True),
    ("at a trickle, but small", [(5.0, b"x")] * 4, "ends", 20, True),
    ("silent", [], "is silent", 10, False),
    ("silent after half", [(0.0, bytes(500 * KIB))], "is silent", 10, False),
    ("silent before the last byte", [(0.0, bytes(MIB - 1))], "is silent", 10, False),
    ("silent after a while at the rate", steady(RATE, MIB), "is silent", 74, False),
    ("a byte each 9 seconds", [(9.0, b"x")] * 10_000, "ends", 20, False),
    ("a byte each second", [(1.0, b"x")] * 10_000, "ends", 20, False),
    ("a hundred bytes each second", [(1.0, bytes(100))] * 10_000, "ends", 20.1, False),
    ("nothing, again and again", [(1.0, b"")] * 10_000, "ends", 20, False),
    ("a sixteenth of the rate", steady(KIB, MIB), "ends", 21.3, False),
    ("half of the rate", steady(RATE / 2, MIB), "ends", 40, False),
    ("half of the rate, in larger pieces", steady(RATE / 2, MIB, 8.0), "ends", 36, False),
    ("fast, then a trickle", [(0.0, bytes(10 * RATE)), *[(1.0, b"x")] * 10_000], "ends", 20, False),
    ("30 MiB, then a trickle", [(0.0, bytes(30 * MIB)), *[(1.0, b"x")] * 10_000], "ends", 20, False),
    ("fast, then half of the rate", [(0.0, bytes(MIB)), *steady(RATE / 2, MIB)], "ends", 40, False),
    ("fast, then at the rate", [(0.0, bytes(MIB)), *steady(RATE, MIB)], "ends", 64, True),
    ("a pause that is too long", [(0.0, bytes(MIB)), (10.1, b"x")], "ends", 10, False),
]


@pytest.mark.parametrize("promised", [0, 30 * MIB], ids=["chunked", "a length"])
@pytest.mark.parametrize(
    ("pieces", "then", "seconds", "through"), [row[1:] for row in SLOW], ids=[row[0] for row in SLOW]
)
def test_an_upload_has_seconds_for_what_has_arrived(
    pieces: list[tuple[float, bytes]], then: str, seconds: float, through: bool, promised: int
) -> None:
    clock = Clock()
    headers = {"content-length": str(promised)} if promised else {}
    client = Client(clock, pieces, then=then)
    body = Body(client, headers=headers, uploads=Uploads(now=clock, timer=clock.timer))
    if through:
        assert len(run(body.read())) == client.sent
    else:
        with pytest.raises(BodyTooSlow):
            run(body.read())
    assert clock.now == pytest.approx(seconds, abs=1)


def test_what_is_there_already_is_not_too_late() -> None:
    """A process that stood still has not asked for it."""
    clock = Clock()
    body = Body(Client(clock, [(0.0, b"ab")] * 3), headers={}, uploads=Uploads(now=clock, timer=clock.timer))
    clock.now = 1000
    assert run(body.read()) == b"ab" * 3


@pytest.mark.parametrize(
    ("pieces", "words", "retry"),
    [
        ([], "no further piece of the request body arrived for 10 seconds", None),
        ([(1.0, b"x")] * 99, "the request body arrives at less than 16384 bytes per second", False),
    ],
    ids=["a pause", "all along"],
)
def test_it_is_told_what_was_too_slow(pieces: list[tuple[float, bytes]], words: str, retry: bool | None) -> None:
    clock = Clock()
    client = Client(clock, pieces, then="is silent")
    with pytest.raises(BodyTooSlow) as refused:
        run(Body(client, headers={}, uploads=Uploads(now=clock, timer=clock.timer)).read())
    assert (refused.value.message, refused.value.should_retry) == (words, retry)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.0, 0.25, 1.0, 5.0, 9.75, 10.25, 30.0]), st.integers(0, 100 * KIB))))
def test_nobody_holds_an_upload_for_longer_than_its_size_allows(script: list[tuple[float, int]]) -> None:
    """With seconds and a rate that floats hold exactly: an upload that is in time to the last moment is in time."""
    clock, uploads = Clock(), Uploads(now=lambda: clock.now, timer=lambda seconds: clock.timer(seconds))
    body = Body(Client(clock, [(pause, bytes(size)) for pause, size in script]), headers={}, uploads=uploads)
    ahead, arrived, in_time = GRACE, 0, True
    for pause, size in script:
        in_time = in_time and pause <= min(10, ahead)
        ahead, arrived = min(ahead - pause + size / RATE, GRACE), arrived + size
    try:
        assert len(run(body.read())) == arrived
        assert in_time
    except BodyTooSlow:
        assert not in_time
    assert clock.now <= GRACE + arrived / RATE
    body.close()
    assert uploads.held == 0


async def test_a_real_clock_is_the_default() -> None:
    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(BodyTooSlow):
        await Body(receive, headers={}, uploads=Uploads(timeout=0.01)).read()


TEXT = b"".join(b"%d;" % (number * 7919 % 10007) for number in range(60_000))
ENCODINGS: dict[str, Any] = {
    "": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "x-gzip": gzip.compress,
    "br": brotli,
    "zstd": zstd,
}
ENDINGS: dict[str, type[BaseException] | None] = {
    "ends": None,
    "leaves": ClientGone,
    "is silent": BodyTooSlow,
    "is cancelled": asyncio.CancelledError,
    "sends too much": BodyTooLarge,
    "finds no room": TooManyBodies,
    "finds no room at the end": TooManyBodies,
    "breaks the encoding": InvalidRequest,
}


@pytest.mark.parametrize(
    ("ending", "encoding"),
    [(ending, encoding) for ending in ENDINGS for encoding in ENCODINGS if encoding or ending != "breaks the encoding"],
)
def test_what_an_upload_held_is_given_back_however_it_ends(ending: str, encoding: str) -> None:
    clock = Clock()
    raw = ENCODINGS[encoding](TEXT)
    limit = len(TEXT) // 2 if ending == "sends too much" else MIB
    memory = {"finds no room": len(raw) // 2, "finds no room at the end": len(raw) * 5 // 4}.get(ending, 10 * MIB)
    if ending == "breaks the encoding":
        raw = raw[:-9]
    uploads = Uploads(memory=memory, now=clock, timer=clock.timer)
    pieces = [(0.0, raw[start : start + 1000]) for start in range(0, len(raw), 1000)]
    body = Body(
        Client(clock, pieces, then=ending), headers={"content-encoding": encoding}, limit=limit, uploads=uploads
    )
    wanted = ENDINGS[ending]
    if wanted is None:
        assert run(body.read()) == TEXT
        assert uploads.held == len(TEXT) + (len(raw) if encoding else 0)
        body.close()
        body.close()
    else:
        with pytest.raises(wanted):
            run(body.read())
    assert uploads.held == 0


class Noted(Uploads):
    most = 0

    def take(self, size: int) -> bool:
        taken = super().take(size)
        self.most = max(self.most, self.held)
        return taken


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(("size", "of"), [(10, 60 * KIB), (1000, MIB), (65536, MIB), (MIB, MIB)])
def test_what_counts_as_held_is_what_is_held(encoding: str, size: int, of: int) -> None:
    """By the allocator's own account, to 64 KiB: the code's own objects, and the piece on its way."""
    raw, text = ENCODINGS[encoding](TEXT[:of]), TEXT[:of]

    async def receive() -> Message:
        nonlocal start
        data, start = raw[start : start + size], start + size
        return {"type": "http.request", "body": data, "more_body": start < len(raw)}

    clock, start = Clock(), 0
    uploads = Noted(now=clock, timer=clock.timer)
    body = Body(receive, headers={"content-encoding": encoding}, uploads=uploads)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        read = run(body.read())
        held, most = (count - before for count in tracemalloc.get_traced_memory())
    finally:
        tracemalloc.stop()
    assert read == text
    assert most <= uploads.most + 64 * KIB
    assert held <= uploads.held + 64 * KIB


@pytest.mark.parametrize("encoding", [name for name in ENCODINGS if name])
def test_others_have_their_turn_while_a_body_is_unpacked(encoding: str) -> None:
    clock = Clock()
    client = Client(clock, [(0.0, ENCODINGS[encoding](TEXT * 4))])
    uploads = Uploads(now=clock, timer=clock.timer)
    read, turns = turns_of(Body(client, headers={"content-encoding": encoding}, uploads=uploads).read())
    assert read == TEXT * 4
    assert turns >= len(TEXT * 4) // (2 * PIECE)


def test_room_is_shared_by_all_and_found_again() -> None:
    clock = Clock()
    uploads = Uploads(memory=150 * KIB, now=clock, timer=clock.timer)

    def body(size: int) -> Body:
        return Body(Client(clock, [(0.0, bytes(size)), (0.0, bytes(size))]), headers={}, uploads=uploads)

    kept = [body(20 * KIB), body(20 * KIB)]
    for each in kept:
        run(each.read())
    with pytest.raises(TooManyBodies) as refused:
        run(body(20 * KIB).read())
    assert uploads.held == 80 * KIB
    assert refused.value.retry_after is not None
    run(body(KIB).read())
    kept[0].close()
    run(body(10 * KIB).read())


def test_threads_do_not_lose_count() -> None:
    uploads = Uploads(memory=50)

    def work() -> None:
        for _ in range(2000):
            upload = uploads.upload()
            try:
                for size in (10, 30, 20):
                    upload.hold(size)
                    assert uploads.held <= 50
            except GateError:
                pass
            upload.hold(0)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert uploads.held == 0


@cache
def packed(encoding: str, size: int) -> bytes:
    data: bytes = ENCODINGS[encoding](bytes(size))
    return data


COMPRESSED = [name for name in ENCODINGS if name]


@pytest.mark.parametrize("encoding", COMPRESSED)
@pytest.mark.parametrize("size", [MIB + 1, 2 * MIB, 3 * MIB, 8 * MIB])
def test_a_body_does_not_unpack_to_a_hundred_times_its_size(encoding: str, size: int) -> None:
    clock = Clock()
    uploads = Noted(now=clock, timer=clock.timer)
    raw = packed(encoding, size)
    assert size > 100 * len(raw)
    allowed = max(MIB, 100 * len(raw))
    body = Body(Client(clock, [(0.0, raw)]), headers={"content-encoding": encoding}, uploads=uploads)
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLarge, match="unpacks to more than 100 times its size"):
            run(body.read())
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most <= 2 * allowed + 2 * len(raw) + 128 * KIB
    assert uploads.most <= 2 * allowed + 2 * len(raw)
    assert uploads.held == 0


@pytest.mark.parametrize("encoding", COMPRESSED)
def test_a_small_body_may_be_as_empty_as_it_likes(encoding: str) -> None:
    clock = Clock()
    body = Body(
        Client(clock, [(0.0, packed(encoding, MIB))]),
        headers={"content-encoding": encoding},
        uploads=Uploads(now=clock, timer=clock.timer),
    )
    assert len(run(body.read())) == MIB


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(raw_deflate(bytes(2 * MIB)), id="deflate without its wrapping"),
        pytest.param(zlib.compress(bytes(2 * MIB)), id="deflate"),
    ],
)
def test_a_second_try_of_deflate_is_bounded_as_well(raw: bytes) -> None:
    clock = Clock()
    body = Body(
        Client(clock, [(0.0, raw)]),
        headers={"content-encoding": "deflate"},
        uploads=Uploads(now=clock, timer=clock.timer),
    )
    with pytest.raises(BodyTooLarge):
        run(body.read())
