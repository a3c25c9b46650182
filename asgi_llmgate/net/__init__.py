"""Outgoing HTTP requests: the client, its connections per event loop, and the credentials that it sends."""

from asgi_llmgate.concurrency.per_loop import PerLoop
from asgi_llmgate.concurrency.single_flight import SingleFlight
from asgi_llmgate.net.client import Fetched, HTTPClient, send_again_if_stale
from asgi_llmgate.net.credentials import CallableSource, CredentialSource
from asgi_llmgate.net.deadline import Timeouts
from asgi_llmgate.net.headers import header_name, header_value
from asgi_llmgate.net.oauth import OAuthClient
from asgi_llmgate.net.request_url import RequestURL
from asgi_llmgate.net.response import HTTPResponse
from asgi_llmgate.net.secrets import FileSecret, SecretSource, StaticSecret, parse_secret

__all__ = [
    "CallableSource",
    "CredentialSource",
    "Fetched",
    "FileSecret",
    "HTTPClient",
    "HTTPResponse",
    "OAuthClient",
    "PerLoop",
    "RequestURL",
    "SecretSource",
    "SingleFlight",
    "StaticSecret",
    "Timeouts",
    "header_name",
    "header_value",
    "parse_secret",
    "send_again_if_stale",
]
