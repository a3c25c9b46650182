"""The page over HTTP: who is let in, what is answered, what a browser is told about it."""

from __future__ import annotations

import csv
import re
from collections import ChainMap, OrderedDict, UserDict
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from asgi_llmgate import SettingsError, mount
from asgi_llmgate.page import OneTimeLink, UsagePage, queries
from asgi_llmgate.testing.driver import Driver, Reply, call
from asgi_llmgate.usage.ledger import Database, parse_url
from tests.library.without_extras import run_python

Make = Callable[..., UsagePage]


async def host(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("the page is not the host's")


async def get(page: UsagePage, path: str = "/", query: str = "", **options: Any) -> Reply:
    return await call(mount(host, "/llm-usage", page), "GET", f"/llm-usage{path}", query=query, **options)


class Outline(HTMLParser):
    """What stands in a page: tags with their attributes, and that they are closed in the order they were opened."""

    VOID = ("meta", "link", "input")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, (tag, self._open, self.getpos())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


async def test_the_page_is_well_formed_and_loads_nothing_but_its_style(page: Make) -> None:
    reply = await get(page())
    assert reply.status == 200
    outline = Outline(reply.body.decode())
    assert [each["href"] for each in outline.all("link")] == ["/llm-usage/style.css"]
    for tag in ("script", "style", "img", "iframe", "object"):
        assert outline.all(tag) == []
    assert not [attributes for _, attributes in outline.tags if "style" in attributes]
    assert not [name for _, attributes in outline.tags for name in attributes if name.startswith("on")]
    for each in outline.all("a"):
        assert re.match(r"/llm-usage/|#", each["href"] or "")


async def test_headings_labels_and_tables_are_there_for_those_who_do_not_see(page: Make) -> None:
    outline = Outline((await get(page())).body.decode())
    assert len(outline.all("h1")) == 1
    assert all(each.get("aria-label") or each.get("aria-hidden") for each in outline.all("svg"))
    assert all(each.get("scope") for each in outline.all("th"))
    assert outline.all("html")[0]["lang"] == "en"
    assert len(outline.all("label")) == len(outline.all("select"))
    regions = [each for each in outline.all("div") if each.get("role") == "region"]
    assert all(each.get("tabindex") == "0" for each in regions)


async def test_the_headers_forbid_everything_else_to_the_browser(page: Make) -> None:
    reply = await get(page())
    assert reply.headers["content-security-policy"] == (
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["referrer-policy"] == "no-referrer"
    assert reply.headers["x-content-type-options"] == "nosniff"


async def test_what_callers_say_is_text(page: Make) -> None:
    for query in ("", "user=%3Cscript%3E&nobody=%22%3E%3Cb%3E", "range=%22%3E"):
        body = (await get(page(), query=query)).body.decode()
        assert "<script" not in body
        assert "<b>" not in body
        Outline(body)


class Loose:
    """Equal to everything and true, as a mock is."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


REFUSED = [
    None, False, "", " ", "\t", "/login\r\nset-cookie: a=b", "/login\n", "\0", "\u2028/login",
    {}, OrderedDict(), MappingProxyType({}), ChainMap(), UserDict(),
    0, 1, -1, 0.0, 1.0, [], ["alice"], (), ("alice",), set(), {"alice"}, frozenset(), b"", b"alice", bytearray(b"x"),
    object(), Loose(), Ellipsis, NotImplemented, float("nan"), int, lambda: True, Exception("denied"), iter([True]),
]  # fmt: skip


@pytest.mark.parametrize("viewer", REFUSED, ids=lambda viewer: f"{type(viewer).__name__} {viewer!a:.20}")
async def test_a_refused_viewer_sees_nothing(page: Make, viewer: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def later(scope: Any) -> Any:
        return viewer

    for auth in (lambda scope: viewer, later):
        made = page(page_auth=auth)
        for path in ("/", "/calls.csv"):
            for method in ("GET", "HEAD"):
                reply = await call(made, method, path, scope={"root_path": ""})
                assert reply.status == 403
                assert b"alice" not in reply.body
    known = viewer is None or isinstance(viewer, (bool, str, Mapping))
    assert len(caplog.records) == (0 if known else 2)  # once for each page


@pytest.mark.parametrize(
    "viewer",
    [
        True,
        {"name": "ada"},
        {"a": None},
        OrderedDict(a=1),
        MappingProxyType({"a": 1}),
        ChainMap({"a": 1}),
        UserDict(a=1),
    ],
    ids=repr,
)
async def test_who_is_let_in_is_true_or_a_mapping_with_something_in_it(page: Make, viewer: Any) -> None:
    for path in ("/", "/calls.csv"):
        assert (await get(page(page_auth=lambda scope: viewer), path)).status == 200


async def test_an_asynchronous_login_may_send_to_its_own_page(page: Make) -> None:
    async def login(scope: Any) -> str:
        return "/login?next=/llm-usage/"

    reply = await get(page(page_auth=login))
    assert (reply.status, reply.headers["location"]) == (303, "/login?next=/llm-usage/")


def test_there_is_no_page_without_a_login(database: Database) -> None:
    with pytest.raises(TypeError, match="page_auth"):
        UsagePage(database)  # type: ignore[call-arg]


async def test_the_rule_decides_which_calls_a_viewer_sees(page: Make) -> None:
    rule = 'viewer.role == "admin" || record.team == viewer.team'
    for viewer, seen, hidden in (
        ({"role": "lead", "team": "search"}, ["bob"], ["alice"]),
        ({"role": "admin", "team": ""}, ["alice", "bob"], []),
        (True, [], ["alice", "bob"]),  # the rule cannot be evaluated: nothing is shown
    ):
        made = page(page_auth=lambda scope, viewer=viewer: viewer, see=rule)
        for path in ("/", "/calls.csv"):
            body = (await get(made, path, query="range=30d")).body.decode()
            assert all(name in body for name in seen)
            assert not any(name in body for name in hidden)
        told = (await get(made, query="user=alice")).body.decode()
        assert ("<dt>Requests</dt><dd>0</dd>" in told) == ("alice" in hidden)


def test_an_invalid_rule_is_an_error_at_the_start(page: Make) -> None:
    with pytest.raises(SettingsError):
        page(see="viewer.role ==")


async def test_the_one_time_link(page: Make) -> None:
    link = OneTimeLink()
    made = page(page_auth=link)
    query = link.path().partition("?")[2]
    told = await get(made)
    assert (told.status, told.body[:21]) == (403, b"you are not logged in")
    first = await get(made, query=query)
    assert (first.status, first.headers["location"]) == (303, "/llm-usage/?range=24h")
    told = await get(made, query=query)
    assert (told.status, told.body[:29]) == (403, b"this login link has been used")
    assert query.encode() not in told.body
    cookie = first.headers["set-cookie"].partition(";")[0]
    assert (await get(made, headers={"cookie": cookie})).status == 200


async def test_calls_as_csv(page: Make) -> None:
    reply = await get(page(), "/calls.csv", query="range=24h")
    assert reply.headers["content-disposition"] == 'attachment; filename="llm-calls-24h.csv"'
    rows = list(csv.DictReader(reply.body.decode().splitlines()))
    assert [row["request_id"] for row in rows] == ["x", "b2", "b1", "a2", "a1"]
    assert rows[0]["team"] == "'=cmd()"
    assert [row["cost_usd"] for row in rows] == ["0.25", "", "0.5", "", "2.0"]
    filtered = await get(page(), "/calls.csv", query="range=24h&team=search")
    assert [row["request_id"] for row in csv.DictReader(filtered.body.decode().splitlines())] == ["b2", "b1"]
    nothing = await get(page(), "/calls.csv", query="team=nobody")
    assert nothing.body.decode().count("\r\n") == 1


async def test_a_download_ends_when_its_reader_leaves(page: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "_CHUNK", 1)
    read: list[int] = []
    made = page()
    calls = made._queries.calls

    def counted(*arguments: Any) -> Any:
        for rows in calls(*arguments):
            read.append(len(rows))
            yield rows

    monkeypatch.setattr(made._queries, "calls", counted)
    async with Driver(made, "GET", "/calls.csv") as client:
        assert (await client.chunk()).startswith(b"time,request_id")
        client.hold()
        client.disconnect()
        await client.finish()
    assert made._threads is not None
    made._threads.shutdown()  # it may still read, and the database is closed after this test
    assert len(read) < 5


@pytest.mark.parametrize(
    "query", ["", "range=1h", "range=7d", "range=1y", "team=search", "team=nobody", "outcome=refused"]
)
async def test_every_view_has_its_numbers(page: Make, query: str) -> None:
    body = (await get(page(), query=query)).body.decode()
    Outline(body)
    calls = re.search(r"<dt>Requests</dt><dd>(\d+)</dd>", body)
    assert calls is not None
    expected = {
        "": 5,
        "range=1h": 3,
        "range=7d": 5,
        "range=1y": 7,
        "team=search": 2,
        "team=nobody": 0,
        "outcome=refused": 1,
    }
    assert int(calls[1]) == expected[query]


async def test_tools_have_a_table_of_their_own(page: Make) -> None:
    body = (await get(page())).body.decode()
    assert "tool calls in 40% of requests" in body
    (table,) = re.findall(r"<h2>By tool</h2>.*?</table>", body, re.DOTALL)
    assert re.findall(r'class="name" title=".*?">(.*?)<', table)[:3] == ["Read", "&lt;script&gt;", "=Bash"]
    assert re.findall(r'class="n">([^<]*)</td>', table)[:3] == ["2", "240", "$2.50"]
    hidden = (await get(page(see='record.team == "search"'))).body.decode()
    assert "mcp__a_server" in hidden
    assert "Edit" not in hidden
    assert "No tools were called in the last 24 hours." in (await get(page(), query="outcome=refused")).body.decode()
    rows = (await get(page(), "/calls.csv", query="user=alice")).body.decode()
    assert '"Read, =Bash, Edit"' in rows


async def test_other_requests(page: Make) -> None:
    app = mount(host, "/llm-usage", page())
    assert (await call(app, "POST", "/llm-usage/")).headers["allow"] == "GET, HEAD"
    assert (await call(app, "GET", "/llm-usage/nothing")).status == 404
    assert (await call(app, "HEAD", "/llm-usage/")).body == b""
    assert (await call(app, "HEAD", "/llm-usage/calls.csv")).body == b""
    style = await call(page(page_auth=lambda scope: None), "GET", "/style.css")
    assert (style.status, style.headers["content-type"]) == (200, "text/css; charset=utf-8")


async def test_a_database_that_cannot_be_read_is_a_503_with_a_page(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"this is no database" * 100)
    page = UsagePage(Database(parse_url("sqlite:///ledger.db", tmp_path)), page_auth=lambda scope: True)
    reply = await get(page)
    assert reply.status == 503
    assert b"The usage database is not available" in reply.body
    assert (await get(page, "/calls.csv")).status == 503
    await page.shutdown()


async def test_the_page_of_a_settings_file(tmp_path: Path) -> None:
    file = tmp_path / "llmgate.yaml"
    settings = "backends: {o: {base_url: http://x}}\nmodels: [{match: '*', use: o}]\n"
    file.write_text(settings)
    with pytest.raises(SettingsError, match=r"usage.ledger: the settings have no ledger to show"):
        UsagePage.from_file(file, page_auth=lambda scope: True)
    file.write_text(settings + "usage: {ledger: {}}\n")
    page = UsagePage.from_file(file, page_auth=lambda scope: True)
    reply = await get(page)
    assert b"No calls in the last 24 hours." in reply.body
    await page.shutdown()


@pytest.mark.parametrize("missing", ["jinja2", "sqlalchemy"])
def test_what_the_page_needs_is_named_where_it_is_not_there(missing: str) -> None:
    done = run_python("from asgi_llmgate import UsagePage", hidden=[missing])
    assert f"MissingExtra: the usage page needs {missing} (pip install " in done.stderr
    assert "[page]" in done.stderr
