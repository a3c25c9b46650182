from __future__ import annotations

from asgi_llmgate.protocol.chat.finish_reasons import ending, failure, is_cut, matched_stop


def test_only_a_length_or_a_filter_cuts_the_model_off() -> None:
    assert is_cut("length")
    assert is_cut("content_filter")
    assert not is_cut("stop")
    assert not is_cut("because")


def test_an_end_is_no_failure() -> None:
    assert failure("stop") is None
    assert ending("stop") == "stop"
    assert failure("error") is not None
    assert ending("error") is None


def test_only_the_clients_own_sequences_match() -> None:
    assert matched_stop((None, 7, "END"), ("END",)) == "END"
    assert matched_stop(("</s>",), ("END",)) is None
