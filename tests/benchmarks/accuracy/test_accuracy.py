import json

import cv2
import pytest

from benchmarks.dataset import fingerprint, richest
from train.xbd import find_tiles


@pytest.fixture(scope="module")
def record(python, engines, tiny_data, tmp_path_factory) -> dict:
    out = tmp_path_factory.mktemp("accuracy") / "figures.json"
    line = ("-m", "benchmarks.accuracy", "--engine", engines[0], "--data", tiny_data)
    result = python(*line, "--out", out)
    assert result.returncode == 0, result.stderr
    return json.loads(out.read_text())


def test_figures_are_those_of_an_independent_computation(record, expected_score):
    found = {**record["figures"], **record["figures"]["class_f1"]}
    for name, value in expected_score.items():
        assert found[name] == pytest.approx(value, abs=1e-9), name


def test_figures_say_what_they_were_measured_with(record):
    assert record["engine"]["name"] == "cpu-fp32"
    assert record["data"]["tiles"] == 2
    assert record["data"]["disasters"] == {"synthetic-a": 1, "synthetic-b": 1}
    assert record["machine"]["cores"] >= 1


def test_json_goes_to_stdout_alone(python, engines, tiny_data):
    result = python(
        "-m", "benchmarks.accuracy", "--engine", engines[0], "--data", tiny_data, "--json"
    )
    assert json.loads(result.stdout)["kind"] == "accuracy"


def test_the_table_holds_the_evaluation_the_confidence_and_the_worst_tile(
    python, engines, tiny_data, expected_score
):
    result = python("-m", "benchmarks.accuracy", "--engine", engines[0], "--data", tiny_data)
    assert result.returncode == 0, result.stderr
    title, headline, *_ = result.stdout.splitlines()
    assert title.startswith("cpu-fp32: fp32 on onnxruntime")
    assert title.endswith("2 tiles of tiny-xbd/test")
    score, *parts = (f"{expected_score[n]:.4f}" for n in ("score", "localization_f1", "damage_f1"))
    assert headline.split()[:2] == ["score", score]
    assert [part in headline for part in parts] == [True, True]
    _, pixels, *_, confidence, worst = result.stdout.split("\n\n")
    f1s = {line.split()[0]: line.split()[3] for line in pixels.splitlines()[2:]}
    assert f1s == {name: f"{f1:.4f}" for name, f1 in [*expected_score.items()][3:]}
    assert "expected calibration error" in confidence
    assert worst.splitlines()[1].split()[1] == "synthetic-b_00000002"


def test_a_tile_of_another_size_is_one_line_naming_both_sizes(python, engines, tiny_data, tmp_path):
    for folder in ("images", "labels"):
        (tmp_path / "test" / folder).mkdir(parents=True)
    for path in (tiny_data / "test").rglob("synthetic-a*"):
        target = tmp_path / "test" / path.parent.name / path.name
        if path.suffix == ".png":
            cv2.imwrite(str(target), cv2.imread(str(path))[:32, :64])
        else:
            target.write_bytes(path.read_bytes())
    result = python("-m", "benchmarks.accuracy", "--engine", engines[0], "--data", tmp_path)
    assert result.returncode == 1
    (line,) = [each for each in result.stderr.splitlines() if each.startswith("error:")]
    assert "32x64" in line
    assert "64x64" in line
    assert "--size 32 64" in line


def test_an_engine_that_cannot_run_is_an_error(python, engines, tiny_data):
    result = python("-m", "benchmarks.accuracy", "--engine", engines[2], "--data", tiny_data)
    assert result.returncode == 1
    assert result.stderr.count("error:") == 1
    assert result.stdout == ""


def test_fingerprint_follows_content_not_order(tiny_data, tmp_path):
    tiles = find_tiles(tiny_data, "test")
    assert fingerprint(tiles) == fingerprint(tiles[::-1])
    assert fingerprint(tiles) != fingerprint(tiles[:1])


def test_the_richest_tile_has_most_classes(tiny_data):
    tiles = find_tiles(tiny_data, "test")
    assert [tile.name for tile in richest(tiles, 1)] == ["synthetic-a_00000001"]


@pytest.mark.parametrize("name", ["accuracy", "robustness", "report", "demo"])
def test_help_imports_nothing_heavy(python, name):
    code = f"""
import sys
from benchmarks.{name} import __main__ as command
command.parser().format_help()
print(sorted({{"numpy", "cv2", "torch", "matplotlib", "jinja2"}} & set(sys.modules)))
"""
    assert python("-c", code).stdout.strip() == "[]"
