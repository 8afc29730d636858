"""How many samples are taken, and in which order."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.latency import figures
from benchmarks.latency.sampling import (
    BURST,
    CALLS,
    MAX_QUERIES,
    MIN_QUERIES,
    SLOW,
    VISITS,
    WARMUP,
    Effort,
    Sampled,
    Stream,
    Turns,
    visit_all,
)
from runtime.engine import load_engine


def whole(sampled: Sampled) -> dict[str, list[float]]:
    """All samples in one visit."""
    sampled.go_on(VISITS)
    return sampled.seconds


def test_every_turn_runs_every_call_and_starts_with_another():
    order: list[str] = []
    calls = {name: lambda name=name: order.append(name) for name in "abc"}
    seconds = whole(Turns(calls, Effort(rounds=BURST + 3)))
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

    calls = {name: lambda name=name: wait(name) for name in "ab"}
    seconds = whole(Turns(calls, Effort(rounds=3)))
    assert "".join(order) == "ab" * WARMUP + "ab" + "ba" + "ab"
    assert {name: len(taken) for name, taken in seconds.items()} == dict.fromkeys("ab", 3)


def test_what_holds_another_takes_longer_while_the_machine_changes_its_speed():
    """One after another, the second would be measured at three times the speed."""
    calls = iter(range(10_000))

    def wait(milliseconds: float):
        slow = 3 if next(calls) < 90 else 1
        time.sleep(slow * milliseconds / 1000)

    layers = {"part": lambda: wait(1), "whole": lambda: wait(1.5)}
    part, all_of_it = (np.array(each) for each in whole(Turns(layers, Effort(rounds=80))).values())
    assert np.median(all_of_it - part) > 0
    assert np.median(part[:30]) > np.median(all_of_it[-30:])


class Clocked:
    """A figure that takes as many seconds as the machine's speed at that moment says."""

    def __init__(self, machine: Callable[[], float], effort: Effort) -> None:
        self.seconds: dict[str, list[float]] = {"": []}
        self.machine, self.effort = machine, effort

    def go_on(self, visit: int) -> None:
        taken, effort = self.seconds[""], self.effort.until(visit)
        while not effort.enough(len(taken), sum(taken)):
            taken.append(self.machine())


def test_every_figure_sees_the_whole_run():
    """A machine that gets slower and slower: one figure after the other, they would not meet."""
    speed = itertools.count(1)
    figures = {name: Clocked(lambda: float(next(speed)), Effort(rounds=100)) for name in "abc"}
    assert visit_all(figures) == {}
    seconds = [each.seconds[""] for each in figures.values()]
    # None is lost, none is taken twice.
    assert sorted(itertools.chain(*seconds)) == list(range(1, 301))
    medians = [np.median(each) for each in seconds]
    assert max(medians) / min(medians) < 1.2
    assert max(np.median(each[:10]) for each in seconds) < 30
    assert min(np.median(each[-10:]) for each in seconds) > 270


def test_a_figure_that_fails_takes_no_other_with_it():
    def broken() -> float:
        if next(calls) == 25:
            raise OSError("gone")
        return 1.0

    calls = itertools.count()
    figures = {
        "bad": Clocked(broken, Effort(rounds=100)),
        "good": Clocked(lambda: 1.0, Effort(rounds=100)),
    }
    (failed,) = visit_all(figures).items()
    assert failed[0] == "bad"
    assert str(failed[1]) == "gone"
    assert next(calls) == 26  # not visited again
    assert len(figures["good"].seconds[""]) == 100


@given(st.integers(1, 400) | st.none(), st.floats(0.1, 100), st.integers(1, 20))
def test_visits_add_up_to_the_effort(rounds, seconds, queries):
    effort = Effort(seconds, rounds, queries)
    parts = [effort.until(visit) for visit in range(1, VISITS + 1)]
    assert parts[-1] == effort
    for before, after in itertools.pairwise(parts):
        assert before.seconds < after.seconds
        assert before.queries <= after.queries <= before.queries + math.ceil(queries / VISITS)
        if rounds:
            assert before.rounds <= after.rounds <= before.rounds + math.ceil(rounds / VISITS)


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
    assert Effort(rounds=2).of_long_calls.rounds == 2


def test_long_calls_need_fewer_samples_and_as_much_time():
    assert Effort(rounds=160).of_long_calls.rounds == CALLS
    assert not Effort(10).of_long_calls.enough(CALLS, 9.9)
    assert not Effort(10).of_long_calls.enough(CALLS - 1, 1e9)
    assert Effort(10).of_long_calls.enough(CALLS, 10)


def test_a_stream_is_answered_whole_and_timed_whole(engines):
    with load_engine(engines[0], threads=1) as engine:
        images = np.zeros((1, engine.height, engine.width, 3), np.uint8)
        start = time.perf_counter()
        stream = Stream("all", engine, images, images, Effort(rounds=30))
        assert visit_all({"": stream}) == {}
        took = time.perf_counter() - start
    (seconds,) = stream.seconds.values()
    assert len(seconds) == 30
    assert 0 < sum(seconds) < took


@pytest.mark.parametrize(
    ("effort", "counts"),
    [
        (Effort(rounds=25), [3, 5, 8, 10, 13, 15, 18, 20, 23, 25]),
        (Effort(rounds=3), [1, 1, 1, 2, 2, 2, 3, 3, 3, 3]),
        (Effort(seconds=1e-9), [MIN_QUERIES] * VISITS),
    ],
)
def test_a_streams_visits_are_rounds_or_long_enough_to_fill_a_pipeline(engines, effort, counts):
    with load_engine(engines[0], threads=1) as engine:
        images = np.zeros((1, engine.height, engine.width, 3), np.uint8)
        stream = Stream("all", engine, images, images, effort)
        found = []
        for visit in range(1, VISITS + 1):
            stream.go_on(visit)
            found.append(len(stream.seconds["all"]))
    assert found == counts


@pytest.mark.parametrize(
    ("samples", "met"), [([0.1] * 101, True), ([1.0] * 99, False), ([0.05] * 150, False)]
)
def test_the_minimum_is_of_time_and_of_queries(samples, met):
    assert figures.meets_minimum(samples) is met
