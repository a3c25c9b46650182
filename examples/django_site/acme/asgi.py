"""The intranet, and the gateway under /llm."""

from __future__ import annotations

import os

import llmgate_django
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "acme.settings")

application = llmgate_django.mount(get_asgi_application())
