"""Two runs compared: the interval against closed forms and simulations, verdicts, refusals."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmarks.compare import __main__ as compare
from benchmarks.compare.bootstrap import FEW, Ratio, block_length, ratio_of_medians
from benchmarks.compare.pairs import pairs_of
from benchmarks.latency.figures import read_figures
from runtime.errors import ConfigError

REAL = json.loads((Path(__file__).parent / "real_samples.json").read_text())
"""Microseconds, of engines of the demo's network for 256x256 on two AVX2 cores, as measured."""


def machine_noise(random, count, correlation=0.5, size=0.03, drift=0.0) -> np.ndarray:
    """Seconds around a median of 15 ms: slow spells, a wave of drift, jitter, rare long ones."""
    steps = random.normal(size=count) * size * math.sqrt(1 - correlation**2)
    spells = list(itertools.accumulate(steps, lambda last, step: correlation * last + step))
    wave = drift * np.sin(np.linspace(0, 2 * np.pi, count) + random.uniform(0, 6.28))
    long = np.where(random.random(count) < 0.02, random.exponential(0.5, count), 0)
    return 0.015 * np.exp(np.array(spells) + wave + random.normal(size=count) * 0.02 + long)


def test_the_interval_of_independent_samples_is_that_of_order_statistics():
    """Distribution-free: the number of samples below the median is binomial (n, 1/2)."""
    random = np.random.default_rng(5)
    count = 400
    samples = np.sort(random.lognormal(-4, 0.1, count))
    steady = np.full(count, 1.0)  # its median does not move, so the ratio's interval is the other's
    found = ratio_of_medians(steady, random.permutation(samples), resamples=8_000)
    low = int(stats.binom.ppf(0.025, count, 0.5))
    lower, upper = samples[low], samples[count - low - 1]
    assert found.ratio == np.median(samples)
    assert found.lower == pytest.approx(lower, rel=0.004)
    assert found.upper == pytest.approx(upper, rel=0.004)


def test_the_interval_of_few_samples_is_that_of_all_ratios():
    before, after = [3.0, 1.0, 2.0], [4.0, 5.0, 3.0, 6.0]
    ratios = [new / old for old in before for new in after]
    found = ratio_of_medians(before, after)
    assert (found.lower, found.upper) == (min(ratios), max(ratios))
    assert found.ratio == np.median(after) / np.median(before)


@pytest.mark.parametrize(("correlation", "least"), [(0.0, 0.92), (0.5, 0.86), (0.9, 0.68)])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(correlation, least):
    """The two series have one distribution, so the true ratio of their medians is 1."""
    random = np.random.default_rng(1)
    hits = 0
    for seed in range(100):
        series = [machine_noise(random, 200, correlation) for _ in range(2)]
        found = ratio_of_medians(*series, seed=seed, resamples=300)
        hits += found.lower <= 1 <= found.upper
    assert hits / 100 >= least


def test_stretches_are_longer_where_samples_depend_on_each_other():
    random = np.random.default_rng(2)
    lengths = [
        np.mean([block_length(machine_noise(random, 300, each)) for _ in range(20)])
        for each in (0.0, 0.6, 0.9)
    ]
    assert lengths[0] < 9
    assert lengths[0] < lengths[1] < lengths[2]


