"""What a real run of the suites leaves in its file."""

from __future__ import annotations

import os

import numpy as np
import pytest

from benchmarks.latency import figures
from benchmarks.latency.sampling import BURST, CALLS
from runtime.manifest import Manifest

from .conftest import ROUNDS


def find(entries, scope, scenario, batch):
    (entry,) = (
        each
        for each in entries
        if [each["extra_info"][key] for key in ("scope", "scenario", "batch")]
        == [scope, scenario, batch]
    )
    return entry


def test_every_scope_scenario_and_batch_is_there_once(entries):
    found = [
        tuple(each["extra_info"][key] for key in ("scope", "scenario", "batch")) for each in entries
    ]
    expected = {(scope, figures.SINGLE_STREAM, 1) for scope in figures.LAYERS}
    expected |= {(scope, figures.MULTI_STREAM, n) for scope in figures.LAYERS for n in (2, 4)}
    expected |= {(figures.COPIES, figures.OFFLINE, 4)}
    expected |= {(figures.RASTER, figures.BY_ITSELF, 1), (figures.COLD, figures.BY_ITSELF, 1)}
    assert len(found) == len(expected)
    assert set(found) == expected


def test_percentiles_follow_from_the_raw_samples(entries):
    """By hand: linear between the two samples around the place (n - 1) q."""
    for entry in entries:
        samples = sorted(entry["stats"]["data"])
        slow = entry["extra_info"]["scope"] in (figures.RASTER, figures.COLD)
        assert len(samples) == (CALLS if slow else ROUNDS)
        for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
            place = (len(samples) - 1) * share
            below = int(place)
            above = min(below + 1, len(samples) - 1)
            value = samples[below] + (place - below) * (samples[above] - samples[below])
            assert entry["extra_info"][name] == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(("scenario", "batch"), [("SingleStream", 1), ("MultiStream", 4)])
def test_each_scope_holds_the_one_before_it(entries, scenario, batch):
    """Turn by turn, the least of each: what else the machine does only ever adds time."""
    inner, copies, whole = (
        np.min(np.reshape(find(entries, scope, scenario, batch)["stats"]["data"], (-1, BURST)), 1)
        for scope in figures.LAYERS
    )
    assert np.median(copies - inner) > 0
    assert np.median(whole - copies) > 0


def test_throughput_is_pairs_by_time(entries):
    entry = find(entries, figures.COPIES, figures.OFFLINE, 4)
    samples = entry["stats"]["data"]
    expected = 4 * len(samples) / sum(samples)
    assert entry["extra_info"]["pairs_per_second"] == pytest.approx(expected)


def test_a_raster_says_what_it_covers(entries):
    info = find(entries, figures.RASTER, figures.BY_ITSELF, 1)["extra_info"]
    assert info["side_pixels"] == 4 * 64
    assert info["windows"] == 49  # 64 wide, 32 apart: a halo of a quarter on either side
    assert info["gsd_m"] == 0.5
    assert info["area_km2"] == pytest.approx(0.128**2)
    assert info["km2_per_minute"] == pytest.approx(info["area_km2"] / (info["p50"] / 60))


def test_a_cold_start_has_the_memory_of_a_process_of_its_own(entries):
    entry = find(entries, figures.COLD, figures.BY_ITSELF, 1)
    query = find(entries, figures.COPIES, figures.SINGLE_STREAM, 1)
    assert min(entry["stats"]["data"]) > max(query["stats"]["data"])
    # Python with NumPy and ONNX Runtime: more than 20 MiB; this test's process has far more.
    assert 20 * 2**20 < entry["extra_info"]["peak_bytes"] < 2**30


def test_every_figure_says_what_it_holds_for(entries, ranged_engine):
    payload = (ranged_engine / "model.onnx").stat().st_size
    for entry in entries:
        info = entry["extra_info"]
        assert info["engine"]["name"] == "cpu-1-to-4"
        assert info["threads"] == 1
        assert info["size_bytes"] == payload
        assert info["batch_range"] == {"min": 1, "opt": 2, "max": 4}
        samples = entry["stats"]["data"]
        met = len(samples) >= 100 and sum(samples) >= 10
        assert info["minimum"] == {"seconds": 10, "queries": 100, "met": met}
        machine = info["machine"]
        assert machine["affinity"] == sorted(os.sched_getaffinity(0))
        assert machine["libraries"]["numpy"] == np.__version__
        assert {"cpu", "cores", "platform", "system", "load", "governor"} <= set(machine)


def test_every_figure_has_a_name_of_its_own(suite):
    every = figures.read_figures(suite)
    assert len(every) == 12
    assert len({each.key for each in every}) == 12


def test_an_engine_of_which_no_process_starts_is_one_line(ranged_engine, tmp_path):
    from benchmarks.latency.process import seconds_to_first_result
    from runtime.errors import ToolkitError

    broken = tmp_path / "broken"
    broken.mkdir()
    Manifest.read(ranged_engine).write(broken)
    with pytest.raises(ToolkitError, match="a process of its own failed: .*model.onnx"):
        seconds_to_first_result(broken, 1)


def test_what_cannot_be_made_is_one_figure_less(python, ranged_engine):
    """Without rasterio the others are measured; and only what was chosen."""
    arguments = ["benchmarks", "-p", "no:cacheprovider", "-rs", "-k", "raster or offline"]
    arguments += ["--engine", str(ranged_engine), "--rounds", "3", "--threads", "1"]
    code = "import sys, pytest; sys.modules['rasterio'] = None; sys.exit(pytest.main(sys.argv[1:]))"
    result = python("-c", code, *arguments)
    assert "1 passed, 1 skipped, 10 deselected" in result.stdout, result.stdout + result.stderr
    assert "maps of rasters need rasterio" in result.stdout
