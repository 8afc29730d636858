"""Agreement of engines, against loops over pixels and SciPy's Wasserstein distance."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import numpy_helper
from scipy.stats import wasserstein_distance

from benchmarks.agreement import Agreement, main, parser, shift
from runtime.damage import CLASS_NAMES
from runtime.engine import Prediction
from runtime.errors import ConfigError
from runtime.manifest import Manifest, payload_of
from train.xbd import find_tiles

SHAPE = (5, 8)
classes = hnp.arrays(np.uint8, SHAPE, elements=st.integers(0, 4))
levels = hnp.arrays(np.uint8, SHAPE, elements=st.integers(0, 255))
maps = st.builds(Prediction, classes, levels, levels)
STEP = 70  # of the other engine; the reference's is 60


def variant(folder: Path, source: Path, step: int = 60, side: int = 64) -> Path:
    """The engine `source` with another step from class to class, or another size."""
    shutil.copytree(source, folder)
    model = onnx.load(folder / "model.onnx")
    for constant in model.graph.initializer:
        if constant.name == "step":
            constant.CopyFrom(numpy_helper.from_array(np.array(step, np.int32), "step"))
    for value in (*model.graph.input, *model.graph.output):
        for dimension in value.type.tensor_type.shape.dim[1:3]:
            dimension.dim_value = side
    onnx.save(model, folder / "model.onnx")
    manifest, payload = Manifest.read(folder), payload_of(folder, ["model.onnx"])
    size = dataclasses.replace(manifest.input, height=side, width=side)
    dataclasses.replace(manifest, payload=payload, input=size).write(folder)
    return folder


@settings(max_examples=50)
@given(pairs=st.lists(st.tuples(maps, maps), min_size=1, max_size=3))
def test_figures_are_those_of_a_loop_over_pixels(pairs):
    found = Agreement()
    for index, (reference, other) in enumerate(pairs):
        found.add(f"tile-{index}", reference, other)
    labels = [
        (int(a), int(b))
        for reference, other in pairs
        for a, b in zip(reference.damage.flat, other.damage.flat, strict=True)
    ]
    either = [(a, b) for a, b in labels if a or b]
    record = json.loads(json.dumps(found.as_dict()))
    assert record["agreement"] == pytest.approx(sum(a == b for a, b in labels) / len(labels))
    if either:
        same = sum(a == b for a, b in either) / len(either)
        assert record["building_agreement"] == pytest.approx(same)
    else:
        assert record["building_agreement"] is None
    for value, name in enumerate(CLASS_NAMES):
        ours, theirs = (sum(pair[each] == value for pair in labels) for each in (0, 1))
        if ours + theirs == 0:
            assert name not in record["class_f1"]
        else:
            hits = labels.count((value, value))
            assert record["class_f1"][name] == pytest.approx(2 * hits / (ours + theirs))
    for tile, (reference, other) in zip(record["tiles"], pairs, strict=True):
        assert tile["differing"] == int((reference.damage != other.damage).sum())
        assert tile["pixels"] == reference.damage.size
    assert [tile["name"] for tile in record["tiles"]] == [f"tile-{i}" for i in range(len(pairs))]


@settings(max_examples=50)
@given(reference=maps, other=maps)
def test_confidence_shift_is_the_distance_of_the_samples(reference, other):
    found = Agreement()
    found.add("tile", reference, other)
    before, after = (each.confidence / 255 for each in (reference, other))
    assert shift(found.levels) == pytest.approx(
        wasserstein_distance(before.ravel(), after.ravel()), abs=1e-9
    )
    both = (reference.damage > 0) & (other.damage > 0)
    if both.any():
        expected = wasserstein_distance(before[both], after[both])
        assert shift(found.building_levels) == pytest.approx(expected, abs=1e-9)
    else:
        assert shift(found.building_levels) is None


@pytest.fixture(scope="module")
def compared(python, engines, tiny_data, tmp_path_factory) -> tuple[dict, str]:
    folder = tmp_path_factory.mktemp("agreement")
    other = variant(folder / "coarse", engines[0], step=STEP)
    flags = [each for engine in (*engines[:2], other) for each in ("--engine", engine)]
    out = folder / "agreement.json"
    result = python("-m", "benchmarks.agreement", *flags, "--data", tiny_data, "--out", out)
    assert result.returncode == 0, result.stderr
    return json.loads(out.read_text()), result.stdout


def test_every_engine_is_compared_with_the_first(compared):
    record, _ = compared
    assert {*record} == {"kind", "reference", "engines", "data", "machine"}
    assert (record["kind"], record["reference"]["name"]) == ("agreement", "cpu-fp32")
    assert [each["engine"]["name"] for each in record["engines"]] == ["cpu-int8", "coarse"]
    assert record["data"]["tiles"] == 2


def test_a_twin_agrees_everywhere(compared):
    twin = compared[0]["engines"][0]
    assert twin["agreement"] == twin["building_agreement"] == 1
    assert {*twin["class_f1"].values()} == {1}
    assert twin["confidence_shift"] == twin["building_confidence_shift"] == 0
    assert [tile["differing"] for tile in twin["tiles"]] == [0, 0]


def test_another_engine_differs_where_its_formula_does(compared, tiny_data):
    found = compared[0]["engines"][1]
    differing, pixels, buildings = [], 0, 0
    for tile in find_tiles(tiny_data, "test"):
        pre, post = (cv2.imread(str(path))[..., 2] for path in (tile.pre, tile.post))
        ours, theirs = (np.where(pre >= 128, np.maximum(post // s, 1), 0) for s in (60, STEP))
        differing.append(int((ours != theirs).sum()))
        pixels, buildings = pixels + pre.size, buildings + int((ours > 0).sum())
    assert [tile["differing"] for tile in found["tiles"]] == differing
    assert sum(differing) > 0
    assert found["agreement"] == pytest.approx(1 - sum(differing) / pixels)
    assert found["building_agreement"] == pytest.approx(1 - sum(differing) / buildings)
    assert found["class_f1"]["background"] == 1


def test_the_table_names_the_tile_with_most_differences(compared):
    record, text = compared
    lines = text.splitlines()
    assert lines[0].startswith("against cpu-fp32, 2 tiles of tiny-xbd/test")
    tiles = record["engines"][1]["tiles"]
    worst = max(tiles, key=lambda tile: tile["differing"])["name"]
    place = next(i for i, line in enumerate(lines) if line.startswith("coarse"))
    assert f"{record['engines'][1]['agreement']:.4%}" in lines[place]
    assert worst in lines[place + 1]


def test_no_labels_are_needed(python, engines, tiny_data, tmp_path):
    (tmp_path / "field").mkdir()
    (tmp_path / "field" / "images").symlink_to(tiny_data / "test" / "images")
    flags = ("--engine", engines[0], "--engine", engines[1], "--data", tmp_path)
    result = python("-m", "benchmarks.agreement", *flags, "--split", "field", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["engines"][0]["agreement"] == 1


def test_engines_of_two_sizes_are_refused(engines, tiny_data, tmp_path):
    small = variant(tmp_path / "small", engines[0], side=32)
    flags = ["--engine", str(engines[0]), "--engine", str(small), "--data", str(tiny_data)]
    with pytest.raises(ConfigError, match="small: takes 32x32, .*cpu-fp32 takes 64x64"):
        main(parser().parse_args(flags))


def test_one_engine_alone_is_refused(engines, tiny_data):
    with pytest.raises(ConfigError, match="expected two or more"):
        main(parser().parse_args(["--engine", str(engines[0]), "--data", str(tiny_data)]))


def test_help_imports_nothing_heavy(python):
    code = """
import sys
from benchmarks import agreement
agreement.parser().format_help()
print(sorted({"numpy", "cv2", "torch", "matplotlib", "jinja2"} & set(sys.modules)))
"""
    assert python("-c", code).stdout.strip() == "[]"
