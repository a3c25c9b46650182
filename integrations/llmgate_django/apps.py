"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig


class LLMGateConfig(AppConfig):
    """The app; its label `llmgate` is in the names of tables, permissions and checks."""

    name = "llmgate_django"
    label = "llmgate"
    verbose_name = "LLM gateway"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from llmgate_django import checks, wsgi  # noqa: F401  # the import registers the checks

        wsgi.install()
