from __future__ import annotations

import random
from typing import Any

import pytest

from asgi_llmgate.protocol.token_estimate import BYTES_PER_PROMPT_TOKEN, IMAGE_TOKENS, Estimator, Size

PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 100_000}}
PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "A" * 400_000}}
NOTE = {"type": "document", "source": {"type": "text", "data": "word " * 1000}}


def user(*blocks: Any) -> list[Any]:
    return [{"role": "user", "content": list(blocks)}]


def test_case_60_count_tokens_with_tools_and_images_is_more_than_the_text_alone(decode: Any) -> None:
    tool = {"name": "A", "description": "d" * 400, "input_schema": {"type": "object"}}
    text = decode().input_tokens_estimate
    with_tools = decode(tools=[tool]).input_tokens_estimate
    with_image = decode(tools=[tool], messages=user({"type": "text", "text": "hi"}, PNG)).input_tokens_estimate
    assert text < with_tools - 100 < with_image - IMAGE_TOKENS


@pytest.mark.parametrize(
    ("blocks", "least", "most"),
    [
        ([PNG], 1500, 1600),
        ([{"type": "tool_result", "tool_use_id": "t", "content": [PNG, PNG]}], 3000, 3200),
        ([PDF], 10_000, 10_100),
        ([NOTE], 1300, 1500),
        ([{"type": "document", "source": {"type": "url", "url": "https://x"}}], 1500, 1600),
    ],
    ids=["image", "images of a tool", "PDF", "text document", "PDF by url"],
)
def test_media_are_not_counted_by_their_bytes(decode: Any, blocks: Any, least: int, most: int) -> None:
    assert least <= decode(messages=user(*blocks)).input_tokens_estimate <= most


def test_what_the_model_does_not_see_is_not_counted(decode: Any) -> None:
    thought = {"type": "thinking", "thinking": "hm " * 5000, "signature": "s" * 5000}
    deferred = {"name": "B", "description": "d" * 5000, "input_schema": {}, "defer_loading": True}
    seen = decode(
        tools=[deferred], messages=[{"role": "assistant", "content": [thought, {"type": "text", "text": "a"}]}]
    )
    assert seen.input_tokens_estimate < 50


def test_system_calls_and_results_are_counted(decode: Any) -> None:
    call = {"type": "tool_use", "id": "t", "name": "A", "input": {"x": "y" * 3600}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": "z" * 3600}
    request = decode(
        system=[{"type": "text", "text": "s" * 3600}],
        messages=[{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}],
    )
    assert 3000 < request.input_tokens_estimate < 3200


@pytest.mark.parametrize("true_rate", [2.1, 3.0, 4.4])
def test_after_a_few_answers_the_error_is_under_ten_per_cent(decode: Any, true_rate: float) -> None:
    noise = random.Random(7)
    estimator = Estimator()
    words = ["def", "return", "alpha", "beta", "{", "}", "über", "naïve", "  "]
    for turn in range(1, 12):
        said = " ".join(noise.choice(words) for _ in range(turn * 200))
        request = decode(system="s" * 4000, messages=user({"type": "text", "text": said}, PNG))
        true = round((request.size.text / true_rate) * noise.uniform(0.97, 1.03)) + IMAGE_TOKENS
        if turn > 3:
            assert abs(estimator.estimate(request.size, "m") - true) / true < 0.10
        estimator.observe("m", request.size, true)


def test_one_model_teaches_nothing_about_another(decode: Any) -> None:
    estimator = Estimator()
    request = decode(system="s" * 4000)
    estimator.observe("m", request.size, 4000)
    assert (
        estimator.estimate(request.size, "other") == estimator.estimate(request.size) == request.input_tokens_estimate
    )
    assert estimator.estimate(request.size, "m") == 4000


@pytest.mark.parametrize(
    ("size", "prompt_tokens"),
    [(Size(10, 0), 30), (Size(4000, 1500), 1500), (Size(4000, 0), 0)],
    ids=["too small a request", "nothing left after the images", "no usage"],
)
def test_what_says_nothing_is_not_learnt_from(decode: Any, size: Size, prompt_tokens: int) -> None:
    estimator = Estimator()
    estimator.observe("m", size, prompt_tokens)
    request = decode(system="s" * 4000)
    assert estimator.estimate(request.size, "m") == request.input_tokens_estimate


def test_an_absurd_count_does_not_spoil_the_estimate(decode: Any) -> None:
    estimator = Estimator()
    request = decode(system="s" * 4000)
    estimator.observe("m", request.size, 1)
    assert estimator.estimate(request.size, "m") == round(request.size.text / 10)


def test_names_from_callers_do_not_fill_the_memory(decode: Any) -> None:
    estimator = Estimator()
    size = Size(4000, 0)
    for number in range(1001):
        estimator.observe(f"m{number}", size, 4000)
    request = decode(system="s" * 4000)
    assert estimator.estimate(request.size, "m1000") == request.size.text
    assert estimator.estimate(request.size, "m0") == round(request.size.text / BYTES_PER_PROMPT_TOKEN)


@pytest.mark.parametrize("rate", [1.0, 1.3, 2.0, 8.0, 10.0])
@pytest.mark.parametrize("times", [1, 1000])
def test_what_one_caller_sends_changes_nothing_for_those_who_are_known(decode: Any, rate: float, times: int) -> None:
    estimator, size = Estimator(), Size(40_000, 0)
    estimator.observe("m", size, 10_000, "alice")
    for _ in range(times):
        estimator.observe("m", size, round(40_000 / rate), "mallory")
    assert estimator.estimate(size, "m", "alice") == 10_000
    assert estimator.estimate(size, "m", "mallory") == round(40_000 / rate)


def test_the_newest_count_of_a_caller_is_a_quarter_of_his_rate() -> None:
    estimator, size = Estimator(), Size(40_000, 0)
    for counted in (10_000, 5_000):
        estimator.observe("m", size, counted, "alice")
    assert estimator.estimate(size, "m", "alice") == 40_000 // 5


def test_who_is_new_gets_the_middle_of_the_others(decode: Any) -> None:
    estimator, size = Estimator(), Size(40_000, 0)
    for number in range(5):
        estimator.observe("m", size, 10_000 + number, number)
    estimator.observe("m", size, 40_000, "mallory")
    assert 10_000 <= estimator.estimate(size, "m", "bob") <= 10_005


def test_of_too_many_callers_those_not_heard_of_for_longest_are_forgotten(decode: Any) -> None:
    estimator, size = Estimator(), Size(40_000, 0)
    estimator.observe("m", size, 20_000, "alice")
    for number in range(300):
        estimator.observe("m", size, 10_000, number)
        estimator.observe("m", size, 20_000, "alice")
    assert estimator.estimate(size, "m", "alice") == 20_000
    assert {estimator.estimate(size, "m", number) for number in range(300)} == {10_000}


@pytest.mark.parametrize(("rates", "middle"), [([4], 4), ([2, 8], 5), ([8, 2, 3], 3), ([8, 2, 3, 5], 4)])
def test_a_new_caller_has_the_median_of_the_others(rates: list[int], middle: int) -> None:
    estimator = Estimator()
    for number, rate in enumerate(rates):
        estimator.observe("m", Size(120_000, 0), 120_000 // rate, caller=number)
    assert estimator.estimate(Size(120_000, 0), "m", caller="new") == 120_000 // middle
