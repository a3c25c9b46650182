"""The classifier: a model that is asked about the tool calls that no rule has decided about.

It is asked once for all of them, by a Messages request of the gateway's own, which any backend serves: `UpstreamCall`
translates it and makes the corrections that its server asks for.  That is an exchange of its own, with its own record,
for the same caller; it passes no policy and no limit.

A target that fails is followed by the next one, which is asked about what is left.  Each has an equal share of the time
that is left.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

from asgi_llmgate.clipping import clip
from asgi_llmgate.errors import GateError, PromptTooLong, RequestRejected, TimedOut, TooLarge, UnknownModel
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.exchange_values import MAX_EXPLANATION, Target, ToolUse, Verdict
from asgi_llmgate.protocol.messages.request import SAFEGUARD, MessagesRequest
from asgi_llmgate.protocol.messages.safeguards import classifier_context
from asgi_llmgate.protocol.safeguards.conversation import is_subagent, person_texts
from asgi_llmgate.protocol.safeguards.restrictions import read_restrictions
from asgi_llmgate.protocol.token_estimate import Estimator
from asgi_llmgate.safeguards.answer import Answer, Unreadable, read_answer, read_message
from asgi_llmgate.safeguards.asking import ask
from asgi_llmgate.safeguards.prompt import Question, read_text
from asgi_llmgate.upstream import Upstream

log = logging.getLogger("llmgate")

TIMEOUT = 20.0
"""Seconds for all targets together."""

_NOT_CHECKED = "this action could not be checked ({}); try again later, or tell the operator of the gateway"

_FAILURES = {
    "timeout": "the check took too long",
    "input_too_long": "it is too long to be checked",
    "error": "the check has failed",
}
"""Why there is no verdict: in the client's words, which it knows, and in a flag."""


class Classifier:
    """Asks a model about tool calls.

    targets       the models to ask, the next one where one fails
    upstreams     the backends of these targets, by name
    timeout       seconds, for all targets together
    on_failure    what a call is about which there is no answer; `unavailable`: the client decides itself
    instructions  what is to be flagged, in place of the package's own text
    estimator     estimates the tokens of the prompt, and learns from the counts of the servers
    """

    def __init__(
        self,
        targets: Sequence[Target],
        upstreams: Mapping[str, Upstream],
        *,
        timeout: float = TIMEOUT,
        on_failure: Literal["unavailable", "flag"] = "unavailable",
        instructions: str = "",
        estimator: Estimator | None = None,
    ) -> None:
        self._targets = tuple(targets)
        self._upstreams = upstreams
        self._timeout = timeout
        self._on_failure: Literal["unavailable", "flag"] = on_failure
        self._instructions = instructions or read_text("instructions")
        self._estimator = estimator or Estimator()
        self._plain: set[Target] = set()  # those that have refused a request that is not plain

    async def classify(
        self, exchange: Exchange, request: MessagesRequest, tool_uses: Sequence[ToolUse]
    ) -> Sequence[Verdict]:
        """One verdict for each tool use, in order.  Raises nothing but CancelledError."""
        started = time.monotonic()
        person, restrictions = _known(exchange, request)
        results = [_Result("timeout")] * len(tool_uses)
        for number, target in enumerate(self._targets):
            open = [index for index, result in enumerate(results) if result.answer is None]
            seconds = started + self._timeout - time.monotonic()
            if not open or seconds <= 0:
                break
            question = Question.about([tool_uses[index] for index in open], person, restrictions)
            share = seconds / (len(self._targets) - number)
            for index, result in zip(open, await self._results(exchange, target, question, share), strict=True):
                results[index] = result
        milliseconds = (time.monotonic() - started) * 1000
        return [self._verdict(use, result, milliseconds) for use, result in zip(tool_uses, results, strict=True)]

    async def _results(
        self, exchange: Exchange, target: Target, question: Question, seconds: float
    ) -> Sequence[_Result]:
        """What a target says about each call of the question."""
        name = f"{target.backend}/{target.model}"
        answers: Mapping[str, Answer] = {}
        failure = "error"
        try:
            answers = await self._ask(exchange, target, question, seconds)
        except (GateError, Unreadable) as error:
            failure = _failure(error)
            problem = str(error)
        else:
            problem = "" if len(answers) == len(question.ids) else "a verdict is missing"
        if problem:
            log.warning("request %s: no verdict from the classifier %s: %s", exchange.request_id, name, problem)
        return [_result(question, id, answers.get(id), failure, name) for id in question.ids]

    async def _ask(
        self, exchange: Exchange, target: Target, question: Question, seconds: float
    ) -> Mapping[str, Answer]:
        """The answers by the ids of the calls.  Raises GateError and Unreadable."""
        due = time.monotonic() + seconds
        upstream = self._upstreams[target.backend]
        send = partial(ask, upstream, exchange, target, estimator=self._estimator)
        plain = target in self._plain
        try:
            document = await send(question.request(self._instructions, target.model, plain=plain), seconds=seconds)
        except RequestRejected as error:
            # A translated request is corrected by what its server says.  One of a native server is not.
            if plain or upstream.dialect.wire != "messages" or isinstance(error, (PromptTooLong, UnknownModel)):
                raise
            seconds = due - time.monotonic()
            document = await send(question.request(self._instructions, target.model, plain=True), seconds=seconds)
            self._plain.add(target)
        return read_answer(read_message(document), question.ids)

    def _verdict(self, use: ToolUse, result: _Result, milliseconds: float) -> Verdict:
        outcome: Literal["pass", "flag", "unavailable"] = self._on_failure
        explanation = result.failure
        if result.answer is not None:
            outcome = result.answer.outcome
            explanation = clip(" ".join(result.answer.reason.split()), MAX_EXPLANATION) if outcome == "flag" else ""
        elif outcome == "flag":
            explanation = _NOT_CHECKED.format(_FAILURES[result.failure])
        return Verdict(
            tool_use=use,
            outcome=outcome,
            explanation=explanation,
            decided_by="classifier",
            model=result.model,
            milliseconds=milliseconds,
        )


class _Result(NamedTuple):
    """About one call: the answer of a model, or why there is none."""

    failure: str
    answer: Answer | None = None
    model: str = ""


def _result(question: Question, id: str, answer: Answer | None, failure: str, model: str) -> _Result:
    if id in question.cut and (answer is None or answer.outcome == "pass"):
        # Nobody can say that it is harmless.
        return _Result("input_too_long", model=model)
    return _Result(failure, answer, model)


def _known(exchange: Exchange, request: MessagesRequest) -> tuple[Sequence[str], Mapping[str, Any]]:
    """What the person has written, and what restricts the agent."""
    agent_id = exchange.call.agent_id if exchange.call is not None else ""
    # The transcript in a question of the client's own classifier does not tell who has written what.
    is_told = request.request_class != SAFEGUARD and not is_subagent(request, agent_id)
    person = tuple(person_texts(request.messages)) if is_told else ()
    return person, read_restrictions(classifier_context(request.fields))


def _failure(error: GateError | Unreadable) -> str:
    if isinstance(error, TimedOut):
        return "timeout"
    return "input_too_long" if isinstance(error, (PromptTooLong, TooLarge)) else "error"
