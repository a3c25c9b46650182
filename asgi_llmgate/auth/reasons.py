"""The checks that a token has to pass, in their order, and the reason that the caller reads when one fails.

A reason never contains a claim's value, the id of a key, or the token.  Behind it the caller reads what a developer can
do.  What the operator can do is a hint, in the log.  `WWW-Authenticate` follows RFC 6750 section 3.
"""

from __future__ import annotations

from enum import StrEnum

from asgi_llmgate.errors import AuthenticationFailed, KeysUnavailable, MissingScope


class Check(StrEnum):
    """The checks, in this order; the first that fails gives the reason."""

    CREDENTIAL = "credential"
    SHAPE = "shape"
    ISSUER = "issuer"
    ALGORITHM = "algorithm"
    KEYS = "signing keys"
    KEY = "key"
    SIGNATURE = "signature"
    ACTIVE = "introspection"
    DATES = "dates"
    AUDIENCE = "audience"
    CLAIMS = "claims"
    TYPE = "token type"
    SCOPE = "scope"


# Where agentgateway has a reason for the same case, its text is used here: people and log searches know it.
NO_TOKEN = "no bearer token found"  # noqa: S105
ONLY_API_KEY = (
    f"{NO_TOKEN} (an API key is not a token: set ANTHROPIC_AUTH_TOKEN or apiKeyHelper, and no ANTHROPIC_API_KEY)"
)
BAD_HEADER = "the authorization header is malformed"
CROSS_SITE = "a cookie counts only on a same-origin request, and for POST only with a JSON content type"
MALFORMED = "the token is malformed"
ENCRYPTED = "the token is encrypted (JWE), and the gateway can read signed ones only (JWT)"
OPAQUE = "the token is not a JWT"
WRONG_ISSUER = "wrong issuer"
BAD_ALGORITHM = "algorithm not allowed"
UNKNOWN_KEY = "token uses an unknown key"
INACTIVE = "the identity provider does not know the token, or no longer"
BAD_SIGNATURE = "invalid signature"
EXPIRED = "token expired"
NOT_YET = "token not yet valid"
FROM_FUTURE = "token issued in the future"
LIVES_TOO_LONG = "the token's lifetime is longer than allowed"
WRONG_AUDIENCE = "wrong audience"
WRONG_CLIENT = "wrong client"
BOUND = "the token is bound to a key of its client (cnf), and is no bearer token"
NOT_ACCESS_TOKEN = "not an access token"  # noqa: S105


SIGN_IN = "sign in again, or ask the operator of the gateway"
CHECK_CLIENT = "check the token that your client sends"

_COMPLETE = frozenset({NO_TOKEN, ONLY_API_KEY, EXPIRED})
"""Reasons that say what to do, or that clients act upon: no advice is added."""


class TokenRefused(AuthenticationFailed):
    """The token is missing or not accepted: a 401.

    check      the check that failed
    text       the reason
    hint       for the log only: what usually causes this with the identity provider in question
    renewable  whether a new token from the same place may pass
    """

    should_retry: bool | None = False

    def __init__(self, check: Check, text: str, *, hint: str = "", renewable: bool = False) -> None:
        message = f"authentication failure: {text}"
        advice = CHECK_CLIENT if check in (Check.CREDENTIAL, Check.SHAPE) else SIGN_IN
        told = message if text in _COMPLETE else f"{message}; {advice}"
        super().__init__(message, client_message=told, detail=hint)
        self.check = check
        self.text = text
        self.renewable = renewable
        self.challenge = "Bearer" if text in (NO_TOKEN, ONLY_API_KEY) else 'Bearer error="invalid_token"'

    def copy(self) -> TokenRefused:
        """The same refusal as a new exception: one object that is raised twice would collect both tracebacks."""
        return TokenRefused(self.check, self.text, hint=self.detail, renewable=self.renewable)


def missing_claim(name: str) -> str:
    return f'missing claim "{name}"'


def unaccepted_claim(name: str) -> str:
    return f'claim "{name}" has a value that is not accepted'


def keys_unavailable(*, detail: str = "", retry_after: float | None = None) -> KeysUnavailable:
    """The 503 for a token that cannot be verified now.  `detail` is for the log; `retry_after`: seconds."""
    error = _unavailable("signing keys could not be fetched", detail)
    if retry_after is not None:
        error.retry_after = max(1.0, retry_after)
    return error


def introspection_unavailable(*, detail: str) -> KeysUnavailable:
    """The 503 for a token that cannot be introspected now.  `detail` is for the log."""
    return _unavailable("the identity provider could not be asked", detail)


def _unavailable(text: str, detail: str) -> KeysUnavailable:
    told = "authentication unavailable: the gateway cannot check tokens now; try again, or tell its operator"
    return KeysUnavailable(f"authentication unavailable: {text}", client_message=told, detail=detail)


def missing_scope(scope: str, required: tuple[str, ...]) -> MissingScope:
    """The 403 for a token without `scope`; its challenge names all that are required (RFC 6750 section 3.1)."""
    message = f'authorization failed: the token lacks scope "{scope}"'
    error = MissingScope(message, client_message=f"{message}; ask the operator of the gateway how to get it")
    error.challenge = f'Bearer error="insufficient_scope", scope="{" ".join(required)}"'
    return error
