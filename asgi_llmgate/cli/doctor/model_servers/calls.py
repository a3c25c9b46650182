"""The calls that Claude Code's first minute consists of: a response, a stream, a tool call, and the tool's result.

They go through the gateway's own endpoints, without authentication, rules, limits and usage records. A model is asked
for some 150 tokens of input four times: a fraction of a cent.

Some chat templates have no tools: the server takes the tools of a request and leaves them out of the prompt. The prompt
with a tool then has as many tokens as the one without.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from asgi_llmgate.cli.doctor.asking import MAX_RESPONSE, Answer, ask
from asgi_llmgate.cli.doctor.model_servers.advice import NO_TOOLS, advice_on, path_of
from asgi_llmgate.cli.doctor.model_servers.server import Server
from asgi_llmgate.cli.doctor.steps import Step, Steps, told
from asgi_llmgate.endpoints.app import TranslationApp
from asgi_llmgate.routing import ModelRow, ModelTable
from asgi_llmgate.running_state import RunningState

_PROMPT = "Read the file README.md. Use the tool Read for it, and write nothing else."

TOOL = {
    "name": "Read",
    "description": (
        "Reads a file of the project and returns its whole content. Use this tool whenever the user asks for a file: "
        "you cannot see files in another way."
    ),
    "input_schema": {
        "type": "object",
        "properties": {"file_path": {"type": "string", "description": "The path of the file to read"}},
        "required": ["file_path"],
    },
}

_LEAST_TOOL_TOKENS = 12
"""Tokens that a prompt with the tool has more than one without, at least: its name and its parameter."""

_TOOL_OUTPUT = 512
"""Output tokens of the call with a tool: models that think need some before they call. A slow server writes ten in a
second."""

_CALL_AS_TEXT = re.compile(
    r"<tool_call|<function[=_ ]|\[TOOL_CALLS]|<\|(?:tool|python_tag|call)|\"(?:name|tool|function)\"\s*:\s*\"Read\""
)


_WITH_SERVER_TEXT = frozenset({"RequestRejected", "Failed", "UnknownModel", "PromptTooLong", "Overloaded", "Throttled"})
"""Errors whose message for the client says more than the one for the operator: it has the server's words."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model of a backend, and what asks for it.

    backend  the name of the backend
    name     that of the model there; "" where the row sends any name that it matches
    place    the path of the target in the settings, `row` that of its row
    asked    a name by which a developer asks for it
    match    the pattern of the row
    window   `context_window` of the row, `output` its `max_output_tokens`
    """

    backend: str
    name: str
    place: str
    row: str
    asked: str
    match: str = "*"
    window: int | None = None
    output: int | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Asks the endpoints for the models of one server. `seconds` is the time for one call.

    `state` keeps what the server asks to be corrected, so that it is found out once.
    """

    server: Server
    seconds: float
    state: RunningState = field(default_factory=RunningState)

    async def ask(self, model: Model, **fields: Any) -> Answer:
        """One call, by default of one token; `fields` are those of the request."""
        name, asked = self.server.name, model.name or model.asked
        row = ModelRow("*", (f"{name}/{asked}",), context_window=model.window, max_output_tokens=model.output)
        app = TranslationApp(
            {name: self.server.backend},
            models=ModelTable([row], {name: self.server.backend.vendor}),
            client=self.server.client,
            answer_limit=MAX_RESPONSE,
            state=self.state,
        )
        body = {
            "model": asked,
            "max_tokens": 1,
            "system": [{"type": "text", "text": "You are a coding agent."}],
            "messages": [{"role": "user", "content": _PROMPT}],
            **fields,
        }
        return await ask(app, body, seconds=self.seconds, exchange_token=self.server.token)


async def check_further(caller: Caller, model: Model, plain: Answer, dialect: str) -> Steps:
    """The other three calls, after the `plain` one; after one that fails the next are not made.

    `dialect` is that of the server (`kind_of`).
    """
    # Without the tool: llama.cpp makes an error of a tool call that is cut off.
    streamed = await caller.ask(model, stream=True, max_tokens=16)
    yield about_stream(model, streamed)
    if not streamed.is_good:
        return
    with_tool = await caller.ask(model, stream=True, max_tokens=_TOOL_OUTPUT, tools=[TOOL])
    step = about_tools(model, plain, with_tool, dialect)
    if step is None:  # it has seen the tool and has not used it
        demand = {"tools": [TOOL], "tool_choice": {"type": "any"}, "max_tokens": _TOOL_OUTPUT}
        step = about_demand(model, with_tool, await caller.ask(model, **demand))
    yield step
    if step.state != "error":
        yield await _check_result(caller, model)


