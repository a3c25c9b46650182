"""What a chat completion says beside its content: id, model, finish reason, usage, errors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from asgi_llmgate.exchange_values import ResponseMetadata, Usage
from asgi_llmgate.protocol.buffer_limit import MAX_METADATA
from asgi_llmgate.protocol.chat import finish_reasons
from asgi_llmgate.protocol.chat.chunks import Choice, Chunk, is_given
from asgi_llmgate.protocol.servers.errors.upstream_errors import reported_error, unnamed_error
from asgi_llmgate.protocol.token_usage import Counts, chat_usage, estimate_output


class MetadataReader:
    """Reads the metadata of one response, chunk by chunk: the first id and model, the last usage and finish reason.

    `input_estimate` is the tokens of the prompt, for a server that does not count them.  `has_names`: id and model are
    known, so a chunk without usage and error has nothing new.  `matched_stop` is the one of
    the client's `stop_sequences` that the server reports as matched.
    """

    __slots__ = (
        *("_input_estimate", "_stop_sequences", "_usage"),
        *("finish_reason", "has_names", "id", "matched_stop", "model"),
    )

    def __init__(self, input_estimate: int, stop_sequences: tuple[str, ...] = ()) -> None:
        self._input_estimate = input_estimate
        self._stop_sequences = stop_sequences
        self._usage: Usage | None = None
        self.id = ""
        self.model = ""
        self.has_names = False
        self.finish_reason = ""
        self.matched_stop: str | None = None

    def metadata(self, tool_names: Iterable[str]) -> ResponseMetadata:
        """`tool_names`: the tools that the response calls, with repetitions."""
        reasons = (self.finish_reason,) if self.finish_reason else ()
        return ResponseMetadata(self.model, self.id, reasons, tuple(dict.fromkeys(tool_names)))

    def read_chunk(self, chunk: Chunk, event: bytes) -> None:
        """Read what stands beside the choices; `event` is the chunk's JSON.  Raises the UpstreamError in it."""
        if (chunk.error and is_given(chunk.error)) or (chunk.object == "error" and not chunk.choices):
            raise reported_error(event)
        # Every server says what a chunk is, except in the errors of some of them, which have no field `error`.
        is_named = chunk.object or chunk.usage is not None
        is_odd = not chunk.choices and (chunk.choices is None or not is_named or chunk.base_resp)
        if is_odd and (error := unnamed_error(event)) is not None:
            raise error
        if not self.has_names:
            self.id = self.id or (chunk.id or "")[:MAX_METADATA]
            self.model = self.model or (chunk.model or "")[:MAX_METADATA]
            self.has_names = bool(self.id and self.model)
        if chunk.x_groq is not None and chunk.x_groq.usage is not None:
            self._read_usage(chunk.x_groq.usage)
        if chunk.usage is not None:
            self._read_usage(chunk.usage)

    def read_choice(self, choice: Choice) -> None:
        """Raises the UpstreamError that the choice ends in, if it does."""
        if choice.error and is_given(choice.error):
            raise reported_error(bytes(choice.error))
        if choice.usage is not None:
            self._read_usage(choice.usage)
        if choice.finish_reason:
            if failure := finish_reasons.failure(choice.finish_reason):
                raise failure
            self.finish_reason = choice.finish_reason[:MAX_METADATA]
            if self._stop_sequences:
                self.matched_stop = finish_reasons.matched_stop(
                    (choice.stop_reason, choice.matched_stop), self._stop_sequences
                )

    def had_no_room(self) -> bool:
        """Whether the context window was full before the first token: a limit has ended a response of no tokens.

        LMDeploy, Xinference and Xiaomi's MiMo respond so to a conversation that is too long.
        """
        usage = self._usage
        return (
            finish_reasons.ending(self.finish_reason) == "length"
            and usage is not None
            and usage.input > 0
            and usage.output == 0
        )

    def usage(self, size: int) -> Usage:
        """The server's last counts; what it has not counted is estimated.  `size`: bytes that the model has written."""
        usage = self._usage or Usage()
        if usage.input and (usage.output or not size):
            return usage
        return replace(
            usage,
            input=usage.input or self._input_estimate,
            output=usage.output or estimate_output(size),
            estimated=True,
        )

    def _read_usage(self, counts: Counts) -> None:
        self._usage = chat_usage(counts) or self._usage
