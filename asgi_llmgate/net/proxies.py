"""The proxy that leads to a URL."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from asgi_llmgate.errors import SettingsError
from asgi_llmgate.net.request_url import RequestURL


class Proxies:
    """Which proxy leads to a URL.  `setting` is `env` (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY, in either case,
    read now), `none`, or a proxy's URL, which then holds for every host."""

    def __init__(self, setting: str) -> None:
        self._fixed = None if setting in ("env", "none") else setting
        self._environment = _environment() if setting == "env" else {}
        for proxy in (self._fixed, *(self._environment.get(scheme) for scheme in ("http", "https", "all"))):
            if proxy and not _is_usable(proxy):
                raise SettingsError(
                    "only http:// and https:// proxies are supported, with a host and a valid port",
                    path="proxy",
                    hint="env, none, or a proxy's URL",
                )

    def for_url(self, url: RequestURL) -> str | None:
        if self._fixed or not self._environment:
            return self._fixed
        from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

        if proxy_bypass_environment(url.netloc.decode("ascii"), self._environment):
            return None
        return self._environment.get(url.scheme) or self._environment.get("all")


def _is_usable(proxy: str) -> bool:
    try:
        parts = urlsplit(proxy)
        _ = parts.port  # raises for one that is no number, or is too large
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _environment() -> dict[str, str]:
    # urllib.request loads Python's HTTP client and e-mail parser, and most processes have no proxy.
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return {}
    from urllib.request import getproxies_environment

    found: dict[str, str] = getproxies_environment()
    return found
