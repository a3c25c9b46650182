"""Every error, as one tree, and one table with the status, types and reason of each.

    GateError
      + SettingsError                the settings are wrong; raised at start only, with the path in the file
      + Refusal                      the gateway turns the request down
      |   + InvalidRequest           the body, or a field of it, cannot be read
      |   |   + ThreadsUnsupported   it relies on a conversation that the server keeps
      |   + MethodNotAllowed
      |   + NotFound                 no such path, no such model
      |   + Misdirected              no such path, and it ends like one of the API: the client's base URL is wrong
      |   + BodyTooLarge
      |   |   + StructureTooLarge    too many values in the body, or too deep
      |   + BodyTooSlow
      |   + TooManyBodies            this process holds as many request bodies as it may
      |   + AuthenticationFailed     no token, or one that is not valid
      |   + KeysUnavailable          the token cannot be verified now
      |   + NotAuthorized            a rule denies the request
      |   |   + ModelDenied          a rule denies this model; a 400, for clients that log out on a 403
      |   |   + MissingScope
      |   |   + CrossSite            a cookie identifies the caller, and another site's page may have sent the request
      |   + RateLimited
      |   + ShuttingDown             this process is about to end; another one can serve the request
      |   + InternalError            a defect of the gateway
      + UpstreamError                the model server gave no response that can be used
      |   + NotSent                  the request was not sent: a retry costs nothing
      |   |   + ConnectionRefused    nothing listens at the address
      |   |   + Unreachable          DNS or TLS failed
      |   |   + CredentialUnavailable
      |   + MaybeSent                the connection broke after the request was written: it may have been billed
      |   + TimedOut                 `phase` says what was waited for
      |   + Broken                   the response was cut, or is not in the server's format
      |   |   + ResponseTooLarge     more of it would have to be kept in memory than is allowed
      |   + RequestRejected          the model server rejects this request (400)
      |   |   + PromptTooLong        the conversation does not fit
      |   |   + TooLarge             the body is over the server's limit
      |   |   + UnknownModel
      |   + Blocked                  something in front of the model server responded in its place
      |   + CredentialRefused        the gateway's own key is not accepted; never the caller's 401
      |   + QuotaExhausted           the gateway's account has no money left
      |   + Throttled                429
      |   + Failed                   500
      |   + Overloaded               503, 529, or the model is still being loaded
      + ClientGone                   the client has disconnected

Each error has three texts:

    message         for logs and records; contains no key, token, claim, prompt or internal address
    client_message  for the client, in the response only; `message`, unless the client may read more: text of its own
                    request, or the model server's text about the request, which may quote it; or should read something
                    else: it says in a developer's words what to do, and has no word that only an operator knows
    detail          for the operator, in logs and records only; as safe as `message`

TABLE is the whole mapping; no status code is chosen anywhere else.  Anthropic's types:
https://platform.claude.com/docs/en/api/errors, OpenAI's: the `type` strings that
https://platform.openai.com/docs/guides/error-codes shows.
"""

from __future__ import annotations

from copy import copy
from typing import ClassVar, Literal, NamedTuple, Self

__all__ = [
    "NOT_SOON",
    "REASONS",
    "TABLE",
    "AuthenticationFailed",
    "Blocked",
    "BodyTooLarge",
    "BodyTooSlow",
    "Broken",
    "ClientGone",
    "ConnectionRefused",
    "CredentialRefused",
    "CredentialUnavailable",
    "CrossSite",
    "Failed",
    "GateError",
    "InternalError",
    "InvalidRequest",
    "KeysUnavailable",
    "MaybeSent",
    "MethodNotAllowed",
    "Misdirected",
    "MissingScope",
    "ModelDenied",
    "NotAuthorized",
    "NotFound",
    "NotSent",
    "Overloaded",
    "Phase",
    "PromptTooLong",
    "QuotaExhausted",
    "RateLimited",
    "Refusal",
    "RequestRejected",
    "ResponseTooLarge",
    "Row",
    "SettingsError",
    "ShuttingDown",
    "StructureTooLarge",
    "ThreadsUnsupported",
    "Throttled",
    "TimedOut",
    "TooLarge",
    "TooManyBodies",
    "UnknownModel",
    "Unreachable",
    "UpstreamError",
    "row_for",
]

