"""The plain loop maps what the engine maps, chip by chip, and takes turns with the command."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import plain_loop, tiling_loop
from benchmarks.scene import make_pair
from runtime.engine import load_engine
from runtime.errors import ConfigError


@pytest.fixture(scope="module")
def engine_folder(example_engine, tmp_path_factory):
    pytest.importorskip("rasterio")
    pytest.importorskip("onnxruntime")
    return example_engine(tmp_path_factory.mktemp("loop") / "engine", "onnxruntime")


@given(st.integers(8, 90), st.integers(8, 90), st.integers(1, 8))
def test_the_grid_covers_the_raster_from_the_bottom_up(height, width, stride):
    covered = np.zeros((height, width), bool)
    places = list(plain_loop.grid(height, width, 8, stride))
    for top, left in places:
        assert -stride < top <= height - 8
        assert 0 <= left < width - 8 + stride
        covered[max(0, top) : top + 8, left : left + 8] = True
    assert covered.all()
    rows, columns = (int(np.ceil((side - 8) / stride)) + 1 for side in (height, width))
    assert len(places) == rows * columns
    assert places[0] == (height - 8, 0)


def test_a_raster_smaller_than_a_chip_has_none():
    assert list(plain_loop.grid(7, 20, 8, 4)) == []


def test_labels_of_the_loop_are_the_engines_where_one_chip_lies_alone(engine_folder, tmp_path):
    import rasterio

    make_pair(tmp_path, 300)
    images = [tmp_path / f"{name}-300.tif" for name in ("pre", "post")]
    out = tmp_path / "labels.tif"
    line = [engine_folder / "model.onnx", *images, out, "--overlap", "0"]
    subprocess.run([sys.executable, "-m", "benchmarks.plain_loop", *map(str, line)], check=True)
    with rasterio.open(out) as file:
        found, place = file.read(1), file.transform
    pixels = []
    for path in images:
        with rasterio.open(path) as file:
            pixels.append(np.ascontiguousarray(file.read().transpose(1, 2, 0)[44:, :256]))
            assert place == file.transform
    with load_engine(engine_folder, threads=1) as engine:
        expected = engine.predict(*pixels).damage
    assert expected.any()
    np.testing.assert_array_equal(found[44:, :256], expected)


@pytest.mark.slow
def test_the_command_and_the_loop_take_turns(engine_folder, tmp_path, capsys):
    line = ["--engine", str(engine_folder), "--size", "300", "--turns", "1", "--json"]
    line += ["--overlap", "0", "128", "--scratch", str(tmp_path)]
    tiling_loop.main(tiling_loop.parser().parse_args(line))
    ours, apart, close = json.loads(capsys.readouterr().out)["ways"]
    assert (ours["way"], ours["wall_ratio"], ours["windows"]) == ("runtime.predict", 1, 4)
    assert (apart["overlap"], close["overlap"]) == (0, 128)
    assert (apart["windows"], close["windows"]) == (4, 4)
    for each in (apart, close):
        ratio = each["processor_seconds"] / ours["processor_seconds"]
        assert each["processor_ratio"] == pytest.approx(ratio)
    assert "loop, engine's graph" in tiling_loop.table([ours, apart])


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--overlap", "256"], "--overlap 256: expected 0 to 255"),
        (["--size", "100"], "--size 100: expected 256 or more"),
        (["--turns", "0"], "--turns 0: expected 1 or more"),
    ],
)
def test_what_cannot_be_compared_is_refused(engine_folder, more, told):
    line = ["--engine", str(engine_folder), *more]
    with pytest.raises(ConfigError, match=told):
        tiling_loop.main(tiling_loop.parser().parse_args(line))


def test_an_engine_of_another_library_is_refused(example_engine, tmp_path):
    pytest.importorskip("openvino")
    folder = example_engine(tmp_path / "e", "openvino")
    with pytest.raises(ConfigError, match="expected an FP32 engine for ONNX Runtime"):
        tiling_loop.main(tiling_loop.parser().parse_args(["--engine", str(folder)]))


@pytest.mark.slow
def test_a_plain_export_gives_the_labels_of_the_network(small_checkpoint, tmp_path):
    import onnxruntime
    import torch

    from benchmarks.peers.plain import export_plain
    from train.checkpoint import load_checkpoint
    from train.inference import predict_maps

    torch.manual_seed(0)
    network = load_checkpoint(small_checkpoint).network().eval()
    export_plain(network, (64, 64), tmp_path / "plain.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "plain.onnx")
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    found = plain_loop.labels_by_numpy(session, *(each.transpose(2, 0, 1) for each in images))
    assert (found == predict_maps(network, *images)[0]).mean() > 0.999
