"""What the person has written in a conversation of Claude Code, as far as the wire can tell.

A classifier may believe the person, and nobody else: a repository, a web page or a tool may have written the rest.  But
a user message holds much that no person has typed.  Observed, in its text blocks:

    begins with, or follows                       what it is                                        taken
    --------------------------------------------  ------------------------------------------------  -----
    `<system-reminder>` or another such tag       CLAUDE.md, files, hooks, notifications, output    no
    anything after `<command-name>`               the text of a command's or a skill's file         no
    `This session is being continued ...`         a summary that the model has written              no
    a `tool_result`                               notes of the client, the text of a skill          no
    a `tool_result`, and begins with              what the person typed meanwhile                   yes
      `The user sent a new message ...`
    `[Request interrupted by user ...]`           what the person typed next                        yes
    none of these                                 the prompt                                        yes

So a text is taken only where nothing speaks against it.  What somebody else has written cannot end its own block.  In
the conversation of a sub-agent a model has written the user's messages: none is to be taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from asgi_llmgate.protocol.messages.blocks import Block, Message
from asgi_llmgate.protocol.messages.request import MessagesRequest
from asgi_llmgate.protocol.rawjson import objects

_TAG = re.compile(r"\s*<[A-Za-z][\w-]*[\s>/]")
"""How texts of the client begin; it tells them by the same rule when it shows a conversation."""

_COMMAND = re.compile(r"\s*<command-(?:name|message)[\s>]")

_INSIDE = re.compile(
    r"<(?:system[-_]reminder|pasted_content|command-|local-command-|bash-|task-notification|teammate-message|channel"
    r"|cross-session-message|agent-message|fetched-web-content|persisted-output|function_results|tool_use_error"
    r"|ide_|user-prompt-submit-hook|post-tool-use-hook)",
    re.IGNORECASE,
)
"""Tags of the client's that may come inside of a person's text: from there on it may be somebody else's."""

_CLIENT_TEXTS = (
    *("This session is being continued from a previous", "CRITICAL: Respond with TEXT ONLY", "Your task is to create"),
    *("Implement the following plan:", "Base directory for this skill:", "This skill is served by MCP server"),
    *("Another Claude session sent a message", "A peer session sent a message", "Stop hook ", "Tool loaded."),
    *("A plan file exists", "A plan exists", "The user opened the file", "The user selected", "Caveat: The messages"),
    *("Continue from where you left off", "Output token limit hit", "API Error", "Unknown command", "Unknown skill"),
)
"""How texts without a tag begin that the client writes, or has from a model."""

_INTERRUPTED = "[Request interrupted by user"

_MARKED = re.compile(r"\[(?!Image #\d+\])")
"""Notes of the client, such as `[SCHEDULED TASK - ...]`.  `[Image #1]` is what a person's text has for an image."""

_QUEUED = "The user sent a new message while you were working:\n"
_QUEUED_END = "\n\nThis is how Claude Code"

_TEXT_TOOLS = frozenset({"Skill", "SlashCommand"})
"""Tools after whose result the client writes a file's text into the conversation, without a tag."""

_SUBAGENT = "cc_is_subagent=true"


def is_subagent(request: MessagesRequest, agent_id: str) -> bool:
    """Whether this is the conversation of a sub-agent, by the client's header or by its first system block."""
    first = request.system[0] if request.system else None
    return bool(agent_id) or (first is not None and _SUBAGENT in objects.read_str(first.fields.get("text"))[:1000])


def person_texts(messages: Sequence[Message]) -> Iterator[str]:
    """The texts that the person has written, in order."""
    turn = _Turn(frozenset())
    for message in messages:
        if message.role == "assistant":
            turn = _Turn(frozenset(_tool_names(message)))
        elif message.role == "user":
            for block in message.content:
                if text := turn.read(block):
                    yield text


class _Turn:
    """The user messages between two of the assistant, which has just called the tools `called`."""

    def __init__(self, called: frozenset[str]) -> None:
        self._holds_file = not _TEXT_TOOLS.isdisjoint(called)
        self._is_after_result = False
        self._is_after_command = False

    def read(self, block: Block) -> str:
        """The person's text in the next block; "" where it has none."""
        if block.type == "tool_result":
            self._is_after_result = True
            return ""
        if block.type != "text" or self._is_after_command or (self._holds_file and self._is_after_result):
            return ""
        text = objects.read_str(block.fields.get("text")).strip()
        if _COMMAND.match(text):
            self._is_after_command = True
        if text.startswith(_INTERRUPTED):
            self._is_after_result = False
            return ""
        if self._is_after_result:
            if not text.startswith(_QUEUED):
                return ""
            text = text.removeprefix(_QUEUED).partition(_QUEUED_END)[0].strip()
        if _TAG.match(text) or _MARKED.match(text) or text.startswith(_CLIENT_TEXTS):
            return ""
        return _own_part(text)


def _own_part(text: str) -> str:
    found = _INSIDE.search(text)
    return text if found is None else text[: found.start()].rstrip()


def _tool_names(message: Message) -> Iterator[str]:
    return (objects.read_str(block.fields.get("name")) for block in message.content if block.type == "tool_use")
