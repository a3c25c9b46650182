from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llmgate.protocol.servers.columns import CallIds
from asgi_llmgate.protocol.translation.call_ids import MAX_LENGTH, UpstreamIds, make_call_id, read_call_id

KIMI = "functions.mcp__playwright__browser_take_screenshot:12"
SHAPES: dict[CallIds, str] = {
    "any": r".+",
    "nine": r"[A-Za-z0-9]{9}",
    "up_to_40": r".{1,40}",
    "up_to_64": r"[A-Za-z0-9_-]{1,64}",
    "unique": r"[A-Za-z0-9_-]{1,64}",
}


@given(st.text(max_size=40), st.text(max_size=20), st.integers(1, 1024))
def test_an_id_is_short_plain_and_holds_the_servers_where_that_fits(upstream_id: str, name: str, number: int) -> None:
    made = make_call_id("msg_req_1", number, upstream_id, name)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", made)
    assert read_call_id(made, name) in (upstream_id or None, None)


@pytest.mark.parametrize(
    ("upstream_id", "name"),
    [
        ("call_" + "a1" * 12, "Bash"),
        ("chatcmpl-tool-" + "0f" * 16, "Bash"),
        ("functions.Bash:0", "Bash"),
        (KIMI, "mcp__playwright__browser_take_screenshot"),
        ("D681PevKs", "Bash"),
        ("0", "Bash"),
        ("Z", "Z"),
        ("é:\u4e2d", "Bash"),
    ],
)
def test_what_servers_write_comes_back(upstream_id: str, name: str) -> None:
    assert read_call_id(make_call_id("msg_req_1", 1, upstream_id, name), name) == upstream_id


@pytest.mark.parametrize("upstream_id", ["", "x" * MAX_LENGTH, ":" * 20, KIMI, "x" * 100_000])
def test_an_id_that_does_not_fit_is_left_out(upstream_id: str) -> None:
    made = make_call_id("msg_req_1", 1, upstream_id, "Bash")
    assert made == make_call_id("msg_req_1", 1)
    assert read_call_id(made) is None


def test_ids_differ_between_calls_and_between_responses() -> None:
    made = {make_call_id(f"msg_{response}", number, "0") for response in range(100) for number in range(1, 11)}
    assert len(made) == 1000


@pytest.mark.parametrize(
    "call_id",
    [
        "",
        "toolu_01A09q90qw90lq917835lq9",
        "toolu_bdrk_01A09q90qw90lq917835lq9",
        "call_1",
        "toolu_lg12345678",
        "toolu_lg12345678_",
        "toolu_lg12345678_aZ",
        "toolu_lg12345678_aZ3",
        "toolu_lg12345678_a:b",
        "toolu_lg12345678_aZff",  # not UTF-8
        "toolu_lg12345678_a\n",
    ],
)
def test_other_ids_are_not_read(call_id: str) -> None:
    assert read_call_id(call_id, "Bash") is None


def of_turn(ids: UpstreamIds, *calls: tuple[str, str | None]) -> dict[str, str]:
    """The ids of the calls of the next turn: of each its id, and the server's own."""
    ids.next_turn()
    return {call_id: ids.of_call(call_id, own) for call_id, own in calls}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("call_id", ["a", "toolu_01A09q90qw90lq917835lq9", "call_a|b:c", "x" * 70, "D681PevKs"])
def test_ids_get_the_shape_that_the_server_accepts(shape: CallIds, call_id: str) -> None:
    ids = of_turn(UpstreamIds(shape), (call_id, None), (call_id + "2", None))
    assert all(re.fullmatch(SHAPES[shape], found) for found in ids.values())
    assert len(set(ids.values())) == 2
    if re.fullmatch(SHAPES[shape], call_id):
        assert ids[call_id] == call_id


def test_two_calls_of_one_turn_do_not_get_one_id() -> None:
    first, second = (make_call_id(f"msg_{response}", 1, "Bash:0") for response in range(2))
    assert of_turn(UpstreamIds("any"), (first, "Bash:0"), (second, "Bash:0")) == {first: "Bash:0", second: second}
    nine = of_turn(UpstreamIds("nine"), (first, "D681PevKs"), (second, "D681PevKs"))
    assert len(set(nine.values())) == 2


def test_an_empty_id_is_replaced_too() -> None:
    assert re.fullmatch(r"call_[A-Za-z0-9]{24}", UpstreamIds("any").of_call("", None))


def test_a_server_that_wants_each_id_once_gets_it_once() -> None:
    ids = UpstreamIds("unique")
    made = [make_call_id(f"msg_{response}", 1, "Bash_0") for response in range(2)]
    sent = [of_turn(ids, (call_id, read_call_id(call_id)))[call_id] for call_id in (*made, "a", "a", "a")]
    assert sent[:3] == ["Bash_0", made[1], "a"]
    assert len(set(sent)) == 5
    repeated = UpstreamIds("any")
    assert [of_turn(repeated, ("a", None))["a"] for _ in range(2)] == ["a", "a"]
