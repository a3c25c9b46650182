"""Anthropic's `stop_reason` for a response of a chat completions server.

https://platform.claude.com/docs/en/api/handling-stop-reasons
"""

from __future__ import annotations

from asgi_llmgate.protocol.chat.finish_reasons import Ending


def stop_reason(ended: Ending | None, *, has_tool_calls: bool, refused: bool, stop_matched: bool) -> str:
    """`ended`: how the model ended, as its finish reason says; None, an unknown one, counts as `stop`.
    `has_tool_calls`: the client was sent a tool call.  `refused`: the model wrote a `refusal`.  `stop_matched`: the
    server reports that a stop sequence of the client matched."""
    if refused or ended == "refusal":
        return "refusal"
    if ended == "length":
        return "max_tokens"
    # Ollama and others end tool calls with `stop`, and a client that reads `end_turn` after a tool call runs no tool.
    if has_tool_calls:
        return "tool_use"
    return "stop_sequence" if stop_matched else "end_turn"
