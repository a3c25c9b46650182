from __future__ import annotations

from typing import Any

import pytest

from asgi_llmgate.errors import InvalidRequest
from asgi_llmgate.exchange_values import Target
from asgi_llmgate.protocol.servers.dialects import DIALECTS, derive
from asgi_llmgate.protocol.translation.request.chat_request import Options, to_chat

A = {"name": "A", "input_schema": {"type": "object"}}


def test_the_plainest_request(translate: Any) -> None:
    told = translate(dialect="generic", to="qwen3")
    assert told.body == {"model": "qwen3", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 100}
    plan = told.chat.plan
    assert plan.message_id == "msg_req_1"
    assert (plan.model, plan.echo_model) == ("qwen3", False)
    assert plan.input_estimate > 0
    assert plan.names == {}
    assert told.chat.local_text is None


def test_the_asked_name_is_echoed_where_the_settings_say_so(translate: Any) -> None:
    plan = translate(options={"response_model": "requested"}).chat.plan
    assert (plan.model, plan.echo_model) == ("claude-opus-5-5", True)


@pytest.mark.parametrize(
    ("dialect", "model", "sent", "dropped"),
    [
        ("openai", "gpt-5", {"max_completion_tokens": 32000, "reasoning_effort": "high"}, {"temperature", "top_k"}),
        (
            "vllm",
            "qwen3",
            {"max_tokens": 32000, "temperature": 0.5, "top_k": 5, "reasoning_effort": "xhigh"},
            set(),
        ),
        ("openai", "gpt-5.5", {"max_completion_tokens": 32000, "reasoning_effort": "none"}, {"temperature", "top_k"}),
    ],
    ids=["gpt-5", "vLLM", "gpt-5.5 with tools"],
)
def test_case_54_parameters_by_profile(translate: Any, dialect: str, model: str, sent: Any, dropped: set[str]) -> None:
    told = translate(
        dialect=dialect,
        to=model,
        target={"max_output_tokens": 32000},
        max_tokens=128000,
        temperature=0.5,
        top_k=5,
        thinking={"type": "adaptive"},
        output_config={"effort": "max"},
        tools=[A],
    )
    assert {name: value for name, value in told.body.items() if name not in ("model", "messages", "tools")} == sent
    assert told.dropped == dropped


UNREAD = (
    *("service_tier", "context_management", "compaction", "fallbacks", "betas", "speed", "cache_control", "tags"),
    *("diagnostics", "safeguards", "billing_policy", "foo"),
)


def test_case_55_newest_and_unknown_fields_are_dropped_and_counted(translate: Any) -> None:
    told = translate(dialect="generic", **{name: {"x": 1} for name in UNREAD})
    assert told.dropped == set(UNREAD)
    assert told.body.keys() == {"model", "messages", "max_tokens"}


@pytest.mark.parametrize("name", ["mcp_servers", "container", "thread"])
def test_case_55_what_nobody_here_can_do_is_refused_by_name(translate: Any, name: str) -> None:
    with pytest.raises(InvalidRequest, match=rf"^{name}: not supported by this gateway$"):
        translate(**{name: [{"type": "x"}]})
    for nothing in (None, [], {}, ""):
        assert translate(**{name: nothing}).dropped <= {name}


@pytest.mark.parametrize(
    ("geo", "region", "sent"),
    [
        ("us", "", False),
        ("us", "eu", False),
        ("eu", "eu", True),
        ("global", "", True),
        (5, "", False),
        (None, "", True),
    ],
)
def test_a_region_is_promised_only_where_the_backend_states_it(
    translate: Any, geo: Any, region: str, sent: bool
) -> None:
    dialect = derive("generic", {"region": region})
    if sent:
        assert not translate(dialect=dialect, inference_geo=geo).dropped
    else:
        with pytest.raises(InvalidRequest, match=r"^inference_geo: "):
            translate(dialect=dialect, inference_geo=geo)


@pytest.mark.parametrize("stream", [True, False])
def test_case_60_max_tokens_zero_is_answered_locally_with_nothing(translate: Any, stream: bool) -> None:
    chat = translate(max_tokens=0, stream=stream).chat
    assert (chat.local_text, chat.body, chat.stream) == ("", b"", stream)


ASKED = [{"role": "user", "content": "x"}]
PREFILL = {"role": "assistant", "content": "The answer is ("}


@pytest.mark.parametrize("form", ["message", "field"])
@pytest.mark.parametrize(
    ("dialect", "said"),
    [("vllm", {"continue_final_message": True, "add_generation_prompt": False}), ("openai", {})],
)
def test_a_prefill_is_gone_on_with(translate: Any, dialect: str, said: Any, form: str) -> None:
    if form == "message":
        told = translate(dialect=dialect, messages=[*ASKED, PREFILL])
    else:
        told = translate(dialect=dialect, messages=ASKED, prefill=PREFILL["content"])
    assert told.messages[-1] == PREFILL
    assert {name: value for name, value in told.body.items() if name not in ("model", "messages", "max_tokens")} == said
    assert not told.dropped


@pytest.mark.parametrize(
    ("dialect", "stream", "expected"),
    [("llamacpp", False, 'say "'), ("llamacpp", True, ""), ("vllm", False, "")],
    ids=["repeated", "not in a stream", "not by this server"],
)
def test_a_prefill_that_the_server_will_repeat_is_remembered(
    translate: Any, dialect: str, stream: bool, expected: str
) -> None:
    messages = [*ASKED, {"role": "assistant", "content": [{"type": "text", "text": 'say "'}]}]
    assert translate(dialect=dialect, stream=stream, messages=messages).chat.plan.prefill == expected
    assert translate(dialect=dialect, stream=stream).chat.plan.prefill == ""


@pytest.mark.parametrize("nothing", ["", []])
def test_an_empty_prefill_is_none(translate: Any, nothing: Any) -> None:
    told = translate(dialect="vllm", messages=[*ASKED, {"role": "assistant", "content": nothing}])
    assert told.messages == ASKED
    assert "continue_final_message" not in told.body


@pytest.mark.parametrize("wrong", [5, ""])
def test_a_prefill_field_that_is_no_text_is_reported(translate: Any, wrong: Any) -> None:
    told = translate(messages=ASKED, prefill=wrong)
    assert told.messages == ASKED
    assert told.dropped == {"prefill"}


def test_a_conversation_that_says_nothing_is_refused(translate: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"^messages: at least one message with content is required$"):
        translate(messages=[{"role": "user", "content": ""}, {"role": "system"}])


def test_strict_refuses_what_would_be_lost(translate: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"^top_k: "):
        translate(top_k=5, options={"strict": True})


def test_strict_lets_pass_what_changes_no_answer(translate: Any) -> None:
    told = translate(
        system=[{"type": "text", "text": "x", "cache_control": {}}],
        context_management={},
        options={"strict": True},
    )
    assert told.dropped == {"system[].cache_control", "context_management"}


def test_nesting_that_only_the_translation_meets_is_refused_and_not_a_crash(decode: Any, short_of_stack: Any) -> None:
    deep: Any = "x"
    for _ in range(60):
        deep = {"a": deep}
    request = decode(messages=[{"role": "user", "content": [{"type": "odd", "deep": deep}]}])

    def act() -> Any:
        to = Target("b", "p", "m")
        return to_chat(request, target=to, dialect=DIALECTS["generic"], options=Options(), request_id="r")

    assert act().body
    with pytest.raises(InvalidRequest, match="too deeply"):
        short_of_stack(60, act)


def test_a_prefill_of_null_is_none(translate: Any) -> None:
    assert translate(prefill=None).dropped == translate().dropped
