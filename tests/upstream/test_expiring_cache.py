from __future__ import annotations

import threading
from collections.abc import Callable

from asgi_llmgate.upstream.expiring_cache import MAX_VALUES, ExpiringCache


class Clock:
    """Lets another thread do something each time that it is looked at."""

    def __init__(self) -> None:
        self.time = 100.0
        self.interruptions: list[Callable[[], object]] = []

    def __call__(self) -> float:
        time = self.time
        if self.interruptions:
            thread = threading.Thread(target=self.interruptions.pop())
            thread.start()
            thread.join()
        return time


def test_a_value_lasts_for_a_while() -> None:
    clock = Clock()
    values = ExpiringCache[str](clock, lifetime=60)
    values.put("a", "x")
    assert (values.get("a"), values.get("b")) == ("x", None)
    clock.time += 59
    assert values.get("a") == "x"
    clock.time += 1
    assert values.get("a") is None


def test_what_is_known_is_joined_with_what_is_new_unless_it_is_over() -> None:
    clock = Clock()
    values = ExpiringCache[str](clock, lifetime=60)
    for _ in range(2):
        values.put("a", "x", str.__add__)
        clock.time += 59
        values.put("a", "y", str.__add__)
        assert values.get("a") == "xy"
        values.put("a", "z")
        assert values.get("a") == "z"
        clock.time += 60


def test_of_too_many_the_one_found_out_longest_ago_is_forgotten() -> None:
    values = ExpiringCache[int](Clock(), lifetime=60)
    for number in range(10 * MAX_VALUES):
        values.put(number, number)
    assert sum(values.get(number) is not None for number in range(10 * MAX_VALUES)) == MAX_VALUES
    assert values.get(10 * MAX_VALUES - 1) == 10 * MAX_VALUES - 1


def test_two_threads_may_see_one_end() -> None:
    clock = Clock()
    values = ExpiringCache[str](clock, lifetime=60)
    values.put("a", "x")
    clock.time += 60
    clock.interruptions.append(lambda: values.get("a"))
    assert values.get("a") is None


def test_what_another_thread_finds_out_at_the_end_of_the_old_is_kept() -> None:
    clock = Clock()
    values = ExpiringCache[str](clock, lifetime=60)
    values.put("a", "x")
    clock.time += 60
    clock.interruptions.append(lambda: values.put("a", "y"))
    assert values.get("a") is None
    assert values.get("a") == "y"


def test_two_threads_that_find_out_different_things_both_count() -> None:
    clock = Clock()
    values = ExpiringCache[str](clock, lifetime=60)
    clock.interruptions.append(lambda: values.put("a", "x", str.__add__))
    values.put("a", "y", str.__add__)
    assert values.get("a") == "xy"


def test_what_one_thread_finds_out_while_another_joins_is_not_lost() -> None:
    clock = Clock()
    values = ExpiringCache[str](clock, lifetime=60)
    values.put("a", "x")
    others: list[threading.Thread] = []

    def join(known: str, new: str) -> str:
        if not others:
            others.append(threading.Thread(target=values.put, args=("a", "z", str.__add__)))
            others[0].start()
            others[0].join(0.05)  # it has to wait for us
        return known + new

    values.put("a", "y", join)
    others[0].join()
    assert values.get("a") == "xyz"
