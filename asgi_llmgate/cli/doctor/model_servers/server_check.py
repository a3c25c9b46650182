"""One model server: the way to it, its list of models, the window of each model, and calls.

What fails makes later questions pointless, so they are not asked: without a connection there is no list, and where one
model is refused because of the key, the others would be as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from asgi_llmgate.cli.doctor.asking import Answer
from asgi_llmgate.cli.doctor.connection import check_connection
from asgi_llmgate.cli.doctor.model_servers.advice import EVERY_MODEL, advice_on, path_of
from asgi_llmgate.cli.doctor.model_servers.calls import Caller, Model, about_call, check_further
from asgi_llmgate.cli.doctor.model_servers.model_list import (
    ModelList,
    fetch_models,
    find_base_url,
    is_chat_model,
    kind_of,
)
from asgi_llmgate.cli.doctor.model_servers.server import Server
from asgi_llmgate.cli.doctor.model_servers.windows import check_window
from asgi_llmgate.cli.doctor.steps import State, Step, Steps, told
from asgi_llmgate.config.sections.backends import NetSettings
from asgi_llmgate.errors import CredentialRefused, GateError, NotAuthorized, UpstreamError
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.net import CallableSource, CredentialSource
from asgi_llmgate.protocol.servers.dialects import DIALECTS
from asgi_llmgate.routing.table import name_matcher
from asgi_llmgate.secret_values import Secret

_SEARCH_TIME = 15.0
"""Seconds for the search for another base URL."""

_ANY = frozenset({"openai", "generic"})
"""Dialects that people choose without thinking of their server."""

_NO_LIST = frozenset({404, 405, 501})


@dataclass(frozen=True, slots=True)
class ServerCheck:
    """What is asked of one server. `models` are those that the model table names; without `with_calls` none is called.

    `net` and `folder` as in the settings. `hide` is told the credential, which must not be printed.
    """

    server: Server
    models: Sequence[Model]
    caller: Caller
    net: NetSettings
    folder: Path
    with_calls: bool = True
    hide: Callable[[str], None] = lambda secret: None

    @property
    def path(self) -> str:
        return f"backends.{self.server.name}"

    async def run(self) -> Steps:
        connected = await check_connection(f"{self.path}.base_url", self.server.base.root, self.net, self.folder)
        if connected.state == "error":
            yield await self._with_shown(connected)
            return
        yield connected
        source = self.server.backend.api_key
        if source is not None:
            credential = await self._check_credential(source)
            if credential is not None:
                yield credential
                if credential.state != "ok":
                    return
            if source.needs_token and self.server.token is None:
                message = "not asked further: this credential is made from a caller's token, which --token - reads"
                yield Step(state="skipped", path=f"{self.path}.api_key", message=message)
                return
        listed = missing = None
        try:
            listed = await fetch_models(self.server)
        except GateError as error:
            missing = await self._about_missing_list(error)
            if missing.state == "error" or not self._is_called:
                yield missing
                return
        else:
            for step in self._about_list(listed):
                yield step
        async for step in self._models(listed):
            yield step
            if missing is not None and step.state != "error":  # else the call has said the same
                yield missing
            missing = None

    @property
    def _is_called(self) -> bool:
        return self.with_calls and bool(self.models)

    async def _models(self, listed: ModelList | None) -> Steps:
        is_refused, kind = False, kind_of(self.server.dialect, listed)
        for each in self.models:
            model = self._named(each, listed)
            if not model.name:
                message = f"no call: {model.match} leaves the name of the model to the client"
                yield Step(state="skipped", path=model.place, message=message)
                continue
            if is_refused:
                message = f"{model.name} is not asked: the server would refuse it in the same way"
                yield Step(state="skipped", path=model.place, message=message)
                continue
            if self.with_calls:
                first = await self.caller.ask(model)
                yield _about_first_call(model, first, listed)
                if not first.is_good:
                    is_refused = first.error_type in EVERY_MODEL
                    continue
                async for step in check_further(self.caller, model, first, kind):
                    yield step
            elif listed is not None and not listed.has(model.name):
                yield _not_listed(model, listed)
                continue
            # After the calls: Ollama says what a model is loaded with when it is loaded.
            window = await check_window(self.server, kind, listed, model.name, model.window, model.row)
            if window is not None:
                yield window

    @staticmethod
    def _named(model: Model, listed: ModelList | None) -> Model:
        """The model; where the row sends the name that a client asks for, the first listed one that it matches."""
        if model.name or listed is None:
            return model
        matches = name_matcher(model.match)
        names = [name for name in listed.entries if matches(name) and is_chat_model(name)]
        return replace(model, name=names[0], asked=names[0]) if names else model

    async def _with_shown(self, step: Step) -> Step:
        """The step with what Claude Code shows, which costs nothing where no connection can be made."""
        model = next(iter(self.models), None)
        if model is None:
            return step
        return replace(step, shown=(await self.caller.ask(model)).shown(model.asked))

    async def _check_credential(self, source: CredentialSource) -> Step | None:
        """The step for a credential that has to be fetched; None for a key of the settings.

        Without a caller's token an exchange is tried with a text that is none: a provider that accepts the gateway's
        client refuses that token, and not the client.
        """
        path = f"{self.path}.api_key"
        is_trial = source.needs_token and self.server.token is None
        exchange = Exchange(token=Secret("not-a-token")) if is_trial else self.server.exchange()
        try:
            self.hide((await source.get(exchange)).reveal())
        except NotAuthorized as error:
            if is_trial:
                return Step(path=path, message="the token endpoint accepts the gateway's client")
            message = told(error.message, error.detail)
            return Step(state="error", path=path, message=message, hint=advice_on("NotAuthorized")[1])
        except GateError as error:
            message = told(error.message, error.detail)
            if isinstance(source, CallableSource):  # it may need to know who calls
                message = f"not asked: the function gives no key without a caller: {message}"
                return Step(state="skipped", path=path, message=message)
            return Step(state="error", path=path, message=message, hint=_credential_hint(error))
        return Step(path=path, message="the token endpoint gives a token") if source.key_header else None

    def _about_list(self, listed: ModelList) -> Iterator[Step]:
        number = len(listed.entries)
        message = f"the server lists {number or 'no'} model{'' if number == 1 else 's'}"
        yield Step(path=f"{self.path}.base_url", message=message)
        if listed.kind in DIALECTS and self.server.dialect in _ANY and listed.kind != self.server.dialect:
            message = f"this looks like a server of the dialect {listed.kind}, and the dialect is {self.server.dialect}"
            hint = f"dialect: {listed.kind}"
            yield Step(state="warning", path=f"{self.path}.dialect", message=message, hint=hint)

    async def _about_missing_list(self, error: GateError) -> Step:
        """An error where it shows that no call can succeed, or where no call will be made that would show it."""
        path = f"{self.path}.base_url"
        status = error.status if isinstance(error, UpstreamError) else 0
        is_other_place = status in _NO_LIST or 200 <= status < 400
        if is_other_place and (other := await self._other_base_url()):
            message = f"there is no API at this address, but there is one at {other}"
            hint = f"base_url: {other}"
            if not self._is_called:
                return Step(state="warning", path=path, message=message, hint=hint)
            step = await self._with_shown(Step(state="error", path=path, message=message, hint=hint))
            if step.shown:  # else it has an API all the same, as Azure's deployments have
                return step
        if status in _NO_LIST:
            message = "the server has no list of models" + ("" if self._is_called else ": is this the right address?")
            return Step(state="skipped" if self._is_called else "warning", path=path, message=message)
        message = f"no list of models: {told(error.message, error.detail)}"
        setting, hint = advice_on(type(error).__name__, message)
        state: State = "warning" if self._is_called else "error"
        return Step(state=state, path=path_of(self.server.name, setting) or path, message=message, hint=hint)

    async def _other_base_url(self) -> str:
        try:
            async with asyncio.timeout(_SEARCH_TIME):
                return await find_base_url(self.server)
        except TimeoutError:
            return ""


def _credential_hint(error: GateError) -> str:
    if isinstance(error, CredentialRefused):
        return "are client_id, client_secret, client_auth and scope those that the provider has?"
    return advice_on(type(error).__name__)[1]


def _about_first_call(model: Model, answer: Answer, listed: ModelList | None) -> Step:
    if listed is None or listed.has(model.name) or answer.error_type not in ("UnknownModel", "RequestRejected"):
        return about_call(model, answer)
    return replace(_not_listed(model, listed), state="error", shown=answer.shown(model.asked))


def _not_listed(model: Model, listed: ModelList) -> Step:
    message = f"the server has no model {model.name}"
    return Step(state="warning", path=model.place, message=message, hint=listed.near(model.name))
