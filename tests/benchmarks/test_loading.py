"""The loading benchmark: its figures follow from its times, its jobs take turns."""

import json
import statistics
import sys
from pathlib import Path

import pytest

from benchmarks.loading import interleave
from runtime.errors import ConfigError
from train.config_file import load_config

JOBS = ["decoding alone", "with the mask cache", "without it", "with windows on disk"]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(
        "model: {width: 8}\ndata: {crop: 64, window: [32, 64], cache: true}\n"
        "optim: {batch_size: 2}\n"
    )
    load_config(path)
    return path


def test_json_figures_agree_with_one_another(python, tiny_data, config) -> None:
    result = python(
        *("-m", "benchmarks.loading", "--data", tiny_data, "--split", "test"),
        *("--config", config, "--pairs", 3, "--rounds", 2, "--json"),
    )
    assert result.returncode == 0, result.stderr
    record = json.loads(result.stdout)
    assert (record["kind"], record["config"]) == ("loading", "small")
    assert (record["pairs"], record["rounds"], record["data"]["tiles"]) == (3, 2, 2)
    assert list(record["figures"]) == JOBS
    floor = record["figures"][JOBS[0]]["milliseconds"]
    for figure in record["figures"].values():
        assert figure["pairs_per_second"] * figure["milliseconds"] == pytest.approx(1000)
        assert figure["pairs_per_cpu_second"] > 0
        assert figure["beyond_decoding"] == pytest.approx(figure["milliseconds"] / floor - 1)
    # Cutting and augmenting are never free: tiles kept in memory would take less than decoding.
    assert record["figures"][JOBS[1]]["beyond_decoding"] > 0


def test_jobs_take_turns_at_being_first() -> None:
    calls: list[str] = []
    jobs = {name: lambda name=name: calls.append(name) for name in "abc"}
    took = interleave(jobs, rounds=4)
    assert "".join(calls) == "abc" + "abc" + "bca" + "cab" + "abc"  # one round warms up
    assert {name: len(values) for name, values in took.items()} == dict.fromkeys("abc", 4)
    assert all(min(each.seconds, each.cpu) >= 0 for rounds in took.values() for each in rounds)
    assert statistics.median(each.seconds for each in took["a"]) < 1


@pytest.mark.parametrize("flag", ["--rounds", "--pairs"])
def test_counts_below_one_are_refused(tiny_data, flag: str) -> None:
    from benchmarks import loading

    args = loading.parser().parse_args(["--data", str(tiny_data), flag, "0"])
    with pytest.raises(ConfigError, match=f"{flag} 0: expected 1 or more"):
        loading.main(args)


def test_a_broken_tile_is_one_line(python, tiny_data, config, tmp_path) -> None:
    for path in (tiny_data / "test").rglob("synthetic-a*"):
        target = tmp_path / "test" / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    label = tmp_path / "test/labels/synthetic-a_00000001_post_disaster.json"
    label.write_text("{")
    result = python(
        *("-m", "benchmarks.loading", "--data", tmp_path, "--split", "test", "--config", config)
    )
    assert result.returncode == 1
    assert result.stderr.startswith(f"error: {label}: not a JSON label")
    assert result.stderr.count("\n") == 1


def test_help_needs_no_heavy_import(python) -> None:
    code = (
        "import sys, benchmarks.loading as l; l.parser().format_help();"
        "assert not {'cv2', 'numpy', 'torch'} & set(sys.modules)"
    )
    result = python("-c", code)
    assert result.returncode == 0, result.stderr + sys.version
