"""Lists of tools that are opened once and kept, because the next request has the same."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from msgspec import Raw

from asgi_llmgate.errors import InvalidRequest, StructureTooLarge
from asgi_llmgate.protocol.messages import tools
from asgi_llmgate.protocol.messages.tools import is_kept, read_tools
from asgi_llmgate.protocol.rawjson.structure import Structure


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "_kept", {})


def _tools(*names: str, **more: object) -> Raw:
    return Raw(msgspec.json.encode([{"name": name, **more} for name in names]))


def test_the_same_bytes_are_opened_once() -> None:
    first = read_tools(_tools("Read", "Bash"))
    assert [tool.name for tool in first] == ["Read", "Bash"]
    assert read_tools(_tools("Read", "Bash")) is first
    assert is_kept(first)
    assert not is_kept(first[:1])
    assert read_tools(_tools("Read", "Edit")) is not first


def test_what_is_kept_does_not_keep_the_body() -> None:
    body = b'{"tools":[{"name":"Only here"}],"messages":[]}'
    before = sys.getrefcount(body)
    kept = read_tools(msgspec.json.decode(body, type=dict[str, Raw])["tools"])
    assert kept
    assert sys.getrefcount(body) == before


def test_limits_are_checked_again_where_they_differ() -> None:
    read_tools(_tools("Read", "Bash"))
    with pytest.raises(StructureTooLarge, match=r"tools: 2 tools; at most 1 are allowed"):
        read_tools(_tools("Read", "Bash"), Structure(tools=1))


def test_what_is_not_valid_is_refused_each_time() -> None:
    for _ in range(2):
        with pytest.raises(InvalidRequest, match=r"tools\.1\.name: Input should be a valid string"):
            read_tools(Raw(b'[{"name":"Read"},{"name":7}]'))
    assert not tools._kept


@pytest.mark.parametrize(
    "large",
    [
        pytest.param(_tools("Read", description="x" * tools.MAX_KEPT_BYTES), id="bytes"),
        pytest.param(_tools("Read", **{f"x{number}": 1 for number in range(tools._MAX_KEPT_FIELDS)}), id="fields"),
    ],
)
def test_a_large_list_is_not_kept(large: Raw) -> None:
    opened = read_tools(large)
    assert [tool.name for tool in opened] == ["Read"]
    assert not tools._kept
    assert not is_kept(opened)


def test_only_the_newest_lists_are_kept() -> None:
    for number in range(tools.MAX_KEPT + 3):
        read_tools(_tools(f"Tool{number}"))
    assert len(tools._kept) == tools.MAX_KEPT
    assert b"Tool0" not in b"".join(text for text, _ in tools._kept)
    assert f"Tool{tools.MAX_KEPT + 2}".encode() in b"".join(text for text, _ in tools._kept)


def test_requests_that_are_read_in_several_threads_keep_no_more() -> None:
    lists = [[_tools(f"Tool{thread}-{number}") for number in range(5000)] for thread in range(4)]

    def read(several: list[Raw]) -> None:
        for each in several:
            read_tools(each)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(len(lists)) as threads:
            list(threads.map(read, lists))  # raises what one of them has raised
    finally:
        sys.setswitchinterval(before)
    assert len(tools._kept) == tools.MAX_KEPT
