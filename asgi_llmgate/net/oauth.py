"""This gateway as a client of an identity provider: of its token endpoint (RFC 6749) or introspection (RFC 7662).

Authlib writes what goes out, the form and how the client shows who it is; net/client.py carries it, so that proxy and
CA are those of everything else.  What comes back is an object, or one of two exceptions: the provider said no, or it
said nothing that counts.  Their texts are for the log and hold nothing that was sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qsl, quote_plus

import msgspec

from asgi_llmgate.errors import SettingsError, UpstreamError
from asgi_llmgate.exchange import Secret
from asgi_llmgate.net.client import Fetch
from asgi_llmgate.net.secrets import SecretSource
from asgi_llmgate.net.urls import is_protected, shown
from asgi_llmgate.protocol.redaction import redacted

TIMEOUT = 5.0
"""Seconds for a question to the identity provider, whole."""

MAX_ANSWER = 256_000
"""Bytes of its answer."""

Method = Literal["basic", "post", "assertion", "private_key_jwt"]

_HEADERS = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ALGORITHMS = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}
_SECRET = ("client_secret", "client_assertion", "assertion", "subject_token", "token")
_RUN = re.compile(r"[\w-]{8,}", re.ASCII)
"""What may be a piece of a secret that is repeated in part, as logs show tokens."""

_CODE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,60}")  # RFC 6749 section 5.2


class OAuthUnavailable(Exception):
    """The identity provider could not be asked, or did not give an answer of the kind that there should be."""


class OAuthError(Exception):
    """The identity provider said no.  `code` is RFC 6749 section 5.2's, "" where it gave none."""

    def __init__(self, status: int, code: str, description: str) -> None:
        super().__init__(": ".join(filter(None, (f"{status} {code}".strip(), description))))
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """Who we are at the identity provider.

    secret  what proves it; None for a public client
    method  basic, post: `secret` is a password, in the authorization header or in the form; assertion: it is a JWT
            that somebody else renews (Kubernetes' projected service account token, RFC 7523); private_key_jwt: it is a
            private key, JWK or PEM, that signs such a JWT for each request
    """

    client_id: str
    secret: SecretSource | None = None
    method: Method = "basic"

    async def ask(self, url: str, form: Secret, fetch: Fetch) -> dict[str, Any]:
        """The object that a POST of the form is answered with.  Raises OAuthError, OAuthUnavailable."""
        secret = await self.secret.get() if self.secret is not None else Secret("")
        headers, body = self._signed(url, form, secret)
        raw = [(name.lower().encode(), value) for name, value in headers.items()]
        try:
            answer = await fetch(url, method="POST", headers=raw, content=body, limit=MAX_ANSWER, timeout=TIMEOUT)
        except UpstreamError as error:
            raise OAuthUnavailable(f"{shown(url)}: {error.message}") from None
        content = _object(answer.body)
        if answer.status == 200 and content is not None:
            return content
        if answer.status in (400, 401, 403):
            raise OAuthError(answer.status, *_reason(content or {}, [secret, *_sent(headers, body)]))
        what = "" if content is not None else ", not a JSON object"
        raise OAuthUnavailable(f"{shown(url)} answered {answer.status}{what}")

    def _signed(self, url: str, form: Secret, secret: Secret) -> tuple[dict[str, Secret], Secret]:
        """Headers and body of the request, our proof in one of them."""
        from authlib.oauth2.auth import ClientAuth  # not every start needs Authlib's OAuth side

        proof: Callable[..., Any] = ClientAuth
        if self.secret is None:
            auth = proof(self.client_id, None, "none")
        elif self.method == "assertion":
            auth = proof(self.client_id, None, "none")
            form = _with(form, client_assertion_type=_ASSERTION, client_assertion=secret)
        elif self.method == "private_key_jwt":
            auth = proof(self.client_id, *_signing(secret))
        elif self.method == "basic":  # both are form-encoded first, section 2.3.1, which Authlib leaves to its caller
            auth = proof(quote_plus(self.client_id), quote_plus(secret.reveal()), "client_secret_basic")
        else:
            auth = proof(self.client_id, secret.reveal(), "client_secret_post")
        _, headers, body = auth.prepare("POST", url, dict(_HEADERS), form.reveal())
        return {name: Secret(value) for name, value in headers.items()}, Secret(body)


def form_of(**members: str | Secret | None) -> Secret:
    """The members that are there, as application/x-www-form-urlencoded."""
    return _with(Secret(""), **members)


def require_https(url: str, path: str) -> None:
    """Raises SettingsError for an address that no secret should be sent to."""
    if not is_protected(url):
        raise SettingsError(f"an https URL is needed (http only on this machine), not {shown(url)!r}", path=path)


def _with(form: Secret, **members: str | Secret | None) -> Secret:
    from authlib.common.urls import add_params_to_qs

    join: Callable[..., str] = add_params_to_qs
    return Secret(join(form.reveal(), [(name, plain(value)) for name, value in members.items() if value]))


def plain(value: str | Secret) -> str:
    return value.reveal() if isinstance(value, Secret) else value


def _signing(secret: Secret) -> tuple[Any, Any]:
    """The private key, and Authlib's method that signs with it (RFC 7523 section 2.2)."""
    from authlib.oauth2.rfc7523 import PrivateKeyJWT
    from joserfc import jwk
    from joserfc.errors import JoseError

    try:
        text = secret.reveal()
        key = jwk.import_key(msgspec.json.decode(text)) if text.startswith("{") else _pem(text)
        if not key.is_private:
            raise ValueError("a public key")
        algorithm = "RS256" if key.key_type == "RSA" else _ALGORITHMS[str(key["crv"])]
    except (JoseError, ValueError, TypeError, KeyError):
        raise OAuthUnavailable("the client's private key is neither a JWK nor PEM") from None
    header = {"kid": key.kid} if key.kid else {}
    method: Callable[..., Any] = PrivateKeyJWT
    return key, method(alg=algorithm, headers=header)


def _pem(text: str) -> Any:
    from joserfc import jwk
    from joserfc.errors import InvalidKeyTypeError

    for kind in ("RSA", "EC", "OKP"):
        try:
            return jwk.import_key(text, kind)
        except (InvalidKeyTypeError, ValueError):
            continue
    raise ValueError("no private key")


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (ValueError, RecursionError):
        return None


def _sent(headers: Mapping[str, Secret], body: Secret) -> list[Secret]:
    """What an answer may not repeat."""
    sent = [Secret(value) for name, value in parse_qsl(body.reveal()) if name in _SECRET]
    return [*sent, Secret(headers.get("Authorization", Secret("")).reveal().removeprefix("Basic "))]


def _reason(content: Mapping[str, Any], secrets: Sequence[Secret]) -> tuple[str, str]:
    code, description = content.get("error"), content.get("error_description")
    text = description if isinstance(description, str) else ""
    for secret in secrets:
        text = text.replace(secret.reveal(), "[redacted]") if secret else text
    text = _RUN.sub(lambda run: "[redacted]" if any(run[0] in each.reveal() for each in secrets) else run[0], text)
    return code if isinstance(code, str) and _CODE.fullmatch(code) else "", ascii(redacted(text))[1:-1]
