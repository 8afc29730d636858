"""How many samples are taken, and in which order."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.latency import figures
from benchmarks.latency.sampling import (
    BURST,
    MAX_QUERIES,
    MIN_QUERIES,
    SLOW,
    WARMUP,
    Effort,
    stream,
    take_turns,
)
from runtime.engine import load_engine


def test_every_turn_runs_every_call_and_starts_with_another():
    order: list[str] = []
    calls = {name: lambda name=name: order.append(name) for name in "abc"}
    seconds = take_turns(calls, Effort(rounds=BURST + 3))
    full, rest = BURST + 1, 3 + 1  # the first of each is not counted
    assert "".join(order[WARMUP * 3 :]) == (
        "a" * full + "b" * full + "c" * full + "b" * rest + "c" * rest + "a" * rest
    )
    assert {name: len(taken) for name, taken in seconds.items()} == dict.fromkeys("abc", BURST + 3)


def test_slow_calls_run_once_a_turn_and_all_count():
    order: list[str] = []

    def wait(name: str):
        order.append(name)
        time.sleep(SLOW * 1.1)

    seconds = take_turns({name: lambda name=name: wait(name) for name in "ab"}, Effort(rounds=3))
    assert "".join(order) == "ab" * WARMUP + "ab" + "ba" + "ab"
    assert {name: len(taken) for name, taken in seconds.items()} == dict.fromkeys("ab", 3)


def test_what_holds_another_takes_longer_while_the_machine_changes_its_speed():
    """One after another, the second would be measured at three times the speed."""
    calls = iter(range(10_000))

    def wait(milliseconds: float):
        slow = 3 if next(calls) < 90 else 1
        time.sleep(slow * milliseconds / 1000)

    seconds = take_turns({"part": lambda: wait(1), "whole": lambda: wait(1.5)}, Effort(rounds=80))
    part, whole = (np.array(each) for each in seconds.values())
    assert np.median(whole - part) > 0
    assert np.median(part[:30]) > np.median(whole[-30:])


@given(st.floats(1e-6, 100), st.floats(0.1, 100))
def test_samples_fill_the_time_within_their_bounds(each, seconds):
    effort = Effort(seconds)
    count = next(n for n in range(MAX_QUERIES + 1) if effort.enough(n, n * each))
    assert MIN_QUERIES <= count <= MAX_QUERIES
    assert count == MAX_QUERIES or count * each >= seconds
    assert count == MIN_QUERIES or (count - 1) * each < seconds


def test_rounds_are_taken_instead_of_a_time():
    assert not Effort(1e-9, rounds=12).enough(11, 1e9)
    assert Effort(1e9, rounds=12).enough(12, 0)
    assert Effort(rounds=2).calls == 2


def test_a_stream_is_answered_whole_and_timed_whole(engines):
    with load_engine(engines[0], threads=1) as engine:
        images = np.zeros((1, engine.height, engine.width, 3), np.uint8)
        start = time.perf_counter()
        seconds = stream(engine, images, images, Effort(rounds=30))
        took = time.perf_counter() - start
    assert len(seconds) == 30
    assert 0 < sum(seconds) < took


@pytest.mark.parametrize(
    ("samples", "met"), [([0.1] * 101, True), ([1.0] * 99, False), ([0.05] * 150, False)]
)
def test_the_minimum_is_of_time_and_of_queries(samples, met):
    assert figures.meets_minimum(samples) is met
