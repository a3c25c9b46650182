"""Everything that can go wrong, as one tree, and one table of what each of it looks like from outside.

    GateError
      + SettingsError                  the settings are wrong; raised at start only, names the place
      + Refusal                        we answer instead of the model
      |   + InvalidRequest             the body, or a field of it, cannot be understood
      |   |   + ThreadsUnsupported    ... since it counts on a conversation that is kept here
      |   + MethodNotAllowed
      |   + NotFound                   no such path, no such model
      |   + BodyTooLarge
      |   |   + StructureTooLarge      ... not in bytes, in what it holds
      |   + BodyTooSlow
      |   + TooManyBodies              this process holds as many request bodies as it may
      |   + AuthenticationFailed       no token, or not a good one
      |   + KeysUnavailable            the token cannot be judged now
      |   + NotAuthorized              a rule says no
      |   |   + ModelDenied           ... to this model, told as a 400 for clients that take a 403 for a bad login
      |   |   + MissingScope
      |   |   + CrossSite              a cookie came along with a request that a foreign page can have made
      |   + RateLimited
      |   + ShuttingDown               this process is about to end; another will answer
      |   + InternalError              a defect of ours
      + UpstreamError                  the model server did not give an answer
      |   + NotSent                    the request never left: another try costs nothing
      |   |   + ConnectionRefused                nobody listens there
      |   |   + Unreachable            DNS or TLS
      |   + MaybeSent                  gone after the request was written: it may have been billed
      |   + TimedOut                   `phase` says waiting for what
      |   + Broken                     the answer was cut, or is not what an OpenAI-style server sends
      |   |   + ResponseTooLarge         ... or more of it would have to be kept here than may be
      |   + RequestRejected                   the model server refuses this request (its 400)
      |   |   + PromptTooLong          ... because the conversation does not fit
      |   |   + TooLarge               ... or the body is over its limit
      |   |   + UnknownModel
      |   + CredentialRefused          OUR key is bad there; never the caller's 401
      |   + QuotaExhausted             our account has no money there
      |   + Throttled                  its 429
      |   + Failed                     its 500
      |   + Overloaded                 its 503, 529, "loading model"
      + ClientGone                     the caller has left; nobody reads an answer

Three texts, by who reads them:

    message  our own words: no key, token, claim, prompt or internal address.  Logs and records have it
    told     what the caller reads; `message`, unless there is more that he may know: his own text, or the words of a
             model server about his request, which quote it.  It goes into his answer and nowhere else
    detail   for the operator's log and record alone; our own words, like `message`

What stands in TABLE is the whole mapping; no status code is chosen anywhere else.  Anthropic's types:
https://platform.claude.com/docs/en/api/errors, OpenAI's: the `type` strings that
https://platform.openai.com/docs/guides/error-codes shows.
"""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple, Self

