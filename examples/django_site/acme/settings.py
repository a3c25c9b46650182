"""Settings of Acme's intranet.  For the gateway: the app `llmgate_django`, and LLMGATE at the end."""

from __future__ import annotations

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = os.environ.get("SECRET_KEY", "only for this example")
DEBUG = os.environ.get("DEBUG") == "1"
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "phonebook",
    "llmgate_django",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
ROOT_URLCONF = "acme.urls"
ASGI_APPLICATION = "acme.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("DATABASE", BASE_DIR / "db.sqlite3"),
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "static/"
LOGIN_URL = "admin:login"

LLMGATE = {
    "auth": {
        "providers": [
            {
                "issuer": "claude-code-lab",
                "audiences": ["anthropic-api"],
                "jwks": {"file": BASE_DIR / ".llmgate" / "jwks.json"},
            }
        ],
        "django_session": True,
    },
    "policy": {
        "rules": [
            {
                "name": "team",
                "when": [
                    'jwt.org == "acme" && jwt.team == "data-platform"',
                    'identity.provider == "django" && jwt.staff',
                ],
                "reason": "only the team data-platform and staff may use this gateway; ask the platform team",
            }
        ]
    },
    "backends": {
        "openai": {
            "base_url": os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1"),
            "api_key": "env:OPENAI_API_KEY",
        }
    },
    "models": [
        {"match": "*", "use": "openai/" + os.environ.get("OPENAI_MODEL", "gpt-4o-mini"), "max_output_tokens": 16384}
    ],
    "usage": {"ledger": {"url": "django", "keep": "400d"}},
}
