"""The benchmarks of the runtime: what they count is what happened."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import overhead, scene, seams
from runtime.engine import load_engine


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
    found = seams.compare(one, tiles)
    assert found == {"differing": 0.06, "differing_in_buildings": pytest.approx(6 / 21)}
    assert "6.0000%" in seams.table([{"halo": None, "windows": 4, **found}])
