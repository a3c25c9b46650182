"""The address of a model server as people write it: what is sent from it, and what is refused with words.

as written                                         what is done
-------------------------------------------------  -------------------------------------------------------------
white space around it, a slash at its end          left out
?api-version=2024-10-21 (Azure)                    goes with each request, beside the client's own query
.../v1/chat/completions: the whole address         the part before the path of the dialect
.../v1/models                                      the part before `/models`
https://user:password@host/v1                      the `authorization` header, Basic (RFC 7617)
.../v1/messages, /v1/responses, ... of another API refused
localhost:11434, a fragment, white space inside    refused
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote_plus, urlsplit

from asgi_llmgate.errors import SettingsError
from asgi_llmgate.net.urls import DEFAULT_PORTS, basic_authorization, redact_url
from asgi_llmgate.secret_values import Secret

_EXAMPLE = "such as https://api.openai.com/v1"

_AROUND = " \t\r\n\v\f\u00a0\u200b\ufeff"
"""White space, and what is invisible where an address was copied from a page."""

_INSIDE = re.compile(r"[\s\x00-\x20\x7f\u200b\ufeff]")

_HOST = re.compile(r"[^\s/?#@\[\]:\\<>\"'`{}|^$%]+|\[[0-9a-f:.]+(?:%[\w.~-]+)?\]", re.IGNORECASE)

_ENDPOINTS = ("/chat/completions", "/completions", "/messages", "/responses", "/embeddings")
"""The ends of addresses that are no base: what other APIs, or this one, have under it."""

_HINTS = {
    "/messages": ": anthropic",
    "/completions": "; dialect: {path: /completions} if that server has chat completions there",
}


@dataclass(frozen=True, slots=True)
class BaseURL:
    """`root` is scheme, host and path, without a slash at its end; `query` goes with each request.

    `authorization` is the header for a user and password. The repr shows no secret: a query may hold a key.
    """

    root: str
    query: str = field(default="", repr=False)
    authorization: Secret | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        where = urlsplit(self.root)
        return where.hostname or "", where.port or DEFAULT_PORTS[where.scheme]

    def join(self, path: str, query: str = "", *, at_root: bool = False) -> str:
        """The URL of a path, with the query of a client. With `at_root` the path is beside `/v1` and not under it.

        A parameter that the settings name is theirs: the client's of the same name is left out.
        """
        root = self.root.removesuffix("/v1") if at_root else self.root
        if self.query:
            own = {_name(pair) for pair in self.query.split("&")}
            query = "&".join((self.query, *(pair for pair in query.split("&") if pair and _name(pair) not in own)))
        return f"{root}{path}?{query}" if query else root + path


def parse_base_url(text: str, endpoint: str = "/chat/completions") -> BaseURL:
    """Read the address of a model server; `endpoint` is the path that will be added to it.

    Raises SettingsError, whose message shows no user, password or query.
    """
    given = text.strip(_AROUND)
    shown = redact_url(given)
    if _INSIDE.search(given):
        raise SettingsError("the URL has white space in it", hint="is it two lines, or two URLs?")
    scheme, separator, rest = given.partition("://")
    if separator and scheme.lower() not in DEFAULT_PORTS:
        raise SettingsError(f"not an http or https URL: {shown!r}", hint=_EXAMPLE)
    if not separator or not rest:
        hint = f"http://{shown}, if it is there" if _looks_like_host(given) else _EXAMPLE
        raise SettingsError(f"not a URL: {shown!r} does not begin with http:// or https://", hint=hint)
    if "#" in rest:
        raise SettingsError("the URL has a fragment (#...), which is never sent to a server", hint="leave it out")
    where = _split(given, shown)
    credentials, _, place = where.netloc.rpartition("@")
    root = f"{where.scheme}://{place.lower()}{_base_path(where.path.rstrip('/'), endpoint)}"
    user, _, password = credentials.partition(":")
    return BaseURL(root, where.query, basic_authorization(user, password) if credentials else None)


def _split(given: str, shown: str) -> SplitResult:
    try:
        where = urlsplit(given)
        _ = where.port  # raises for one that is no number, or is too large
    except ValueError:
        raise SettingsError(
            f"not a URL: {shown!r}", hint="an IPv6 address stands in brackets, a port is a number"
        ) from None
    host = where.netloc.rpartition("@")[2]
    if not _HOST.fullmatch(host.rpartition(":")[0] if re.search(r":\d*\Z", host) else host):
        raise SettingsError(f"not a URL: {shown!r} has no valid host", hint=_EXAMPLE)
    return where


def _base_path(path: str, endpoint: str) -> str:
    """The path of an address without the endpoint that people copy with it."""
    if not endpoint:
        return path  # the whole address is in the settings
    if path.endswith(endpoint):
        return path.removesuffix(endpoint).rstrip("/")
    if path.endswith("/v1/models"):
        return path.removesuffix("/models")
    for other in _ENDPOINTS:
        if path.endswith(other):
            raise SettingsError(
                f"the URL ends in {other}, which is another API than that of the backend's dialect ({endpoint})",
                hint=f"the part before {other}, and the dialect of the server" + _HINTS.get(other, ""),
            )
    return path


def _looks_like_host(given: str) -> bool:
    return re.match(r"[\w.-]+(:\d+)?(/|\Z)", given) is not None


def _name(pair: str) -> str:
    return unquote_plus(pair.partition("=")[0])
