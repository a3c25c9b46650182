from __future__ import annotations

import pytest

from asgi_llmgate.protocol.chat.finish_reasons import failure, is_cut, is_known, matched_stop, stop_reason


@pytest.mark.parametrize(
    ("finish", "called", "refused", "matched", "reason"),
    [
        ("stop", False, False, False, "end_turn"),
        ("eos", False, False, False, "end_turn"),
        ("", False, False, False, "end_turn"),
        ("because", False, False, False, "end_turn"),
        ("stop", False, False, True, "stop_sequence"),
        ("stop", True, False, True, "tool_use"),
        ("stop", True, False, False, "tool_use"),
        ("because", True, False, False, "tool_use"),
        ("tool_calls", True, False, False, "tool_use"),
        ("tool_calls", False, False, False, "end_turn"),
        ("length", False, False, False, "max_tokens"),
        ("length", True, False, True, "max_tokens"),
        ("model_length", False, False, False, "max_tokens"),
        ("content_filter", True, False, False, "refusal"),
        ("stop", False, True, False, "refusal"),
        ("length", False, True, False, "refusal"),
    ],
)
def test_the_stop_reason(finish: str, called: bool, refused: bool, matched: bool, reason: str) -> None:
    assert stop_reason(finish, called=called, refused=refused, matched=matched) == reason


def test_only_a_length_or_a_filter_cuts_the_model_off() -> None:
    assert is_cut("length")
    assert is_cut("content_filter")
    assert not is_cut("stop")
    assert not is_cut("because")


def test_an_end_is_no_failure() -> None:
    assert failure("stop") is None
    assert is_known("stop")
    assert not is_known("error")


def test_only_the_clients_own_sequences_match() -> None:
    assert matched_stop((None, 7, "END"), ("END",)) == "END"
    assert matched_stop(("</s>",), ("END",)) is None
