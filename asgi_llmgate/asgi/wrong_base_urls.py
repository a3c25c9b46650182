"""Wrong base URLs: which requests come from one, and what tells a developer the right one.

A client appends the path of its API to its base URL: Claude Code appends `/v1/messages`.  So a base URL that is wrong
gives a path that still ends as the API's own paths do:

    base URL                            path of the request
    ----------------------------------  ---------------------------------------------------
    https://apps.acme.test              /v1/messages                 the prefix is missing
    https://apps.acme.test/llm/v1       /llm/v1/v1/messages
    https://apps.acme.test/llm/llm      /llm/llm/v1/messages
    https://apps.acme.test/llm//        /llm//v1/messages

All functions take paths as the client sees them: with the root path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from asgi_llmgate._types import Scope
from asgi_llmgate.errors import Misdirected
from asgi_llmgate.exchange_values import Wire
from asgi_llmgate.route import Route

_MESSAGES = ("/messages", "/count_tokens")
_CHAT = ("/chat/completions", "/responses")

_APPENDED = re.compile(r"/v1/messages(?:/count_tokens)?/*\Z")
"""What Claude Code and Anthropic's SDKs append to ANTHROPIC_BASE_URL."""

_HOST = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9.-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_LOOPBACK = re.compile(r"(?:localhost|127\.[0-9.]+|\[::1\])(?::[0-9]+)?")
_OF_PROXIES = (b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip")

_SHOWN = 200
"""Characters of a request's path in a text."""


def api_of(method: str, path: str) -> Wire | None:
    """The wire of a call whose path is no route: what its client wanted to call.  None if it is nothing of the kind."""
    if method != "POST":
        return None
    path = path.rstrip("/").lower()
    if path.endswith(_MESSAGES):
        return "messages"
    return "chat" if path.endswith(_CHAT) else None


def wrong_base_url(asked: str, base: str, scope: Scope, *, public: str = "") -> Misdirected:
    """The error for a call of Anthropic's API at the path `asked`.

    `base` is the path that the base URL should have: that of the mount.  `public` is the gateway's own URL for `base`,
    where it is known.
    """
    whole = public or address_of(scope, base)
    appended = _APPENDED.search(asked)
    if appended is None:
        at = f"{whole or base}/v1/messages"
        return _misdirected(asked, f"the Messages API is at {at}; ANTHROPIC_BASE_URL is that without /v1/messages")
    given = asked[: appended.start()]
    if not given:
        mistake = "ANTHROPIC_BASE_URL has no path and should"
    elif given.startswith(f"{base}/"):
        mistake = f"ANTHROPIC_BASE_URL ends in {_shown(given[len(base) :])} and should not"
    else:
        mistake = f"the path of ANTHROPIC_BASE_URL is {_shown(given)}, where no gateway is"
    if whole:
        return _misdirected(asked, f"{mistake}; set it to {whole}")
    path = f"its path should be {base}" if base else "it should have no path"
    return _misdirected(asked, f"{mistake}; {path}")


def wrong_openai_url(
    asked: str, root: str, scope: Scope, routes: Mapping[str, Route], *, public: str = ""
) -> Misdirected:
    """The error for a call of OpenAI's API at `asked`, in a gateway at the path `root` that has these routes."""
    whole = public or address_of(scope, root) or root
    chat = next((path for path, route in routes.items() if route.kind == "completions"), "")
    if not asked.rstrip("/").lower().endswith("/chat/completions"):
        known = f"; it has chat completions at {whole}{chat}" if chat else ""
        return _misdirected(asked, f"this gateway has no route for OpenAI's Responses API{known}")
    if not chat:
        known = f"; Anthropic's Messages API is at {whole}/v1/messages" if "/v1/messages" in routes else ""
        return _misdirected(asked, f"this gateway has no route for OpenAI's API{known}")
    return _misdirected(asked, f"set the base URL of the client to {whole}{chat.removesuffix('/chat/completions')}")


def address_of(scope: Scope, path: str) -> str:
    """The URL of a path of this server, as the client can use it; "" where that is not known for certain.

    The `host` header is the client's own, unless a proxy has changed it, and may be anything: only a plain host and
    port are used.  Without TLS the address is known on the same machine only.  Elsewhere a proxy may have taken TLS
    off, and a developer who is told `http://` would send his token in the clear.
    """
    headers = scope["headers"]
    hosts = [value for name, value in headers if name.lower() == b"host"]
    host = hosts[0].decode("latin-1") if len(hosts) == 1 else ""
    if not _HOST.fullmatch(host):
        return ""
    scheme = scope.get("scheme", "http")
    local = _LOOPBACK.fullmatch(host) and not any(name.lower() in _OF_PROXIES for name, _ in headers)
    return f"{scheme}://{host}{path}" if scheme == "https" or (scheme == "http" and local) else ""


def _misdirected(asked: str, remedy: str) -> Misdirected:
    return Misdirected(
        "no such path: the base URL of the client is wrong",
        client_message=f"nothing is served at {_shown(asked)}: {remedy}",
    )


def _shown(path: str) -> str:
    return path if len(path) <= _SHOWN else f"{path[:_SHOWN]}..."
