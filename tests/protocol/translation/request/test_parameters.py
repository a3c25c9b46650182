from __future__ import annotations

import re
from hashlib import sha256
from typing import Any

import pytest

from asgi_llmgate.protocol.servers.context_window import PromptCount
from asgi_llmgate.protocol.servers.corrections.changes import Corrections
from asgi_llmgate.protocol.servers.dialects import derive

SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}},
    "required": ["title"],
    "additionalProperties": False,
}
OPEN = {"type": "object", "properties": {"title": {"type": "string"}}}


@pytest.mark.parametrize(
    ("asked", "given", "sent"),
    [
        (128000, {}, 128000),
        (128000, {"target": {"max_output_tokens": 16384}}, 16384),
        (128000, {"target": {"max_output_tokens": 0}}, 128000),
        (128000, {"options": {"max_output_tokens": 4096}, "target": {"max_output_tokens": 16384}}, 4096),
        (
            128000,
            {"more": {"corrections": Corrections(max_output_tokens=8192)}, "target": {"max_output_tokens": 16384}},
            8192,
        ),
        (100, {"target": {"max_output_tokens": 16384}}, 100),
        (128000, {"target": {"context_window": 32768}, "more": {"input_estimate": 1000}}, 31668),
        (
            128000,
            {
                "target": {"context_window": 99},
                "more": {"corrections": Corrections(context_window=32768), "input_estimate": 1000},
            },
            31668,
        ),
        (128000, {"target": {"context_window": 32768}, "more": {"input_estimate": 32000}}, 1024),
        (
            128000,
            {"target": {"context_window": 32768}, "more": {"input_estimate": 9, "prompt_count": PromptCount(32000)}},
            768,
        ),
        (128000, {"target": {"context_window": 32768}, "more": {"prompt_count": PromptCount(32768)}}, 16),
    ],
    ids=[
        "no limit known",
        "the model's",
        "zero is no limit",
        "the operator's",
        "a learnt one",
        "less asked",
        "what the prompt leaves of the window",
        "of a learnt window",
        "never less than a try",
        "exactly, when the server has counted",
        "the least that the server takes",
    ],
)
def test_max_tokens_is_what_is_asked_as_far_as_the_model_goes(
    translate: Any, asked: int, given: Any, sent: int
) -> None:
    told = translate(max_tokens=asked, **given)
    assert told.body["max_tokens"] == sent
    assert told.chat.plan.output_limit is None


def test_max_tokens_goes_where_the_server_has_said_that_it_wants_it(translate: Any) -> None:
    body = translate(more={"corrections": Corrections(max_tokens_field="max_completion_tokens")}).body
    assert (body.get("max_tokens"), body["max_completion_tokens"]) == (None, 100)


def test_max_tokens_under_the_dialects_minimum_is_raised_and_the_answer_cut_back(translate: Any) -> None:
    told = translate(max_tokens=1)
    assert told.body["max_tokens"] == 16
    assert told.chat.plan.output_limit == 1
    assert translate(dialect="vllm", max_tokens=1).body["max_tokens"] == 1


@pytest.mark.parametrize(
    ("dialect", "model", "stops", "sent", "plan", "dropped"),
    [
        ("openai", "gpt-4o", ["</block>"], ["</block>"], ("</block>",), set()),
        ("openai", "gpt-4o", [" ", "\n\n", "", "x"], ["x"], ("x",), set()),
        ("openai", "gpt-4o", ["\n"], None, (), set()),
        ("openai", "gpt-4o", list("abcde"), list("abcd"), tuple("abcde"), {"stop_sequences"}),
        ("vllm", "qwen3", list("abcde"), list("abcde"), tuple("abcde"), set()),
        ("openai", "gpt-5", ["</block>"], None, ("</block>",), {"stop_sequences"}),
        ("openai", "gpt-4o", "x", None, (), {"stop_sequences"}),
        ("openai", "gpt-4o", [1], None, (), {"stop_sequences"}),
        ("openai", "gpt-4o", None, None, (), set()),
    ],
)
def test_stop_sequences(
    translate: Any, dialect: str, model: str, stops: Any, sent: Any, plan: Any, dropped: set[str]
) -> None:
    told = translate(dialect=dialect, to=model, stop_sequences=stops)
    assert told.body.get("stop") == sent
    assert told.chat.plan.stop_sequences == plan
    assert told.dropped == dropped


@pytest.mark.parametrize(
    ("dialect", "model", "sent", "dropped"),
    [
        ("openai", "gpt-4o", {"temperature": 0.5, "top_p": 1}, {"top_k"}),
        ("openai", "gpt-5", {}, {"temperature", "top_p", "top_k"}),
        *[
            (name, "m", {"temperature": 0.5, "top_p": 1, "top_k": 5}, set())
            for name in ("vllm", "llamacpp", "openrouter")
        ],
        ("ollama", "m", {"temperature": 0.5, "top_p": 1}, {"top_k"}),
        ("generic", "m", {"temperature": 0.5, "top_p": 1}, {"top_k"}),
    ],
)
def test_sampling_goes_where_it_is_taken(
    translate: Any, dialect: str, model: str, sent: Any, dropped: set[str]
) -> None:
    told = translate(dialect=dialect, to=model, temperature=0.5, top_p=1, top_k=5)
    assert {name: told.body[name] for name in ("temperature", "top_p", "top_k") if name in told.body} == sent
    assert told.dropped == dropped


