from __future__ import annotations

from asgi_llmgate.protocol.chat.finish_reasons import ending, failure, matched_stop


def test_each_spelling_of_a_reason_means_the_same() -> None:
    assert [ending(reason) for reason in ("tool_calls", "TOOL-CALLS", "toolcalls", "a: tool_calls")] == ["stop"] * 4
    assert ending("content_filter") == "refusal"
    assert ending("because") is None


def test_an_end_is_no_failure() -> None:
    assert failure("stop") is None
    assert ending("stop") == "stop"
    assert failure("error") is not None
    assert ending("error") is None


def test_only_the_clients_own_sequences_match() -> None:
    assert matched_stop((None, 7, "END"), ("END",)) == "END"
    assert matched_stop(("</s>",), ("END",)) is None
