"""Asks everything that the settings name: identity providers, model servers and storage at the same time, then a call.

A part whose settings are wrong, or whose secret is missing, is one step; the others are asked all the same.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from asgi_llmgate.auth.providers.jwt_provider import JWTProvider
from asgi_llmgate.cli.doctor.developers import Developer
from asgi_llmgate.cli.doctor.identity import check_provider
from asgi_llmgate.cli.doctor.model_servers.calls import Caller, Model
from asgi_llmgate.cli.doctor.model_servers.model_list import is_chat_model
from asgi_llmgate.cli.doctor.model_servers.server import GET_TIMEOUT, Server
from asgi_llmgate.cli.doctor.model_servers.server_check import ServerCheck
from asgi_llmgate.cli.doctor.steps import Step, Steps, steps_about, timed
from asgi_llmgate.cli.doctor.storage import check_access_log, check_ledger
from asgi_llmgate.config.build import make_parts
from asgi_llmgate.config.schema import Settings
from asgi_llmgate.config.sections.auth import make_provider
from asgi_llmgate.config.sections.backends import make_backend, make_client
from asgi_llmgate.config.sections.models import ModelSettings
from asgi_llmgate.config.sections.usage import AccessLogSettings, UsageSettings
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.gateway import Gateway
from asgi_llmgate.mistakes import Mistakes, error_path
from asgi_llmgate.net import HTTPClient, Timeouts
from asgi_llmgate.routing.table import name_matcher
from asgi_llmgate.running_state import RunningState
from asgi_llmgate.secret_values import Secret

log = logging.getLogger("llmgate")

_NEEDED = ("joserfc.jwt", "sqlalchemy")
"""What the first request imports, and the first record. The last is an extra."""

_CLAUDE = ("claude-opus-5-5", "claude-sonnet-5", "claude-haiku-5")
"""Names that Claude Code asks for."""


@dataclass(slots=True)
class Examination:
    """What to ask, and of what.

    settings    those of the file, `folder` its folder
    add         is called with each step as soon as it is known
    hide        is called with each secret that is fetched
    seconds     for one call of a model
    with_calls  whether models are called, which costs a fraction of a cent for each
    token       a developer's token, for a call through the whole gateway
    names       the models of that call; by default one that the first row matches
    """

    settings: Settings
    folder: Path
    add: Callable[[Step], None]
    hide: Callable[[str], None]
    seconds: float = 60.0
    with_calls: bool = True
    token: Secret | None = None
    names: Sequence[str] = ()
    _state: RunningState = field(default_factory=RunningState)
    _broken: list[tuple[str, JWTProvider]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.settings = _with_shorter_timeouts(self.settings, self.seconds)

    async def run(self) -> None:
        for name in _NEEDED:  # else the first questions would seem to take a second
            with suppress(ImportError):
                importlib.import_module(name)
        settings, folder = self.settings, self.folder
        try:
            client = self._state.keep("client", "", (settings.net, folder), lambda: make_client(settings.net, folder))
            client.load()
        except SettingsError as error:
            self._add_error(error)
            return
        try:
            async with asyncio.TaskGroup() as tasks:
                for steps in (*self._providers(client), *self._servers(client), *self._storage()):
                    tasks.create_task(self._take(steps))
            if (gateway := self._gateway()) is not None:
                await self._ask_as_developer(gateway)
        finally:
            await self._state.aclose()

    async def _take(self, steps: Steps) -> None:
        try:
            async for step in timed(steps):
                self.add(step)
        except Exception as error:  # a defect in one part hides no other part
            message = f"a question failed in the doctor itself: {type(error).__name__}"
            self.add(Step(state="error", path="", message=message, hint="please report it"))
            log.debug("the doctor failed", exc_info=error)

    def _add_error(self, error: SettingsError) -> None:
        for step in steps_about(error):
            self.add(step)

    def _providers(self, client: HTTPClient) -> Iterator[Steps]:
        if self.settings.auth.mode == "off":
            return
        for index, described in enumerate(self.settings.auth.providers):
            path = f"auth.providers[{index}]"
            try:
                with error_path(path):
                    provider = make_provider(described, self.folder)
            except SettingsError as error:
                self._add_error(error)
                continue
            yield self._noting_failure(provider, path, client)

    async def _noting_failure(self, provider: JWTProvider, path: str, client: HTTPClient) -> Steps:
        async for step in check_provider(provider, path, client, self.settings.net, self.folder):
            if step.state == "error":
                self._broken.append((path, provider))
            yield step

    def _servers(self, client: HTTPClient) -> Iterator[Steps]:
        settings = self.settings
        for name, described in settings.backends.items():
            try:
                backend = make_backend(name, described, settings.translation, client, self.folder, self._state)
            except SettingsError as error:
                self._add_error(error)
                continue
            server = Server(name, backend, client, self.token, min(GET_TIMEOUT, self.seconds))
            models = list(models_of(name, settings.models))
            yield ServerCheck(
                server=server,
                models=models,
                caller=Caller(server, self.seconds),
                net=settings.net,
                folder=self.folder,
                with_calls=self.with_calls,
                hide=self.hide,
            ).run()

    def _storage(self) -> Iterator[Steps]:
        usage = self.settings.usage
        if usage.ledger is not None:
            yield check_ledger(usage.ledger, self.folder)
        yield check_access_log(usage.access_log, self.folder)

    def _gateway(self) -> Gateway | None:
        """The gateway that the settings describe, without sinks; None where they describe none."""
        quiet = UsageSettings(access_log=AccessLogSettings(stdout=False))  # no file, no ledger, no metrics
        settings = msgspec.structs.replace(self.settings, usage=quiet)
        try:
            mistakes = Mistakes()
            parts = make_parts(settings, self.folder, self._state, mistakes, variables={})
            mistakes.raise_if_any()
        except SettingsError as error:
            message = f"no call through the whole gateway, which cannot be built: {error.message}"
            self.add(Step(state="skipped", path=error.path, message=message))
            return None
        return Gateway(**parts)

    async def _ask_as_developer(self, gateway: Gateway) -> None:
        names = self.names or [sample_name(row) for row in self.settings.models[:1]]
        if not names:
            return
        needs_token = self.settings.auth.mode == "strict"
        developer = Developer(gateway, names, self.seconds, self.token, needs_token)
        await self._take(developer.run(self._broken, with_calls=self.with_calls))


def models_of(backend: str, rows: Sequence[ModelSettings]) -> Iterator[Model]:
    """The models of a backend that the rows name, each once, without those that are not for chats."""
    seen = set()
    for index, row in enumerate(rows):
        for number, target in enumerate(row.targets):
            name, _, model = target.partition("/")
            if name != backend:
                continue
            asked = sample_name(row)
            if not model and "*" not in row.match:
                model = row.match
            if model in seen or not is_chat_model(model):
                continue
            seen.add(model)
            place = f"models[{index}].use" + ("" if isinstance(row.use, str) else f"[{number}]")
            yield Model(
                backend=backend,
                name=model,
                place=place,
                row=f"models[{index}]",
                asked=asked,
                match=row.match,
                window=row.context_window,
                output=row.max_output_tokens,
            )


def sample_name(row: ModelSettings) -> str:
    """A name that the row matches, if possible one that Claude Code asks for."""
    if "*" not in row.match:
        return row.match
    matches = name_matcher(row.match)
    candidates = [*row.listed, *_CLAUDE, row.match.replace("*", "")]
    return next((name for name in candidates if name and matches(name)), row.match)


def _with_shorter_timeouts(settings: Settings, seconds: float) -> Settings:
    """The settings, with no timeout of a backend longer than this."""
    backends = {
        name: msgspec.structs.replace(each, timeouts=_shorter(each.timeouts, seconds))
        for name, each in settings.backends.items()
    }
    return msgspec.structs.replace(settings, backends=backends)


def _shorter(timeouts: Timeouts, seconds: float) -> Timeouts:
    """The timeouts, none of them longer than this."""
    return Timeouts(**{name: min(getattr(timeouts, name) or seconds, seconds) for name in Timeouts.__struct_fields__})