__all__ = [
    "NOT_SOON",
    "REASONS",
    "TABLE",
    "AuthenticationFailed",
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
"""Seconds until the same request may be worth another try where nothing here will change by itself.  Claude Code runs
its apiKeyHelper again on each 401 and 403 and tries for minutes, unless it is told to wait for more than one."""

Phase = Literal["connect", "pool", "first_byte", "idle", "total"]


class GateError(Exception):
    """Root of the tree.

    `retry_after` is seconds (header `retry-after`).  `should_retry` is written to `x-should-retry`, which Anthropic's
    clients obey; None leaves the header out.  `error_code` is Anthropic's name for the case, told in `error.details`
    where its clients act on it.
    """

    retry_after: float | None = None
    should_retry: bool | None = None
    error_code: str = ""
    challenge: str | None = None
    """Value of `www-authenticate` (RFC 6750 section 3), when there is one to send."""

    def __init__(self, message: str, *, told: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.told = told or message
        self.detail = detail

    def __copy__(self) -> Self:
        """The same without its traceback; made anew of `args`, as exceptions are copied, it would lack the rest."""
        made = type(self).__new__(type(self), *self.args)
        made.__dict__.update(self.__dict__)
        return made


class SettingsError(GateError):
    """The settings are wrong.  `path` is the place in the file (`auth.providers[0].issuer`), `hint` a mend."""

    def __init__(self, message: str, *, path: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.path = path
        self.hint = hint

    def __str__(self) -> str:
        place = f"{self.path}: " if self.path else ""
        return f"{place}{self.message}" + (f" ({self.hint})" if self.hint else "")


class Refusal(GateError):
    """We answer instead of the model."""


class InvalidRequest(Refusal):
    """What is quoted of the request (a name, an id) is in `told` alone."""

    def at(self, place: str) -> InvalidRequest:
        """The same about a part of the request: `place` (`messages.3`) goes in front of what is said of it."""
        return InvalidRequest(f"{place}.{self.message}", told=f"{place}.{self.told}", detail=self.detail)


class ThreadsUnsupported(InvalidRequest):
    """With `thread` a server keeps the conversation and a client sends what is new in it.  The SDKs' tool runners try
    that first; told by this code that it is not to be had, they send whole conversations."""

    error_code = "thread_unsupported_request"


class MethodNotAllowed(Refusal):
    def __init__(self, allow: str) -> None:
        super().__init__(f"method not allowed; allowed: {allow}")
        self.allow = allow


class NotFound(Refusal):
    pass


class BodyTooLarge(Refusal):
    pass


class StructureTooLarge(BodyTooLarge):
    """Not its bytes: the values that it holds, or how deep they lie."""


class BodyTooSlow(Refusal):
    """The rest of the body may come later and is no request, so the connection cannot be used again."""


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
    def __init__(self, message: str, *, retry_after: float, detail: str = "") -> None:
        super().__init__(message, detail=detail)
        self.retry_after = retry_after


class ShuttingDown(Refusal):
    retry_after = 1.0

    def __init__(self) -> None:
        super().__init__("the gateway is shutting down; try again")


class InternalError(Refusal):
    pass


class UpstreamError(GateError):
    """The model server did not give an answer.  `status` is the HTTP status it sent, 0 when it sent none."""

    def __init__(
        self, message: str, *, told: str = "", detail: str = "", status: int = 0, retry_after: float | None = None
    ) -> None:
        super().__init__(message, told=told, detail=detail)
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
    """`reused`: the connection had served an earlier request, so the server may have closed it before this one came."""

    def __init__(self, message: str, *, detail: str = "", reused: bool = False) -> None:
        super().__init__(message, detail=detail)
        # For the retry on a new connection, which is not built yet: it is safe only where the connection was reused.
        self.reused = reused


class TimedOut(UpstreamError):
    def __init__(self, message: str, *, phase: Phase, detail: str = "") -> None:
        super().__init__(message, detail=detail)
        self.phase = phase


class Broken(UpstreamError):
    pass


class ResponseTooLarge(Broken):
    """`limit` is in bytes.  Another try would cost as much again, and end the same way."""

    should_retry = False

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"the model server's answer is too large: more than {limit} bytes of it would have to be kept",
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
    """How one error looks from outside: HTTP status, the `type` in each envelope, the `reason` in the access log."""

    status: int
    anthropic: str
    openai: str
    reason: str


TABLE: dict[type[GateError], Row] = {
    InvalidRequest: Row(400, "invalid_request_error", "invalid_request_error", "InvalidRequest"),
    ThreadsUnsupported: Row(400, "invalid_request_error", "invalid_request_error", "InvalidRequest"),
    MethodNotAllowed: Row(405, "invalid_request_error", "invalid_request_error", "InvalidRequest"),
    NotFound: Row(404, "not_found_error", "invalid_request_error", "NotFound"),
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
    CredentialRefused: Row(502, "api_error", "server_error", "UpstreamFailure"),
    QuotaExhausted: Row(402, "billing_error", "insufficient_quota", "UpstreamFailure"),
    Throttled: Row(429, "rate_limit_error", "rate_limit_error", "UpstreamFailure"),
    Failed: Row(500, "api_error", "server_error", "UpstreamFailure"),
    Overloaded: Row(529, "overloaded_error", "server_error", "UpstreamFailure"),
    UpstreamError: Row(502, "api_error", "server_error", "UpstreamFailure"),
    ClientGone: Row(499, "api_error", "server_error", "ClientClosed"),
    GateError: Row(500, "api_error", "server_error", "Internal"),
}
"""The most specific row wins.  529 is Anthropic's own "overloaded": its clients retry it with back-off."""

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
    """The row of TABLE for an error; anything that is not ours is a 500 without internals."""
    return _rows[type(error)]
