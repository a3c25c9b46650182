"""The model server behind the demo's gateway, and words for one that does not work.

The variables of the environment are OpenAI's own: OPENAI_API_KEY, OPENAI_BASE_URL, OPENAI_MODEL.  A real server is
asked for its list of models before anything else: that costs nothing, and an address that is wrong ends the demo at
once.  Whatever else is wrong shows in the scenarios, whose usage records say what kind of error it was.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import click
import httpx

from asgi_llmgate.cli.demo.real_model import NAME, real_model
from asgi_llmgate.cli.demo.traffic import busy_model
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.net.base_url import BaseURL, parse_base_url
from asgi_llmgate.net.tls import tls_context
from asgi_llmgate.testing.llamacpp import KEY
from asgi_llmgate.testing.model_server import ModelServer
from asgi_llmgate.testing.serving import serving

OPENAI = "https://api.openai.com/v1"

_TIMEOUT = httpx.Timeout(15, connect=5)
"""Seconds to wait for the list of models."""

_MAX_LIST = 4 * 2**20
"""Bytes of a list of models that are read."""

_MAX_NAMES = 8
"""Names of models in a message."""

_OWN_REASONS = frozenset({"JwtAuth", "Authorization", "NotFound", "InvalidRequest"})
"""Reasons of errors in which the model server has no part."""

_OTHERWISE = "or unset OPENAI_BASE_URL and OPENAI_API_KEY: the demo then uses a model of its own"
_SERVERS = "http://127.0.0.1:8000/v1 for vLLM, http://127.0.0.1:11434/v1 for Ollama"


@dataclass(frozen=True, slots=True)
class UsedServer:
    """`model`: the name that it is asked for.  `where`: its address, or what it is.  `listed`: the names in its list of
    models, empty where it gave none.  `is_real`: the environment named it.  `fits_claude_code`: its window has room for
    Claude Code's own instructions."""

    model: str
    where: str
    listed: tuple[str, ...] = ()
    is_real: bool = field(default=True, kw_only=True)
    fits_claude_code: bool = field(default=True, kw_only=True)


def is_real() -> bool:
    """Whether the environment names a model server."""
    return bool(os.environ.get("OPENAI_API_KEY") or os.environ.get("OPENAI_BASE_URL"))