def test_a_temperature_that_is_no_number_is_left_out_and_reported(translate: Any) -> None:
    told = translate(temperature="hot", top_p=True)
    assert not {"temperature", "top_p"} & told.body.keys()
    assert told.dropped == {"temperature", "top_p"}


@pytest.mark.parametrize("place", ["output_config", "output_format"])
@pytest.mark.parametrize(
    ("schema", "strict"), [(SCHEMA, True), (OPEN, None)], ids=["closed", "with an optional property"]
)
def test_a_json_schema_is_asked_for_and_optional_properties_stay_optional(
    translate: Any, place: str, schema: Any, strict: Any
) -> None:
    asked = {"type": "json_schema", "schema": schema}
    told = translate(**({"output_config": {"format": asked}} if place == "output_config" else {"output_format": asked}))
    sent = {"name": "answer", "schema": schema} | ({"strict": True} if strict else {})
    assert told.body["response_format"] == {"type": "json_schema", "json_schema": sent}
    assert not told.dropped


@pytest.mark.parametrize(("way", "sent"), [("none", None), ("json_object", {"type": "json_object"})])
def test_a_dialect_without_schemas_is_told_in_words(translate: Any, way: str, sent: Any) -> None:
    told = translate(
        dialect=derive("generic", {"response_format": way}),
        system="Be brief.",
        output_config={"format": {"type": "json_schema", "schema": OPEN}},
    )
    assert told.messages[0]["content"] == (
        "Be brief.\n\nAnswer with one JSON object, and nothing else, that matches this JSON schema:\n"
        '{"type":"object","properties":{"title":{"type":"string"}}}'
    )
    assert told.body.get("response_format") == sent
    assert told.dropped == {"output_config.format"}


@pytest.mark.parametrize(
    "asked", [5, {}, {"type": "grammar"}, {"type": "json_schema"}, {"type": "json_schema", "schema": "x"}]
)
def test_a_format_that_nobody_knows_is_left_out_and_reported(translate: Any, asked: Any) -> None:
    told = translate(output_config={"format": asked, "task_budget": {}})
    assert "response_format" not in told.body
    assert told.dropped == {"output_config.format", "output_config.task_budget"}


USER_ID = '{"device_id":"d","session_id":"s"}'


ADA = ("idp", "https://idp.test", "ada")


def test_who_asks_is_sent_as_a_hash(translate: Any) -> None:
    told = translate(caller=ADA, metadata={"user_id": USER_ID, "team": "x"}, session_id="s-1")
    assert re.fullmatch(r"[0-9a-f]{64}", told.body["user"])
    assert told.body["prompt_cache_key"] == sha256(b"s-1").hexdigest()[:32]
    assert told.dropped == {"metadata.team"}


def test_who_asks_is_the_caller_and_no_session(translate: Any) -> None:
    """The client's `user_id` names a session: a user of the same server would look like a hundred."""

    def user(caller: tuple[str, ...], **metadata: str) -> str:
        return str(translate(caller=caller, metadata=metadata).body["user"])

    assert user(ADA, user_id=USER_ID) == user(ADA, user_id=USER_ID.replace('"s"', '"t"')) == user(ADA)
    others = [
        ADA,
        ("idp", "https://idp.test", "bob"),
        ("other", "https://idp.test", "ada"),
        ("idp", "https://x.test", "ada"),
    ]
    assert len({user(caller) for caller in others}) == 4
    assert user(("a", "bc", "d")) != user(("ab", "c", "d"))


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"options": {"user_id": "off"}, "caller": ADA}, set()),
        ({"metadata": {"user_id": USER_ID}}, set()),
        ({"metadata": 5, "caller": ADA}, {"user"}),
        ({}, set()),
        ({"dialect": "deepseek", "caller": ADA, "session_id": "s"}, set()),
        ({"dialect": "vllm", "caller": ADA, "session_id": "s"}, {"user"}),
        ({"dialect": "azure", "session_id": "s"}, {"prompt_cache_key"}),
    ],
    ids=["off", "nobody", "not an object", "absent", "not in the dialect", "no cache key", "no user"],
)
def test_who_asks_is_sent_only_where_it_is_wanted(translate: Any, given: Any, sent: set[str]) -> None:
    assert {"user", "prompt_cache_key"} & translate(**given).body.keys() == sent


def test_a_stream_asks_for_its_usage(translate: Any) -> None:
    told = translate(stream=True)
    assert told.body["stream"] is True
    assert told.body["stream_options"] == {"include_usage": True}
    assert told.chat.stream is True
    assert not {"stream", "stream_options"} & translate(stream=False).body.keys()
    assert "stream_options" not in translate(dialect=derive("generic", {"include_usage": False}), stream=True).body


def test_case_22_include_usage_refused_is_not_asked_for_again(translate: Any) -> None:
    told = translate(
        stream=True, more={"corrections": Corrections(refused_fields=frozenset({"stream_options", "top_k"}))}
    )
    assert told.body["stream"] is True
    assert "stream_options" not in told.body
    assert told.dropped == {"stream_options"}


def test_what_the_operator_adds_is_merged_last(translate: Any) -> None:
    told = translate(options={"extra_body": {"max_tokens": 7, "seed": 1}})
    assert told.body["max_tokens"] == 7
    assert told.body["seed"] == 1
