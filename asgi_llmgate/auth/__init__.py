"""Authentication: verifies the callers' bearer tokens, which identity providers have issued."""

from asgi_llmgate.auth.keys.sources import URL, Discovery, File, Inline, KeySource
from asgi_llmgate.auth.middleware import JWTAuthMiddleware, Session
from asgi_llmgate.auth.providers.factories import (
    auth0,
    cognito,
    entra,
    frontegg,
    github,
    google,
    keycloak,
    kubernetes,
    okta,
    pingone,
    provider,
)
from asgi_llmgate.auth.providers.jwt_provider import Introspection, JWTProvider
from asgi_llmgate.auth.providers.metadata import metadata_url, protected_resource
from asgi_llmgate.auth.providers.presets import PRESETS
from asgi_llmgate.auth.reasons import Check, TokenRefused
from asgi_llmgate.auth.verifier import Verifier as Verifier  # for the package itself

__all__ = [
    "PRESETS",
    "URL",
    "Check",
    "Discovery",
    "File",
    "Inline",
    "Introspection",
    "JWTAuthMiddleware",
    "JWTProvider",
    "KeySource",
    "Session",
    "TokenRefused",
    "auth0",
    "cognito",
    "entra",
    "frontegg",
    "github",
    "google",
    "keycloak",
    "kubernetes",
    "metadata_url",
    "okta",
    "pingone",
    "protected_resource",
    "provider",
]
