"""Responses that are not JSON: pages of firewalls, proxies and sign-in services, XML, plain text.

What stands in front of a model server (Cloudflare, nginx, a load balancer, an identity-aware proxy) responds in its
place.  A 403 of a firewall is not about the gateway's key, and nobody finds the cause if an error says that it is.
"""

from __future__ import annotations

from typing import NamedTuple

from asgi_llmgate.errors import Blocked, UpstreamError
from asgi_llmgate.protocol.servers.errors.report_fields import ErrorReport
from asgi_llmgate.protocol.servers.errors.reports import cut
from asgi_llmgate.protocol.servers.wordings.pages import FIREWALL, HTML, SIGN_IN, XML_CODE, XML_MESSAGE

_LONGEST_PAGE = 16 * 1024
"""Bytes of a page that are searched."""

FIREWALL_MESSAGE = (
    "a firewall in front of the model server refused the request, perhaps because of words in this conversation; "
    "the operator of the gateway can have it allowed"
)
_PROXY_MESSAGE = (
    "a proxy in front of the model server refused the request, or the server itself without a reason; tell the "
    "operator of the gateway"
)
_CREDENTIAL_MESSAGE = (
    "the model server, or a proxy in front of it, wants another credential; the operator of the gateway must check it"
)
_PROXY_CREDENTIAL_MESSAGE = (
    "a proxy between the gateway and the model server wants a credential; the operator of the gateway must set one"
)
_REDIRECT_MESSAGE = (
    "the model server's address responds with a redirect; the operator of the gateway must set the final address"
)
_SIGN_IN_MESSAGE = (
    "the model server's address responds with a sign-in page; the operator of the gateway must let the gateway through"
)
_PAGE_MESSAGE = (
    "the model server's address responds with a web page; the operator of the gateway must check the address"
)

_FIREWALL_STATUSES = frozenset({200, 400, 403, 405, 406, 501, 503})


class Page(NamedTuple):
    """What a response that is not JSON means: the error with its message, or a report that is classified as any."""

    kind: type[UpstreamError] | None = None
    message: str = ""
    report: ErrorReport | None = None


def read_page(status: int, body: bytes) -> Page:
    """`status` may be 200: then the page stands in place of a completion."""
    text = body[:_LONGEST_PAGE].decode("utf-8", "replace").strip()
    lowered = text.lower()
    if 300 <= status < 400:
        return Page(Blocked, _SIGN_IN_MESSAGE if SIGN_IN.search(lowered) else _REDIRECT_MESSAGE)
    if status == 407:
        return Page(Blocked, _PROXY_CREDENTIAL_MESSAGE)
    if status in _FIREWALL_STATUSES and FIREWALL.search(lowered):
        return Page(Blocked, FIREWALL_MESSAGE)
    if HTML.search(lowered):
        return _read_html(status, lowered)
    if status == 403 and not text.startswith("<"):
        return Page(Blocked, _PROXY_MESSAGE)
    if status == 200 or not text or "\ufffd" in text:
        return Page()
    return Page(report=_read_xml(text) if text.startswith("<") else ErrorReport(cut(text)))


def _read_html(status: int, lowered: str) -> Page:
    if status in (200, 401, 403) and SIGN_IN.search(lowered):
        return Page(Blocked, _SIGN_IN_MESSAGE)
    if status == 200:
        return Page(Blocked, _PAGE_MESSAGE)
    if status == 401:
        return Page(Blocked, _CREDENTIAL_MESSAGE)
    return Page(Blocked, _PROXY_MESSAGE) if status == 403 else Page()


def _read_xml(text: str) -> ErrorReport | None:
    message, code = XML_MESSAGE.search(text), XML_CODE.search(text)
    if message is None and code is None:
        return None
    return ErrorReport(message[1].strip() if message else "", code[1].strip().lower() if code else "")
