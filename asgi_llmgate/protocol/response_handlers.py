"""One answer on its way from a model server to the client.

A carrier is fed what the server sends, event by event or as one document, and gives the bytes that the client gets.  A
server that speaks another wire has its answer translated; one that speaks the client's own has it handed on, and read
on the way, for the record and for the end: an answer that breaks off must not look like one that is whole.

    client's wire   server's wire   carrier
    --------------  --------------  -----------------------------------
    anthropic       openai          Translated          (this module)
    anthropic       anthropic       native.MessagesForwarder
    openai          openai          completions.ChatForwarder
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from asgi_llmgate.errors import GateError
from asgi_llmgate.exchange import Answer, Usage
from asgi_llmgate.protocol.buffer_limit import BufferLimit
from asgi_llmgate.protocol.messages.events import Emitter, MessageEmitter, SSEEmitter
from asgi_llmgate.protocol.translation.response import Translator
from asgi_llmgate.protocol.translation.response_plan import ResponsePlan


class ResponseHandler(Protocol):
    """`started`: something has been told that no other attempt can take back.  `done`: nothing more will be told.
    `error`: what the answer ended in, if not well.  No method raises, but `take` where there is only an error to tell.
    """

    @property
    def started(self) -> bool: ...
    @property
    def done(self) -> bool: ...
    @property
    def error(self) -> GateError | None: ...
    @property
    def usage(self) -> Usage: ...
    @property
    def answer(self) -> Answer: ...
    @property
    def reported(self) -> Sequence[str]: ...

    def ping(self) -> None:
        """The server is silent; a stream may have to begin without it."""

    def step(self, event: bytes) -> None:
        """The data of one server-sent event."""

    def whole(self, document: bytes) -> None:
        """The answer, which came as one JSON document."""

    def finish(self) -> None:
        """The server's events have ended."""

    def fail(self, error: GateError) -> None:
        """Something went wrong."""

    def take(self) -> bytes:
        """What is ready for the client."""


class Translated:
    """The Translator with its emitter.  With `local` nobody is asked: the answer is that text.  `retained` counts what
    is kept of the answer."""

    def __init__(
        self,
        plan: ResponsePlan,
        *,
        stream: bool,
        request_id: str,
        local: str | None = None,
        retained: BufferLimit | None = None,
    ) -> None:
        retained = retained or BufferLimit()
        self._out: Emitter
        if stream:
            self._out = events = SSEEmitter(request_id)
            self.take = events.take
        else:
            self._out = message = MessageEmitter(retained)
            self.take = message.message
        self._translator = translator = Translator(plan, retained)
        self.reported = translator.reported
        if local is not None:
            translator.locally(local, self._out)

    @property
    def started(self) -> bool:
        return self._translator.started

    @property
    def done(self) -> bool:
        return self._translator.done

    @property
    def error(self) -> GateError | None:
        return self._translator.error

    @property
    def usage(self) -> Usage:
        return self._translator.usage

    @property
    def answer(self) -> Answer:
        return self._translator.answer

    def ping(self) -> None:
        self._translator.begin(self._out)
        self._out.ping()

    def step(self, event: bytes) -> None:
        self._translator.step(event, self._out)

    def whole(self, document: bytes) -> None:
        self._translator.whole(document, self._out)

    def finish(self) -> None:
        self._translator.finish(self._out)

    def fail(self, error: GateError) -> None:
        self._translator.fail(error, self._out)
