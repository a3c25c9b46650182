"""The question of Claude Code's own classifier: whether a tool call may run.  It is a Messages request of this shape:

    system         billing data, then the classifier's prompt, by which `MessagesRequest.request_class` knows it
    one message    ..., a line `<transcript>`, lines of JSON such as {"user": "..."} and {"Bash": "ls"}, a line
                   `</transcript>`, and what the answer is to look like
    answer         `<block>no`, or `<block>yes</block><reason>...</reason>`

The call in question is the last line of the transcript.  The line has a text in place of the call's input; here are
the tools whose input such a text tells for certain.  The same prompt also asks how severe the work of a sub-agent is:
that is about no call.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from asgi_llmgate.exchange_values import ToolUse, Verdict
from asgi_llmgate.protocol.messages.request import SAFEGUARD, MessagesRequest
from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.objects import to_json

_ID = "toolu_in_question"

_NO_TAGS = str.maketrans("<>", "()")
"""The client does not resolve character references."""


def tool_use_in_question(request: MessagesRequest) -> ToolUse | None:
    """The tool call; None where the request is no such question, or does not tell the call for certain."""
    if request.request_class != SAFEGUARD or request.stream or len(request.messages) != 1:
        return None
    texts = [objects.read_str(block.fields.get("text")) for block in request.messages[0].content]
    if not texts or "<block>" not in texts[-1]:
        return None
    lines = [line for text in texts for line in text.splitlines() if line.strip()]
    if lines.count("<transcript>") != 1 or lines.count("</transcript>") != 1:
        return None
    return _read_line(lines[lines.index("</transcript>") - 1])


def answer(verdict: Verdict, *, id: str, model: str) -> bytes:
    """The Message that answers the question.  `id` is its own, `model` the one that was asked."""
    text = "<block>no</block>"
    if verdict.outcome == "flag":
        text = f"<block>yes</block><reason>{verdict.explanation.translate(_NO_TAGS)}</reason>"
    return to_json(
        {
            "id": id,
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [{"type": "text", "text": text}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 0, "output_tokens": 0},
        }
    )


def _read_line(line: str) -> ToolUse | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or len(found) != 1:
        return None
    [(name, text)] = found.items()
    read = _INPUTS.get(name)
    if read is None or not isinstance(text, str) or (arguments := read(text)) is None:
        return None
    return ToolUse(_ID, name, to_json(arguments))


def _web_fetch(text: str) -> Mapping[str, str] | None:
    url, separator, prompt = text.partition(": ")  # there is no blank in a URL
    return {"url": url, "prompt": prompt} if separator else None


_INPUTS: Mapping[str, Callable[[str], Mapping[str, str] | None]] = {
    "Bash": lambda text: {"command": text},
    "PowerShell": lambda text: {"command": text},
    "WebFetch": _web_fetch,
    "WebSearch": lambda text: {"query": text},
}
"""Tool -> its input from the text of a line.  Of a file that is written or edited a line does not tell the path for
certain, of an agent not its kind, and of tools of MCP servers not the names of the arguments."""