NOT_SOON = 300.0
"""Seconds after which the same request may be worth another try, where nothing changes by itself.

Claude Code runs its apiKeyHelper again on each 401 and 403 and retries for minutes, unless `retry-after` is above 60.
"""

TRY_AGAIN = "try again, or tell the operator of the gateway"
"""The end of a `client_message`: what a developer can do where nothing is wrong with the request."""

Phase = Literal["connect", "pool", "first_byte", "idle", "total"]


class GateError(Exception):
    """Root of the tree.

    `retry_after` is seconds (header `retry-after`).  `should_retry` is written to `x-should-retry`, which Anthropic's
    clients obey; None leaves the header out.  `error_code` is Anthropic's code, in `error.details`, where its clients
    act on it.
    """

    retry_after: float | None = None
    should_retry: bool | None = None
    error_code: str = ""
    challenge: str | None = None
    """Value of `www-authenticate` (RFC 6750 section 3), when there is one to send."""

    def __init__(self, message: str, *, client_message: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.client_message = client_message or message
        self.detail = detail

    def __copy__(self) -> Self:
        """The same error without its traceback."""
        # BaseException's own copy calls the class with `args` alone, which loses the other attributes.
        made = type(self).__new__(type(self), *self.args)
        made.__dict__.update(self.__dict__)
        return made


_MOST_SHOWN = 20
"""Further mistakes in the text of one error."""


class SettingsError(GateError):
    """The settings are wrong.

    path      the place in the file (`auth.providers[0].issuer`)
    hint      what to do
    place     line and column, from 1, inside of the text at `path`, which is a rule, or inside of the file; None: it
              is about the whole
    missing   a secret or a variable is not there on this machine; the settings themselves may be right
    rests_on  paths of further settings that this is about: while one of them cannot be read, this is not sure.  They
              are relative, as `path` is; `$.backends` is not
    others    further mistakes that were found in the same settings
    """

    place: tuple[int, int] | None = None
    others: tuple[SettingsError, ...] = ()

    def __init__(
        self, message: str, *, path: str = "", hint: str = "", missing: bool = False, rests_on: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message)
        self.path = path
        self.hint = hint
        self.missing = missing
        self.rests_on = rests_on

    def __str__(self) -> str:
        place = f"{self.path}: " if self.path else ""
        text = f"{place}{self.message}" + (f" ({self.hint})" if self.hint else "")
        if not self.others:
            return text
        shown = [f"\n  {other}" for other in self.others[:_MOST_SHOWN]]
        left = len(self.others) - len(shown)
        return f"{text}\nand {len(self.others)} more:{''.join(shown)}" + (f"\n  ... and {left} more" if left else "")

    def __copy__(self) -> Self:
        made = super().__copy__()
        made.path = self.path  # beside an ImportError it is not in the object's dict
        return made

    @property
    def problem(self) -> str:
        """The message without `place`, for those who tell the place themselves."""
        return self.message

    def under(self, path: str) -> Self:
        """The same error, and its `others`, with `path` in front of each path that does not begin with it."""
        made = copy(self)
        made.path = _joined(path, self.path)
        made.rests_on = tuple(_joined(path, each) for each in self.rests_on)
        made.others = tuple(each.under(path) for each in self.others)
        return made


def _joined(outer: str, inner: str) -> str:
    if not outer or inner == outer or inner.startswith((outer + ".", outer + "[", "$.")):
        return inner
    return outer + inner if inner.startswith("[") else f"{outer}.{inner}".rstrip(".")


class Refusal(GateError):
    """The gateway turns the request down."""


class InvalidRequest(Refusal):
    """The request cannot be read.  What is quoted of it (a name, an id) is in `client_message` only."""

    def at(self, place: str) -> InvalidRequest:
        """The same error with `place` (`messages.3`) in front of its texts."""
        return InvalidRequest(
            f"{place}.{self.message}", client_message=f"{place}.{self.client_message}", detail=self.detail
        )


class ThreadsUnsupported(InvalidRequest):
    """The request has a `thread`: the server would keep the conversation, and the client sends only what is new."""

    # The SDKs' tool runners try this first.  On this code they send whole conversations.

    error_code = "thread_unsupported_request"


class MethodNotAllowed(Refusal):
    def __init__(self, allow: str) -> None:
        super().__init__(f"method not allowed; allowed: {allow}")
        self.allow = allow


class NotFound(Refusal):
    pass


class Misdirected(Refusal):
    """The path is not served here (RFC 9110 section 15.5.20).  Claude Code shows the message of a 421, but none of a
    404."""

    should_retry = False


class BodyTooLarge(Refusal):
    pass


class StructureTooLarge(BodyTooLarge):
    """The body has too many values, or they are nested too deep."""


class BodyTooSlow(Refusal):
    """The body came in too slowly.  Its rest may still arrive, so the connection cannot be used again."""


class TooManyBodies(Refusal):
    retry_after = 5.0


class AuthenticationFailed(Refusal):
    pass


class KeysUnavailable(Refusal):
    retry_after = 5.0


class NotAuthorized(Refusal):
    retry_after: float | None = NOT_SOON


class ModelDenied(NotAuthorized):
    retry_after = None


class MissingScope(NotAuthorized):
    pass


class CrossSite(NotAuthorized):
    pass


class RateLimited(Refusal):
    def __init__(self, message: str, *, retry_after: float, client_message: str = "", detail: str = "") -> None:
        super().__init__(message, client_message=client_message, detail=detail)
        self.retry_after = retry_after


class ShuttingDown(Refusal):
    retry_after = 1.0

    def __init__(self) -> None:
        super().__init__("the gateway is shutting down; try again")


class InternalError(Refusal):
    pass


class UpstreamError(GateError):
    """The model server gave no response that can be used.  `status` is its HTTP status, 0 if there was none."""

    def __init__(
        self,
        message: str,
        *,
        client_message: str = "",
        detail: str = "",
        status: int = 0,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, client_message=client_message, detail=detail)
        self.status = status
        if retry_after is not None:
            self.retry_after = retry_after


class NotSent(UpstreamError):
    pass


class ConnectionRefused(NotSent):
    pass


class Unreachable(NotSent):
    pass


class CredentialUnavailable(NotSent):
    retry_after = 5.0


class MaybeSent(UpstreamError):
    """The connection broke before a response.  `reused`: it had served an earlier request and no byte came, so the
    server has probably closed it before this one arrived: then it is sent once more, on a new connection."""

    def __init__(self, message: str, *, client_message: str = "", detail: str = "", reused: bool = False) -> None:
        super().__init__(message, client_message=client_message, detail=detail)
        self.reused = reused


class TimedOut(UpstreamError):
    def __init__(self, message: str, *, phase: Phase, client_message: str = "", detail: str = "") -> None:
        super().__init__(message, client_message=client_message, detail=detail)
        self.phase = phase


class Broken(UpstreamError):
    pass


class ResponseTooLarge(Broken):
    """More of the response would have to be kept in memory than `limit` bytes."""

    should_retry = False  # a retry would cost as much again, and end the same way

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"the model server's response is too large: more than {limit} bytes of it would have to be kept",
            detail="the limit is server.answer_limit",
        )