@given(st.integers(1, 60), st.floats(0, 0.95), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_intervals_hold_the_ratio_and_scale_with_the_samples(count, correlation, seed):
    random = np.random.default_rng(seed)
    before, after = (machine_noise(random, count, correlation) for _ in range(2))
    found = ratio_of_medians(before, after, resamples=200)
    assert found.lower <= found.ratio * 1.02
    assert found.upper >= found.ratio * 0.98
    scaled = ratio_of_medians(before, 1.15 * after, resamples=200)
    assert scaled.ratio == pytest.approx(1.15 * found.ratio)
    assert scaled.lower == pytest.approx(1.15 * found.lower)
    assert scaled.upper == pytest.approx(1.15 * found.upper)
    assert scaled.blocks == found.blocks
    assert ratio_of_medians(before, after, resamples=200) == found
    assert all(1 <= block <= max(1, count // 3) for block in found.blocks) or count < FEW


@given(st.integers(120, 300), st.floats(0, 0.7), st.floats(0, 0.01), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_planted_slowdowns(count, correlation, drift, seed):
    random = np.random.default_rng(seed)
    before, after = (machine_noise(random, count, correlation, 0.02, drift) for _ in range(2))
    verdicts = [
        compare.verdict(ratio_of_medians(before, factor * after, resamples=300), 0.10)
        for factor in (1.0, 1.02, 1.15)
    ]
    assert verdicts == [compare.SAME, compare.SAME, compare.REGRESSION]


@pytest.mark.parametrize("name", REAL)
def test_real_samples_with_a_planted_slowdown(name):
    seconds = np.array(REAL[name]) / 1e6
    verdicts = {
        factor: compare.verdict(ratio_of_medians(seconds, factor * seconds), 0.10)
        for factor in (1.0, 1.02, 1.15)
    }
    expected = {1.0: compare.SAME, 1.02: compare.SAME, 1.15: compare.REGRESSION}
    assert verdicts == expected


@pytest.mark.parametrize("name", REAL)
def test_both_halves_of_a_real_run_are_no_difference(name):
    """They differ by up to 5 %, which independent samples could not."""
    seconds = np.array(REAL[name]) / 1e6
    half = seconds.size // 2
    found = ratio_of_medians(seconds[:half], seconds[half:])
    assert compare.verdict(found, 0.10) == compare.SAME


def test_real_samples_depend_on_each_other():
    """So they are drawn in stretches, and longer ones than without knowing them."""
    lengths = [block_length(np.array(samples, np.float64)) for samples in REAL.values()]
    assert np.median(lengths) > 2 * int(200 ** (1 / 3))


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ((1.11, 1.01, 1.2), "regression"),
        ((1.11, 0.99, 1.2), "no difference"),  # it could be chance
        ((1.09, 1.06, 1.2), "slower"),
        ((1.04, 1.03, 1.05), "no difference"),  # certain, and small
        ((0.9, 0.85, 0.94), "faster"),
        ((0.9, 0.85, 0.96), "no difference"),
    ],
)
def test_verdicts(found, verdict):
    assert compare.verdict(Ratio(*found, (1, 1)), 0.10) == verdict


@pytest.fixture
def changed(measured, tmp_path):
    """A copy of a real latency file, changed."""

    def change(name="changed.json", factor=1.0, seed=None, **info):
        record = json.loads(measured["latency"].read_text())
        for entry in record["benchmarks"]:
            data = entry["stats"]["data"]
            entry["stats"]["data"] = [factor * each for each in data]
            for key, value in info.items():
                place = entry["extra_info"]
                *folders, last = key.split("__")
                for folder in folders:
                    place = place[folder]
                place[last] = value
        path = tmp_path / name
        path.write_text(json.dumps(record))
        return path

    return change


@pytest.fixture
def steady(measured, tmp_path):
    """The latency file with 150 samples an entry, noise around the measured medians."""
    record = json.loads(measured["latency"].read_text())
    random = np.random.default_rng(3)
    for entry in record["benchmarks"]:
        middle = float(np.median(entry["stats"]["data"]))
        entry["stats"]["data"] = list(middle / 0.015 * machine_noise(random, 150))
    path = tmp_path / "steady.json"
    path.write_text(json.dumps(record))
    return path


def run(capsys, *arguments) -> tuple[int, str, str]:
    code = compare.main(compare.parser().parse_args([str(each) for each in arguments]))
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.mark.parametrize(
    ("factor", "code", "verdict"),
    [
        (1.0, 0, "no difference"),
        (1.02, 0, "no difference"),
        (1.15, 1, "regression"),
        (0.8, 0, "faster"),
    ],
)
def test_the_exit_code_is_the_gate(capsys, steady, tmp_path, factor, code, verdict):
    record = json.loads(steady.read_text())
    for entry in record["benchmarks"]:
        entry["stats"]["data"] = [factor * each for each in entry["stats"]["data"]]
    other = tmp_path / "other.json"
    other.write_text(json.dumps(record))
    found = run(capsys, steady, other, "--json")
    assert found[0] == code
    rows = json.loads(found[1])["figures"]
    assert len(rows) == 4
    assert {row["verdict"] for row in rows} == {verdict}
    for row in rows:
        assert row["ratio"] == pytest.approx(factor)
        assert row["lower"] <= row["ratio"] <= row["upper"]
    assert verdict in run(capsys, steady, other)[1]


def test_a_higher_bar_lets_a_slowdown_pass(capsys, steady, tmp_path):
    record = json.loads(steady.read_text())
    for entry in record["benchmarks"]:
        entry["stats"]["data"] = [1.15 * each for each in entry["stats"]["data"]]
    other = tmp_path / "other.json"
    other.write_text(json.dumps(record))
    assert run(capsys, steady, other, "--regression", "0.3")[0] == 0


@pytest.mark.parametrize(
    ("info", "said"),
    [
        ({"machine__cpu": "another"}, "the machine's cpu"),
        ({"machine__affinity": [7]}, "the machine's affinity"),
        ({"threads": 99}, "the number of threads"),
        ({"engine__checkpoint_sha256": "00"}, "the engine's checkpoint_sha256"),
        ({"engine__height": 32}, "the engine's height"),
    ],
)
def test_what_does_not_compare_is_refused_with_a_line_an_engine(
    capsys, measured, changed, info, said
):
    code, out, errors = run(capsys, measured["latency"], changed(**info))
    assert (code, out) == (2, "")
    lines = errors.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("error: not compared: cpu-fp32: ")
    assert all(said in line for line in lines)


def test_force_compares_other_networks_and_no_other_machines(capsys, measured, changed):
    network = changed(engine__checkpoint_sha256="00")
    assert run(capsys, measured["latency"], network, "--force")[0] == 0
    machine = changed("machine.json", threads=99)
    assert run(capsys, measured["latency"], machine, "--force")[0] == 2


def test_other_scopes_and_batches_are_no_pairs(measured, changed):
    before = read_figures(measured["latency"])
    for info in ({"scope": "raster"}, {"scenario": "Offline"}, {"batch": 8}):
        with pytest.raises(ConfigError, match="no figure in common"):
            pairs_of(before, read_figures(changed(**info))[:1])


def test_two_engines_of_one_name_are_refused(measured, changed):
    before, after = read_figures(measured["latency"]), read_figures(changed(engine__name="one"))
    with pytest.raises(ConfigError, match="two figures are one, engine, SingleStream, batch 1"):
        pairs_of(before, after)


def test_what_is_in_one_file_alone_is_said(capsys, measured, tmp_path):
    record = json.loads(measured["latency"].read_text())
    gone = record["benchmarks"].pop()["extra_info"]
    path = tmp_path / "less.json"
    path.write_text(json.dumps(record))
    _, out, errors = run(capsys, measured["latency"], path, "--json")
    assert len(json.loads(out)["figures"]) == 3
    name = f"{gone['engine']['name']}, {gone['scope']}, SingleStream, batch 1"
    assert f"not compared: {name} is in {measured['latency']} alone" in errors


def test_a_busy_machine_is_said(capsys, measured, changed):
    busy = changed(machine__load=7.5, threads=2)
    idle = changed("idle.json", machine__load=2.5, threads=2)
    errors = run(capsys, idle, busy)[2]
    assert errors.count("other processes ran beside it") == 1
    assert f"{busy}: other processes ran beside it (load 7.5)" in errors


def test_as_a_command(python, measured, tmp_path):
    same = python("-m", "benchmarks.compare", measured["latency"], measured["latency"])
    assert same.returncode == 0, same.stderr
    assert same.stdout.count("no difference") == 4
    (tmp_path / "none.json").write_text("{}")
    other = python("-m", "benchmarks.compare", measured["latency"], tmp_path / "none.json")
    assert other.returncode == 2
    assert "not a latency file" in other.stderr
    assert other.stderr.count("\n") == 1


def test_help_needs_no_heavy_import(python):
    code = (
        "import sys, benchmarks.compare.__main__ as c; c.parser().format_help();"
        "assert not {'cv2', 'numpy', 'torch'} & set(sys.modules)"
    )
    result = python("-c", code)
    assert result.returncode == 0, result.stderr
