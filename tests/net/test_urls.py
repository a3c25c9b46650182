from __future__ import annotations

import pytest

from asgi_llmgate.net.urls import redact_url

SECRET = "s3cr3t"
URLS = {
    "https://api.test/v1": "https://api.test/v1",
    "https://api.test:8443/v1/": "https://api.test:8443/v1/",
    "https://s3cr3t@api.test/v1": "https://api.test/v1",
    "https://bob:s3cr3t@api.test/v1": "https://api.test/v1",
    "https://:s3cr3t@api.test": "https://api.test",
    "https://bob:@api.test": "https://api.test",
    "https://bob:s3cr3t@[::1]:8000/v1": "https://[::1]:8000/v1",
    "https://bob:s%403cr3t@api.test": "https://api.test",
    "https://bob:pw@s3cr3t@api.test/": "https://api.test/",
    "https://bob:s3cr3t/pw@api.test/": "https://api.test/",
    "https://bob:s3cr3t?pw@api.test/": "https://...",
    "https://bob:s3cr3t#pw@api.test/": "https://...",
    "https://bob:s3cr3t pw@api.test/": "https://api.test/",
    "https://s3cr3t?pw@api.test/": "https://...",
    "https://bob:s3cr3t": "https://...",
    "bob:s3cr3t": "...",
    "https://api.test/jwks?mail=a@b&token=s3cr3t": "https://api.test/jwks?...",
    "localhost:8000/v1": "localhost:8000/v1",
    "https://api.test/jwks?token=s3cr3t": "https://api.test/jwks?...",
    "https://api.test/jwks?a=1&api-version=2&key=s3cr3t": "https://api.test/jwks?...",
    "https://api.test?s3cr3t": "https://api.test?...",
    "https://api.test/#s3cr3t": "https://api.test/?...",
    "HTTPS://bob:s3cr3t@API.test": "HTTPS://API.test",
    "http://bob:s3cr3t@proxy.corp:3128": "http://proxy.corp:3128",
    "socks5h://bob:s3cr3t@proxy.corp:1080": "socks5h://proxy.corp:1080",
    "postgresql://llm:s3cr3t@db.corp:5432/usage": "postgresql://db.corp:5432/usage",
    "postgresql+psycopg://llm:s3cr3t@db/usage?sslmode=require&password=s3cr3t": "postgresql+psycopg://db/usage?...",
    "postgresql://db/usage?host=/run&user=llm&password=s3cr3t": "postgresql://db/usage?...",
    "redis://:s3cr3t@cache.corp:6379/0": "redis://cache.corp:6379/0",
    "sqlite:///llmgate.db": "sqlite:///llmgate.db",
    "//bob:s3cr3t@api.test/v1": "//api.test/v1",
    "bob:s3cr3t@api.test": "api.test",
    "": "",
    "env": "env",
    "not a URL": "...",
    "env:LLMGATE_SECRET": "...",
}


@pytest.mark.parametrize("url", URLS)
def test_what_may_be_a_credential_in_an_address_is_not_shown(url: str) -> None:
    assert redact_url(url) == URLS[url]
    assert SECRET not in redact_url(url)
    assert redact_url(redact_url(url)) == redact_url(url)