class RequestRejected(UpstreamError):
    pass


class PromptTooLong(RequestRejected):
    pass


class TooLarge(RequestRejected):
    pass


class UnknownModel(RequestRejected):
    pass


class Blocked(UpstreamError):
    """Something in front of the model server responded in its place: a firewall, a proxy, a sign-in page, a redirect.
    It will respond so again."""

    should_retry = False


class CredentialRefused(UpstreamError):
    should_retry = False


class QuotaExhausted(UpstreamError):
    should_retry = False


class Throttled(UpstreamError):
    pass


class Failed(UpstreamError):
    pass


class Overloaded(UpstreamError):
    pass


class ClientGone(GateError):
    def __init__(self) -> None:
        super().__init__("the client has left")


class Row(NamedTuple):
    """HTTP status, the `type` in the error body of each API, and the `reason` in the access log."""

    status: int
    anthropic: str
    openai: str
    reason: str


TABLE: dict[type[GateError], Row] = {
    InvalidRequest: Row(400, "invalid_request_error", "invalid_request_error", "InvalidRequest"),
    ThreadsUnsupported: Row(400, "invalid_request_error", "invalid_request_error", "InvalidRequest"),
    MethodNotAllowed: Row(405, "invalid_request_error", "invalid_request_error", "InvalidRequest"),
    NotFound: Row(404, "not_found_error", "invalid_request_error", "NotFound"),
    Misdirected: Row(421, "invalid_request_error", "invalid_request_error", "NotFound"),
    BodyTooLarge: Row(413, "request_too_large", "invalid_request_error", "InvalidRequest"),
    StructureTooLarge: Row(413, "request_too_large", "invalid_request_error", "InvalidRequest"),
    BodyTooSlow: Row(408, "timeout_error", "invalid_request_error", "Upload"),
    TooManyBodies: Row(503, "api_error", "server_error", "Upload"),
    AuthenticationFailed: Row(401, "authentication_error", "invalid_request_error", "JwtAuth"),
    KeysUnavailable: Row(503, "api_error", "server_error", "JwtAuth"),
    NotAuthorized: Row(403, "permission_error", "invalid_request_error", "Authorization"),
    ModelDenied: Row(400, "invalid_request_error", "invalid_request_error", "Authorization"),
    MissingScope: Row(403, "permission_error", "invalid_request_error", "Scope"),
    CrossSite: Row(403, "permission_error", "invalid_request_error", "JwtAuth"),
    RateLimited: Row(429, "rate_limit_error", "rate_limit_error", "RateLimit"),
    ShuttingDown: Row(503, "api_error", "server_error", "Shutdown"),
    ConnectionRefused: Row(529, "overloaded_error", "server_error", "Upstream"),
    Unreachable: Row(502, "api_error", "server_error", "Upstream"),
    CredentialUnavailable: Row(503, "api_error", "server_error", "Upstream"),
    MaybeSent: Row(502, "api_error", "server_error", "Upstream"),
    TimedOut: Row(504, "timeout_error", "server_error", "Timeout"),
    Broken: Row(502, "api_error", "server_error", "UpstreamFailure"),
    ResponseTooLarge: Row(502, "api_error", "server_error", "UpstreamFailure"),
    RequestRejected: Row(400, "invalid_request_error", "invalid_request_error", "UpstreamFailure"),
    TooLarge: Row(413, "request_too_large", "invalid_request_error", "UpstreamFailure"),
    UnknownModel: Row(404, "not_found_error", "invalid_request_error", "UpstreamFailure"),
    Blocked: Row(502, "api_error", "server_error", "UpstreamFailure"),
    CredentialRefused: Row(502, "api_error", "server_error", "UpstreamFailure"),
    QuotaExhausted: Row(402, "billing_error", "insufficient_quota", "UpstreamFailure"),
    Throttled: Row(429, "rate_limit_error", "rate_limit_error", "UpstreamFailure"),
    Failed: Row(500, "api_error", "server_error", "UpstreamFailure"),
    Overloaded: Row(529, "overloaded_error", "server_error", "UpstreamFailure"),
    UpstreamError: Row(502, "api_error", "server_error", "UpstreamFailure"),
    ClientGone: Row(499, "api_error", "server_error", "ClientClosed"),
    GateError: Row(500, "api_error", "server_error", "Internal"),
}
"""The row of the most specific class counts.  529 is Anthropic's "overloaded": its clients retry it with back-off."""

REASONS: frozenset[str] = frozenset(row.reason for row in TABLE.values())
"""The closed list of `reason` values in logs and metric labels; spelled as agentgateway spells them."""


class _Lookup(dict[type[BaseException], Row]):
    """TABLE with inheritance, each class resolved once."""

    _internal: ClassVar[Row] = TABLE[GateError]

    def __missing__(self, cls: type[BaseException]) -> Row:
        row = next((TABLE[base] for base in cls.__mro__ if base in TABLE), self._internal)
        self[cls] = row
        return row


_rows = _Lookup()


def row_for(error: BaseException) -> Row:
    """The row of TABLE for an error.  Anything that is not a GateError is a 500."""
    return _rows[type(error)]
