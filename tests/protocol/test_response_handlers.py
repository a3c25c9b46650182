from __future__ import annotations

import json

import pytest

from asgi_llmgate.errors import Broken
from asgi_llmgate.exchange import Answer, Usage
from asgi_llmgate.protocol.response_handlers import Translated
from asgi_llmgate.testing.grammar import check_stream
from tests.protocol.responses import PLAN, chunk, completion, counted

EVENTS = [json.dumps(event).encode() for event in (chunk(content="Hi"), chunk(finish="stop", usage=counted()))]


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("whole", [False, True], ids=["events", "document"])
def test_an_answer_is_carried_in_the_form_that_the_client_asked_for(stream: bool, whole: bool) -> None:
    carrier = Translated(PLAN, stream=stream, request_id="req_1")
    if whole:
        carrier.whole(json.dumps(completion(usage=counted(), content="Hi")).encode())
    else:
        for event in EVENTS:
            carrier.step(event)
            assert carrier.started
        carrier.finish()
    data = carrier.take()
    message = check_stream(data) if stream else json.loads(data)
    assert message["content"] == [{"type": "text", "text": "Hi"}]
    assert carrier.done
    assert carrier.error is None
    assert carrier.usage == Usage(input=100, output=20)
    assert carrier.answer == Answer("gpt-x", "chatcmpl-1", ("stop",))
    assert carrier.reported == []


def test_silence_begins_a_stream() -> None:
    carrier = Translated(PLAN, stream=True, request_id="req_1")
    carrier.ping()
    assert carrier.take().count(b"event: ") == 2
    assert not carrier.started


def test_a_failure_is_told_in_a_stream_and_raised_otherwise() -> None:
    told, raised = (Translated(PLAN, stream=stream, request_id="req_1") for stream in (True, False))
    for carrier in (told, raised):
        carrier.fail(Broken("gone"))
        assert isinstance(carrier.error, Broken)
    assert b"event: error" in told.take()
    with pytest.raises(Broken, match="gone"):
        raised.take()


def test_an_answer_of_our_own_is_there_at_once() -> None:
    carrier = Translated(PLAN, stream=False, request_id="req_1", local="No such tool.")
    assert carrier.done
    assert json.loads(carrier.take())["content"] == [{"type": "text", "text": "No such tool."}]
