"""Requests to an identity provider's endpoints: its token endpoint (RFC 6749), its introspection endpoint (RFC 7662).

Authlib makes the form and the client authentication; net/client.py sends it, with the proxy and the CA of all other
requests.  The result is a JSON object, or one of two exceptions: the provider has refused, or has given no usable
response.  Their texts are for the log and contain nothing that was sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qsl, quote_plus

import msgspec

from asgi_llmgate.errors import UpstreamError
from asgi_llmgate.net.client import Fetch
from asgi_llmgate.net.secrets import SecretSource
from asgi_llmgate.net.urls import redact_url
from asgi_llmgate.protocol.redaction import redacted, without_secrets
from asgi_llmgate.secret_values import Secret

TIMEOUT = 5.0
"""Seconds for one request to the identity provider, including its response."""

MAX_RESPONSE = 256_000
"""Bytes of its response."""

Method = Literal["basic", "post", "assertion", "private_key_jwt"]

_HEADERS = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ALGORITHMS = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}
_SECRET_FIELDS = ("client_secret", "client_assertion", "assertion", "subject_token", "token")
_ERROR_CODE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,60}")  # RFC 6749 section 5.2


class OAuthUnavailable(Exception):
    """The identity provider gave no response, or not one that the endpoint should give."""


class OAuthError(Exception):
    """The identity provider refused the request.  `code`: RFC 6749 section 5.2, or "" when it gave none."""

    def __init__(self, status: int, code: str, description: str) -> None:
        super().__init__(": ".join(filter(None, (f"{status} {code}".strip(), description))))
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """The gateway as a client of the identity provider, and its client authentication.

    secret  what authenticates it; None for a public client
    method  basic, post: `secret` is a password, sent in the authorization header or in the form
            assertion: it is a JWT that something else renews, such as Kubernetes' projected service account token
            (RFC 7523)
            private_key_jwt: it is a private key, JWK or PEM, that signs such a JWT for each request
    """

    client_id: str
    secret: SecretSource | None = None
    method: Method = "basic"

    async def request(self, url: str, form: Secret, fetch: Fetch) -> dict[str, Any]:
        """POST the form and return the JSON object of the response.  Raises OAuthError, OAuthUnavailable."""
        secret = await self.secret.get() if self.secret is not None else Secret("")
        headers, body = self._authenticate(url, form, secret)
        raw = [(name.lower().encode(), value) for name, value in headers.items()]
        try:
            response = await fetch(url, method="POST", headers=raw, content=body, limit=MAX_RESPONSE, timeout=TIMEOUT)
        except UpstreamError as error:
            raise OAuthUnavailable(f"{redact_url(url)}: {error.message}") from None
        content = _json_object(response.body)
        if response.status == 200 and content is not None:
            return content
        if response.status in (400, 401, 403):
            raise OAuthError(response.status, *_error_of(content or {}, [secret, *_secrets_in_request(headers, body)]))
        what = "" if content is not None else ", not a JSON object"
        raise OAuthUnavailable(f"{redact_url(url)} responded with {response.status}{what}")

    def _authenticate(self, url: str, form: Secret, secret: Secret) -> tuple[dict[str, Secret], Secret]:
        """Headers and body of the request, with the client authentication in one of them."""
        # Imported here because most deployments do not need Authlib's OAuth modules.
        from authlib.oauth2.auth import ClientAuth

        client_auth: Callable[..., Any] = ClientAuth
        if self.secret is None:
            auth = client_auth(self.client_id, None, "none")
        elif self.method == "assertion":
            auth = client_auth(self.client_id, None, "none")
            form = _add_to_form(form, client_assertion_type=_ASSERTION, client_assertion=secret)
        elif self.method == "private_key_jwt":
            auth = client_auth(self.client_id, *_read_private_key(secret))
        elif self.method == "basic":
            # RFC 6749 section 2.3.1: both are form-encoded first, which Authlib leaves to its caller.
            auth = client_auth(quote_plus(self.client_id), quote_plus(secret.reveal()), "client_secret_basic")
        else:
            auth = client_auth(self.client_id, secret.reveal(), "client_secret_post")
        _, headers, body = auth.prepare("POST", url, dict(_HEADERS), form.reveal())
        return {name: Secret(value) for name, value in headers.items()}, Secret(body)


def encode_form(**members: str | Secret | None) -> Secret:
    """The members as application/x-www-form-urlencoded, without those that are None."""
    return _add_to_form(Secret(""), **members)


def _add_to_form(form: Secret, **members: str | Secret | None) -> Secret:
    from authlib.common.urls import add_params_to_qs

    join: Callable[..., str] = add_params_to_qs
    return Secret(join(form.reveal(), [(name, reveal(value)) for name, value in members.items() if value]))


def reveal(value: str | Secret) -> str:
    """The text itself, of a Secret as well."""
    return value.reveal() if isinstance(value, Secret) else value


def _read_private_key(secret: Secret) -> tuple[Any, Any]:
    """The private key, and Authlib's method that signs with it (RFC 7523 section 2.2).  Raises OAuthUnavailable."""
    from authlib.oauth2.rfc7523 import PrivateKeyJWT
    from joserfc import jwk
    from joserfc.errors import JoseError

    try:
        text = secret.reveal()
        key = jwk.import_key(msgspec.json.decode(text)) if text.startswith("{") else _read_pem(text)
        if not key.is_private:
            raise ValueError("a public key")
        algorithm = "RS256" if key.key_type == "RSA" else _ALGORITHMS[str(key["crv"])]
    except (JoseError, ValueError, TypeError, KeyError):
        raise OAuthUnavailable("the client's private key is neither a JWK nor PEM") from None
    header = {"kid": key.kid} if key.kid else {}
    method: Callable[..., Any] = PrivateKeyJWT
    return key, method(alg=algorithm, headers=header)


def _read_pem(text: str) -> Any:
    from joserfc import jwk
    from joserfc.errors import InvalidKeyTypeError

    for kind in ("RSA", "EC", "OKP"):
        try:
            return jwk.import_key(text, kind)
        except (InvalidKeyTypeError, ValueError):
            continue
    raise ValueError("not a private key")


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (ValueError, RecursionError):
        return None


def _secrets_in_request(headers: Mapping[str, Secret], body: Secret) -> list[Secret]:
    """The secrets in the request, which must not appear in a log because the response repeats them."""
    sent = [Secret(value) for name, value in parse_qsl(body.reveal()) if name in _SECRET_FIELDS]
    return [*sent, Secret(headers.get("Authorization", Secret("")).reveal().removeprefix("Basic "))]


def _error_of(content: Mapping[str, Any], secrets: Sequence[Secret]) -> tuple[str, str]:
    """`error` and `error_description` of the response, without any part of a secret."""
    code, description = content.get("error"), content.get("error_description")
    text = description if isinstance(description, str) else ""
    shown = redacted(without_secrets(text, secrets))
    return code if isinstance(code, str) and _ERROR_CODE.fullmatch(code) else "", ascii(shown)[1:-1]
