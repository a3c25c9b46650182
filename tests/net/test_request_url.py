from __future__ import annotations

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asgi_llmgate.net.request_url import ParsedURL, parse_url

URLS = [
    "https://api.openai.com/v1/chat/completions",
    "http://localhost:11434/v1?api-version=2024-10-21",
    "http://LocalHost:80/A",
    "https://a.test:443",
    "https://a.test:8443?x",
    "https://a.test/?",
    "http://[::1]:8000/v1",
    "http://[::1]/v1",
    "http://10.0.0.1/",
    "https://user:p%40ss@a.test/v1",
    "https://us@er@a.test/v1",
    "https://bücher.test/ä?ö=ü",
    "https://a.test/a b/{c}/`d`/%2F/%zz/|^~[]\\;=@:!$&'()*+,-._",
    'https://a.test/x?a="<b>"&c={d}`|^\'%41%',
    "https://a.test/a/../b/./c",
    "https://a.test/../a",
    "https://a.test/a/..",
    "https://a.test/a//b/",
    "https://a.test/x#fragment",
    "https://a_b.test/",
    "https://a.test:/x",
]
"""Those that a request can be sent to."""

NO_URLS = [
    "/v1",
    "a.test",
    "http://",
    "ftp://a.test/",
    "http://a.test:x/",
    "http://[::g]/",
    "http://a.test/\n",
    "http://a.test/" + "a" * 2**16,
    "http://a b.test/",
]


def parts(url: ParsedURL | httpx.URL) -> tuple[object, ...]:
    return url.scheme, url.raw_host, url.port, url.netloc, url.raw_path


@pytest.mark.parametrize("text", URLS)
def test_a_url_is_what_it_is_for_httpx(text: str) -> None:
    url = parse_url(text)
    assert parts(url) == parts(httpx.URL(text))
    assert parts(parse_url(str(url))) == parts(url)


@given(st.text(max_size=20), st.none() | st.text(max_size=20))
@example("/%", None)
def test_any_path_and_query_is_written_as_httpx_does(path: str, query: str | None) -> None:
    text = "http://a.test/" + path + ("" if query is None else "?" + query)
    try:
        expected = parts(httpx.URL(text))
    except (httpx.InvalidURL, ValueError):
        with pytest.raises(ValueError, match=r"not a URL|surrogates"):
            parse_url(text)
    else:
        assert parts(parse_url(text)) == expected


@pytest.mark.parametrize("text", NO_URLS)
def test_what_is_no_url_raises_without_its_text(text: str) -> None:
    with pytest.raises(ValueError) as raised:
        parse_url(text)
    assert text not in str(raised.value)
