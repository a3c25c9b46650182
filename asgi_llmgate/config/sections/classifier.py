"""`safeguards.classifier`: the model that is asked about tool calls."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from asgi_llmgate.config.sections.safeguards import ClassifierSettings
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.mistakes import Mistakes
from asgi_llmgate.net import HTTPClient
from asgi_llmgate.protocol.token_estimate import Estimator
from asgi_llmgate.routing import ModelTable
from asgi_llmgate.running_state import RunningState
from asgi_llmgate.safeguards.classifier import Classifier
from asgi_llmgate.upstream import Backend, open_upstreams

MAX_INSTRUCTIONS = 32_000
"""Characters of a `prompt`: it is part of each question."""


def make_classifier(
    described: ClassifierSettings,
    *,
    backends: Mapping[str, Backend],
    models: ModelTable,
    client: HTTPClient,
    state: RunningState,
    folder: Path,
) -> Classifier:
    """The classifier; `prompt` is relative to `folder`.  Raises SettingsError."""
    mistakes = Mistakes()
    uses = (described.use,) if isinstance(described.use, str) else described.use
    targets = []
    for index, use in enumerate(uses):
        with mistakes.under("use" if isinstance(described.use, str) else f"use[{index}]"):
            targets.append(target := models.target(use))
            _check_backend(backends.get(target.backend))
    if not uses:
        mistakes.add(SettingsError("the list is empty", path="use", hint="BACKEND/MODEL"))
    instructions = ""
    if described.prompt is not None:
        with mistakes.under("prompt"):
            instructions = _read_instructions(folder / described.prompt)
    mistakes.raise_if_any()
    return Classifier(
        targets,
        open_upstreams(backends, client, state),
        timeout=described.timeout,
        on_failure=described.on_failure,
        instructions=instructions,
        estimator=state.keep("estimates", "", None, Estimator),
    )


def _check_backend(backend: Backend | None) -> None:
    """A backend that could not be made has its own error."""
    if backend is not None and backend.api_key is not None and backend.api_key.needs_token:
        hint = "a backend with a credential of the gateway's own"
        raise SettingsError("the caller's token is not kept until the classifier is asked", hint=hint)


def _read_instructions(path: Path) -> str:
    try:
        text = path.read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        raise SettingsError(f"the file cannot be read: {type(error).__name__}", missing=True) from None
    if not text or len(text) > MAX_INSTRUCTIONS:
        raise SettingsError(f"the file must have 1 to {MAX_INSTRUCTIONS} characters")
    return text + "\n"
