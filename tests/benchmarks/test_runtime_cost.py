"""The benchmarks of the runtime: what they count is what happened."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import overhead, scene, seams, throughput
from runtime.engine import load_engine
from runtime.scene.windows import window_rows


@pytest.fixture(scope="module")
def engine_folder(make_engine, tmp_path_factory):
    return make_engine(tmp_path_factory.mktemp("cost") / "engine")


def test_the_added_time_is_what_the_library_did_not_take(engine_folder):
    with load_engine(engine_folder, threads=1) as engine:
        found = overhead.measure(engine, 5)
        # Each is a median of its own: on a busy machine they need not add up.
        assert min(found["predict_s"], found["library_s"], found["added_s"]) > 0
        assert found["allocated_bytes"] < found["image_bytes"] + 10_000
    assert "added" in overhead.table(
        {**found, "import_runtime_s": 0.1, "import_numpy_s": 0.1, "first_result_s": 1.0}
    )


def test_a_scene_is_compared_with_its_windows(engine_folder, monkeypatch, capsys):
    pytest.importorskip("rasterio")
    monkeypatch.setattr(scene, "SMALL", 64)
    monkeypatch.setattr(scene, "CALLS", 10)
    line = ["--engine", str(engine_folder), "--size", "150", "--json"]
    scene.main(scene.parser().parse_args(line))
    (row,) = json.loads(capsys.readouterr().out)["scenes"]
    assert row["size"] == 150
    assert row["windows"] > 1
    assert row["ratio"] == pytest.approx(row["seconds"] / row["windows"] / row["engine_seconds"])
    assert "150" in scene.table([row])


@pytest.mark.parametrize(
    "backend", ["onnxruntime", pytest.param("openvino", marks=pytest.mark.slow)]
)
def test_the_ways_of_computing_windows_take_turns(example_engine, tmp_path, capsys, backend):
    pytest.importorskip("rasterio")
    folder = example_engine(tmp_path / "e", backend, (2, 2, 2))
    line = ["--engine", str(folder), "--size", "300", "--turns", "2", "--json"]
    throughput.main(throughput.parser().parse_args(line))
    rows = json.loads(capsys.readouterr().out)["ways"]
    ways = [row["way"] for row in rows]
    more = ["throughput", "auto"] if backend == "openvino" else []
    assert ways == ["single", "latency", *more]
    for row in rows:
        assert len(row["seconds"]) == 2
        assert row["windows"] > 1
        assert row["windows_a_second"] == pytest.approx(row["windows"] / np.median(row["seconds"]))
    assert rows[1]["ratio"] == 1
    assert "latency" in throughput.table(rows)


def test_an_engine_that_is_given_single_windows_answers_the_same(example_engine, tmp_path):
    pair = np.random.default_rng(0).integers(0, 256, (2, 256, 256, 3), np.uint8)
    batch = [np.stack([each, each]) for each in pair]
    with load_engine(example_engine(tmp_path / "e", "onnxruntime", (1, 2, 2)), 1) as engine:
        for given in (batch, pair):
            (one,) = engine.predict_many([given])
            (other,) = throughput.Single(engine).predict_many([given])
            np.testing.assert_array_equal(one.damage, other.damage)


def test_a_raster_is_a_mosaic_of_towns(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    scene.make_pair(tmp_path, 600)
    for name in ("pre", "post"):
        with rasterio.open(tmp_path / f"{name}-600.tif") as file:
            image = file.read()
        assert image.shape == (3, 600, 600)
        assert image.std() > 10
        assert not np.array_equal(image[:, :88, :88], image[:, 512:, 512:])


def test_differing_pixels_are_counted():
    one = np.zeros((10, 10), np.uint8)
    one[:2] = 3
    tiles = one.copy()
    tiles[0, :5], tiles[9, 9] = 1, 2
    distance = np.full((10, 10), 4)
    distance[9, 9] = 7
    found = seams.compare(one, tiles, distance)
    assert found == {
        "differing": 0.06,
        "differing_in_buildings": pytest.approx(6 / 21),
        "distance_p90": pytest.approx(np.percentile([4] * 5 + [7], 90)),
        "distance_max": 7,
    }
    assert "6.0000%" in seams.table([{"halo": 8, "windows": 4, **found}])
    assert seams.compare(one, one, distance)["distance_max"] == 0


@pytest.mark.parametrize(("size", "engine", "halo"), [(40, (16, 24), 2), (33, (16, 16), 0)])
def test_the_distance_is_that_of_the_nearest_pixel_of_another_window(size, engine, halo):
    owner = np.zeros((size, size), int)
    for index, window in enumerate(
        each for row in window_rows((size, size), engine, halo) for each in row
    ):
        owner[window.row.begin : window.row.end, window.column.begin : window.column.end] = index
    expected = np.empty((size, size), int)
    for row, column in np.ndindex(size, size):
        others_row = np.flatnonzero(owner[:, column] != owner[row, column])
        others_column = np.flatnonzero(owner[row] != owner[row, column])
        gaps = [*abs(others_row - row), *abs(others_column - column)]
        expected[row, column] = min(gaps) - 1
    assert np.array_equal(seams.seam_distances(size, engine, halo), expected)


def test_a_single_window_has_no_seam():
    assert (seams.seam_distances(32, (64, 64), 8) == 32).all()