@contextlib.contextmanager
def model_server(choice: str | None, traffic: bool) -> Iterator[UsedServer]:
    """The model server of the demo.  Sets the variables that the lab's llmgate.yaml reads.

    `choice` is `real` for the small model of this machine, `scripted` for the embedded server, or None: the server that
    the environment names, else the embedded one.  Raises ClickException for an address where no server responds.
    """
    if choice == "real":
        with real_model() as url:
            os.environ |= {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": KEY, "OPENAI_MODEL": NAME}
            where = "a real language model, on one thread of this machine"
            yield UsedServer(NAME, where, is_real=False, fits_claude_code=False)
        return
    model = os.environ.setdefault("OPENAI_MODEL", "gpt-4o-mini")
    if choice is None and is_real():
        key = os.environ.setdefault("OPENAI_API_KEY", "none")  # a server of one's own may need no key
        base = _base_url(os.environ.get("OPENAI_BASE_URL", OPENAI))
        yield UsedServer(model, base.root, _listed_models(base, key))
        return
    with serving(busy_model(model) if traffic else ModelServer(model=model)) as url:
        os.environ["OPENAI_BASE_URL"], os.environ["OPENAI_API_KEY"] = f"{url}/v1", "sk-embedded"
        where = "embedded, plays a script; set OPENAI_API_KEY or OPENAI_BASE_URL for a real one"
        yield UsedServer(model, where, is_real=False)


def advice(server: UsedServer, status: int, text: str, records: Iterable[Mapping[str, Any]]) -> str:
    """What to do after a scenario without the expected response; `records` are the usage records of the demo."""
    records = list(records)
    kinds = [record["error.type"] for record in records if record.get("reason") not in ("", None, *_OWN_REASONS)]
    kind = kinds[-1] if kinds else ""
    if not server.is_real or (records and not kind):
        return (
            "The response came from the gateway itself: the lab's files in this folder have been changed. "
            "`llmgate check` and `llmgate policy test policy-tests.yaml` show what they mean now; "
            "with --dir and another name the demo creates them again."
        )
    asked = f"The gateway asked {server.where} for the model {server.model}"
    happened = f"{status}: {text}" if status else text
    return f"{asked}. The response: {happened}\n{_what_to_set(server, kind)}"


def _what_to_set(server: UsedServer, kind: str) -> str:
    unknown = bool(server.listed) and server.model not in server.listed
    if kind == "CredentialRefused":
        return f"Set OPENAI_API_KEY to a key that this server accepts, {_OTHERWISE}."
    if kind == "QuotaExhausted":
        return (
            f"The key is good and its account has no credit left. Add some, set another OPENAI_API_KEY, {_OTHERWISE}."
        )
    if kind == "Throttled":
        return f"The server limits how often this key may ask it. Wait and start the demo again, {_OTHERWISE}."
    if kind == "UnknownModel" or unknown:
        return f"Set OPENAI_MODEL to a model of this server{_names(server)}, {_OTHERWISE}."
    if kind in ("RequestRejected", "Blocked", "Broken"):
        return (
            f"Is OPENAI_BASE_URL the address of an API like OpenAI's? It usually ends in /v1: {_SERVERS}; {_OTHERWISE}."
        )
    return f"The server's own log may say more. Correct it and start the demo again, {_OTHERWISE}."


def _names(server: UsedServer) -> str:
    """What a message says about the names of the server's models."""
    if not server.listed:
        return ""
    near = difflib.get_close_matches(server.model, server.listed, n=1)
    shown = ", ".join(server.listed[:_MAX_NAMES]) + (", ..." if len(server.listed) > _MAX_NAMES else "")
    return (f" (did you mean {near[0]}?)" if near else "") + f"; it lists {shown}"


def _base_url(text: str) -> BaseURL:
    try:
        return parse_base_url(text)
    except SettingsError as error:
        raise SettingsError(error.message, path="OPENAI_BASE_URL", hint=error.hint) from None


def _listed_models(base: BaseURL, key: str) -> tuple[str, ...]:
    """The names of the server's models; none where its response is no list.  Raises ClickException without one."""
    url = f"{base.root}/models"
    value = base.authorization.reveal() if base.authorization is not None else f"Bearer {key}"
    try:
        headers, tls = {"authorization": value}, tls_context(None, None, None)  # the gateway's: it asks next
        with httpx.stream("GET", base.join("/models"), headers=headers, timeout=_TIMEOUT, verify=tls) as response:
            content = bytearray()
            for part in response.iter_bytes():
                content += part
                if len(content) > _MAX_LIST:
                    return ()
    except UnicodeEncodeError:
        raise click.ClickException("OPENAI_API_KEY has a character that no key has: copy it again") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise click.ClickException(
            f"the model server does not respond.\n  asked:  GET {url}\n  result: {_reason(error)}\n"
            f"Set OPENAI_BASE_URL to the address of a server that runs ({_SERVERS}), {_OTHERWISE}."
        ) from None
    return _names_in(bytes(content)) if response.status_code == 200 else ()


def _names_in(content: bytes) -> tuple[str, ...]:
    try:
        rows = json.loads(content)["data"]
        return tuple(str(row["id"])[:128] for row in rows if str(row["id"]).isprintable())
    except (ValueError, LookupError, TypeError, RecursionError):
        return ()


def _reason(error: Exception) -> str:
    """The failure in plain words; an exception's own text may quote the URL."""
    if isinstance(error, httpx.ConnectTimeout):
        return "no connection within 5 seconds"
    if isinstance(error, httpx.TimeoutException):
        return "connected, but no response within 15 seconds"
    text = str(error).lower()
    if "certificate" in text:
        return "its certificate is not trusted (SSL_CERT_FILE names a file with your company's certificates)"
    if "refused" in text:
        return "nothing listens at this address (connection refused)"
    if "name or service" in text or "name resolution" in text or "nodename" in text:
        return "the name of the host is not known"
    if isinstance(error, httpx.ProxyError):
        return "the proxy in HTTPS_PROXY or HTTP_PROXY does not connect to it"
    if "ssl" in text or "wrong version" in text:
        return "it does not speak TLS; is it http:// and not https://?"
    return f"the connection failed ({type(error).__name__})"