async def _check_result(caller: Caller, model: Model) -> Step:
    """The turn after a tool call: chat templates refuse it that do not know the role `tool`."""
    call = {"type": "tool_use", "id": "toolu_01doctor", "name": "Read", "input": {"file_path": "README.md"}}
    result = {"type": "tool_result", "tool_use_id": "toolu_01doctor", "content": "# Example\n\nA file."}
    messages = [
        {"role": "user", "content": _PROMPT},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result]},
    ]
    answer = await caller.ask(model, stream=True, max_tokens=16, tools=[TOOL], messages=messages)
    if not answer.is_good:
        return failed(model, answer, f"a call to {model.name} with the result of a tool")
    return Step(path=model.place, message=f"{model.name} goes on after the result of a tool")


def failed(model: Model, answer: Answer, what: str) -> Step:
    """The step for a call without a Message."""
    words = _told(answer)
    setting, hint = advice_on(answer.error_type, f"{words} {answer.error}")
    path = path_of(model.backend, setting) or model.place
    return Step(state="error", path=path, message=f"{what}: {words}", hint=hint, shown=answer.shown(model.asked))


def _told(answer: Answer) -> str:
    words = told(answer.reason or answer.error, answer.detail)
    servers = answer.error.removeprefix(answer.reason).removeprefix(": ")
    return f"{words}: {servers}" if answer.error_type in _WITH_SERVER_TEXT and servers else words


def about_call(model: Model, answer: Answer) -> Step:
    """The step for the first call, of one token."""
    if not answer.is_good:
        return failed(model, answer, f"a call to {model.name}")
    usage = answer.usage
    counts = "" if usage is None or usage.estimated else f" (tokens: {usage.input} in, {usage.output} out)"
    return Step(path=model.place, message=f"{model.name} responds{counts}")


def about_stream(model: Model, answer: Answer) -> Step:
    """The step for a stream."""
    if not answer.is_good:
        return failed(model, answer, f"a stream of {model.name}")
    if answer.usage is None or answer.usage.estimated:
        message = f"a stream of {model.name} has no token counts: usage records will have estimates"
        return Step(state="warning", path=model.place, message=message, hint="does the server support stream_options?")
    return Step(path=model.place, message=f"{model.name} streams")


def about_tools(model: Model, plain: Answer, with_tool: Answer, dialect: str) -> Step | None:
    """The step for a call with a tool; None where the model has seen the tool and has not called it."""
    if not with_tool.is_good:
        return failed(model, with_tool, f"a call to {model.name} with a tool")
    if calls := with_tool.tool_calls:
        if (
            calls[0].get("name") == "Read"
            and isinstance(calls[0].get("input"), dict)
            and calls[0]["input"].get("file_path")
        ):
            return Step(path=model.place, message=f"{model.name} calls a tool")
        message = f"{model.name} calls a tool with arguments that do not fit its schema"
        return Step(
            state="warning", path=model.place, message=message, hint="Claude Code asks again; a larger model helps"
        )
    if _CALL_AS_TEXT.search(with_tool.text):
        message = (
            f"{model.name} writes its tool call as text: the server does not parse it, and Claude Code cannot work"
        )
        hint = advice_on("", "tool-call-parser")[1] + "; or set the `dialect` of the server"
        return Step(state="error", path=model.place, message=message, hint=hint)
    if not _sees_tools(plain, with_tool):
        before, after = _input(plain), _input(with_tool)
        message = (
            f"{model.name} never sees the tools: the prompt has {after} tokens with a tool and {before} without: the "
            "chat template has no tools, and Claude Code cannot work"
        )
        hint = NO_TOOLS.get(dialect, "use a model whose chat template has tools")
        return Step(state="error", path=model.place, message=message, hint=hint)
    return None


def _sees_tools(plain: Answer, with_tool: Answer) -> bool:
    """Whether the prompt with a tool is longer than the one without; True where it is not known."""
    before, after = _input(plain), _input(with_tool)
    return before is None or after is None or after - before >= _LEAST_TOOL_TOKENS


def _input(answer: Answer) -> int | None:
    """The tokens of the prompt, where the server has counted them."""
    return None if answer.usage is None or answer.usage.estimated else answer.usage.input


def about_demand(model: Model, with_tool: Answer, demanded: Answer) -> Step:
    """The step for a model that has not called a tool by itself, from what it did when a call was demanded."""
    if with_tool.stop_reason == "max_tokens":
        message = (
            f"{model.name} wrote {_TOOL_OUTPUT} tokens and no tool call, so it is not known whether it can call tools"
        )
        return Step(state="warning", path=model.place, message=message, hint="try it with Claude Code")
    if demanded.is_good and demanded.tool_calls:
        message = f"{model.name} calls a tool only when it must; Claude Code leaves it the choice"
        return Step(state="warning", path=model.place, message=message, hint="use a model that is made for tools")
    message = f"{model.name} does not call the tool that it was told to use, and Claude Code cannot work with it"
    return Step(state="error", path=model.place, message=message, hint="use a model that is made for tools")
