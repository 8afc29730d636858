"""A gate leaves windows out. Here an engine's own network is its gate, at the engine's threshold:
no building may be lost, and a map without the gate tells what the gate may skip."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
import rasterio
import shapely
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pyogrio.raw import write
from rasterio.transform import from_origin

from runtime import load_engine
from runtime.engine import Engine
from runtime.errors import (
    AlteredPayloadError,
    BackendError,
    ConfigError,
    EngineError,
    ManifestError,
)
from runtime.manifest import GATE, Manifest, WindowGate, payload_of
from runtime.mapping import map_pair
from runtime.scene.gate import CELL, background, joined, peak
from runtime.scene.unfinished import Skipped
from runtime.scene.windows import Span, Spans, Window, window_rows
from tests.runtime.map_options import map_options
from train.synthetic.scene import make_scene

HEIGHT, WIDTH = 640, 900
MISSES = {"buildings": 1000, "buildings_missed": 1}


@pytest.fixture(scope="session")
def gated_engine(example_engine, tmp_path_factory):
    """A function that writes an engine with itself as its gate."""

    def make(backend: str, batch: tuple[int, int, int] = (1, 1, 1)):
        folder = tmp_path_factory.mktemp("gated") / "engine"
        example_engine(folder, backend, batch)
        manifest = Manifest.read(folder)
        (folder / GATE).mkdir()
        for entry in manifest.payload:
            shutil.copy(folder / entry.name, folder / GATE)
        names = [entry.name for entry in manifest.payload]
        gate = WindowGate(
            manifest.model, manifest.graph, "fp32", 1, 128, CELL, MISSES,
            payload_of(folder / GATE, names),
        )  # fmt: skip
        dataclasses.replace(manifest, gate=gate).write(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def engine_folder(gated_engine):
    return gated_engine("onnxruntime")


@pytest.fixture(scope="session")
def scene() -> np.ndarray:
    """Before and after, uint8 [2, HEIGHT, WIDTH, 3]: two hamlets on even ground."""
    rng = np.random.default_rng(1)
    images = rng.normal((84, 96, 62), 4, (2, HEIGHT, WIDTH, 3)).clip(0, 255).astype(np.uint8)
    for number, (top, left) in enumerate(((20, 30), (400, 700))):
        town = make_scene(5, number, 128)
        images[:, top : top + 128, left : left + 128] = town.pre, town.post
    return images


@pytest.fixture(scope="module")
def rasters(scene, tmp_path_factory):
    """pre.tif and post.tif."""
    folder = tmp_path_factory.mktemp("scene")
    paths = [folder / "pre.tif", folder / "post.tif"]
    for path, image in zip(paths, scene, strict=True):
        with rasterio.open(
            path, "w", driver="GTiff", height=HEIGHT, width=WIDTH, count=3, dtype="uint8",
            crs="EPSG:32614", transform=from_origin(500_000, 3_300_000, 0.5, 0.5),
        ) as file:  # fmt: skip
            file.write(np.moveaxis(image, 2, 0))
    return paths


def maps(out) -> tuple[np.ndarray, np.ndarray]:
    with rasterio.open(out / "damage.tif") as damage, rasterio.open(out / "confidence.tif") as sure:
        return damage.read(1), sure.read(1)


def skipped_pixels(summary) -> np.ndarray:
    where = np.zeros((HEIGHT, WIDTH), bool)
    for row, column, height, width, _ in summary["gate"]["skipped"]:
        assert not where[row : row + height, column : column + width].any()
        where[row : row + height, column : column + width] = True
    return where


KINDS = [("onnxruntime", (1, 1, 1)), ("openvino", (1, 1, 1)), ("onnxruntime", (2, 3, 4))]


@pytest.fixture(scope="module", params=KINDS)
def mapped(request, gated_engine, rasters, tmp_path_factory):
    """The engine, its map without the gate, and with it."""
    found, folder = [], tmp_path_factory.mktemp("maps")
    with load_engine(gated_engine(*request.param)) as engine:
        for name, options in (("whole", map_options(gate=False)), ("gated", map_options())):
            summary = map_pair(engine, *rasters, folder / name, options)
            found.append((summary, *maps(folder / name)))
        yield engine, *found


def test_no_building_is_lost_and_what_is_skipped_is_background(mapped):
    engine, (whole, damage, confidence), (gated, by_gate, sure) = mapped
    np.testing.assert_array_equal(by_gate, damage)
    assert gated["classes"] == whole["classes"]
    assert gated["buildings"] > 5
    skipped = skipped_pixels(gated)
    assert 0.2 < skipped.mean() < 0.9
    assert not by_gate[skipped].any()
    np.testing.assert_array_equal(sure[~skipped], confidence[~skipped])
    # Of each cell the least sure pixel: never surer than the network is of that pixel.
    assert (sure[skipped] <= confidence[skipped]).all()
    assert (sure[skipped] > 127).all()
    # Whole windows are skipped, none of which keeps a building.
    rows = window_rows((HEIGHT, WIDTH), (engine.height, engine.width), 64)
    for window in (each for row in rows for each in row):
        kept = np.s_[window.row.begin : window.row.end, window.column.begin : window.column.end]
        assert skipped[kept].all() or not skipped[kept].any()
        assert not (skipped[kept].all() and damage[kept].any())


def test_the_summary_counts_what_was_skipped_and_says_so(mapped):
    _, (whole, *_), (gated, *_) = mapped
    count = gated["windows_skipped"]["gate"]
    assert count == gated["gate"]["windows_skipped"] == sum(x[4] for x in gated["gate"]["skipped"])
    assert gated["windows_computed"] == gated["windows"] - count
    assert gated["gate"]["misses"] == MISSES
    assert any(f"{count} of {gated['windows']} windows are not computed" in each
               and "missed 1 of 1000" in each for each in gated["notes"])  # fmt: skip
    assert whole["gate"] is None
    assert whole["windows_skipped"]["gate"] == 0
    assert whole["windows_computed"] == whole["windows"]


def test_fewer_windows_are_computed(engine_folder, rasters, tmp_path, monkeypatch):
    asked = {"gate": 0, "engine": 0}
    predict = Engine.predict

    def counting(self, pre, post, out=None):
        asked["gate" if self.folder.name == GATE else "engine"] += 1
        return predict(self, pre, post, out)

    monkeypatch.setattr(Engine, "predict", counting)
    with load_engine(engine_folder) as engine:
        summary = map_pair(engine, *rasters, tmp_path / "map", map_options())
    assert asked == {"gate": summary["windows"], "engine": summary["windows_computed"]}


def test_the_confidence_map_says_where_it_is_the_gates(engine_folder, rasters, scene, tmp_path):
    with load_engine(engine_folder) as engine:
        summary = map_pair(engine, *rasters, tmp_path / "map", map_options())
        plain = [tmp_path / "a_pre.png", tmp_path / "a_post.png"]
        for path, image in zip(plain, scene, strict=True):
            Image.fromarray(image).save(path)
        of_pngs = map_pair(engine, *plain, tmp_path / "png", map_options())
        map_pair(engine, *rasters, tmp_path / "whole", map_options(gate=False))
    boxes = [each[:4] for each in summary["gate"]["skipped"]]
    with rasterio.open(tmp_path / "map" / "confidence.tif") as file:
        tags = file.tags()
    with rasterio.open(tmp_path / "map" / "damage.tif") as file:
        assert "GATE_SKIPPED" not in file.tags()
    with rasterio.open(tmp_path / "whole" / "confidence.tif") as file:
        assert "GATE_SKIPPED" not in file.tags()
    with Image.open(tmp_path / "png" / "confidence.png") as picture:
        texts = picture.text
        np.testing.assert_array_equal(np.asarray(picture), maps(tmp_path / "map")[1])
    for found in (tags, texts):
        assert json.loads(found["GATE_SKIPPED"]) == boxes
        assert found["GATE_WINDOWS_SKIPPED"] == str(summary["windows_skipped"]["gate"])
        assert found["GATE_THRESHOLD"] == "128"
    assert of_pngs["gate"]["skipped"] == summary["gate"]["skipped"]


def test_a_run_that_was_ended_goes_on_with_what_was_skipped(
    engine_folder, rasters, tmp_path, monkeypatch
):
    left, predict = 32, Engine.predict

    def ending(self, pre, post, out=None):
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return predict(self, pre, post, out)

    with load_engine(engine_folder) as engine:
        at_once = map_pair(engine, *rasters, tmp_path / "at-once", map_options())
        out = tmp_path / "map"
        with monkeypatch.context() as patch:
            patch.setattr(Engine, "predict", ending)
            with pytest.raises(KeyboardInterrupt):
                map_pair(engine, *rasters, out, map_options())
        shutil.copytree(out, tmp_path / "cut")
        journal = json.loads((out / ".unfinished" / "journal.json").read_text())
        assert journal["heights"]
        assert journal["skipped"]
        summary = map_pair(engine, *rasters, out, map_options(resume=True))
        assert summary["gate"] == at_once["gate"]
        np.testing.assert_array_equal(maps(out), maps(tmp_path / "at-once"))
        # Of finished pixels the buildings alone are made anew.
        other = map_pair(engine, *rasters, out, map_options(resume=True, min_area=50))
        assert other["gate"] == at_once["gate"]
        assert other["buildings"] < summary["buildings"]
        assert other["windows_skipped"] == at_once["windows_skipped"]
        # A map without the gate is another one, also while it is made.
        shutil.copytree(tmp_path / "cut", tmp_path / "other")
        with pytest.raises(ConfigError, match=r"another use of the gate .--no-gate or --footpr"):
            map_pair(engine, *rasters, tmp_path / "other", map_options(resume=True, gate=False))
        whole = map_pair(engine, *rasters, out, map_options(resume=True, gate=False))
        assert whole["gate"] is None


def test_where_the_gate_fails_the_window_is_computed(engine_folder, rasters, tmp_path, monkeypatch):
    predict = Engine.predict

    def failing(self, pre, post, out=None):
        if self.folder.name == GATE:
            raise BackendError("the device is gone")
        return predict(self, pre, post, out)

    monkeypatch.setattr(Engine, "predict", failing)
    with load_engine(engine_folder) as engine:
        summary = map_pair(engine, *rasters, tmp_path / "map", map_options())
    assert summary["windows_computed"] == summary["windows"]
    assert not summary["failed_tiles"]
    assert (
        f"the gate failed at {summary['windows']} windows, which were computed; the first: the "
        "device is gone"
    ) in summary["notes"]


def test_a_window_that_fails_among_skipped_ones_is_a_failed_tile(
    engine_folder, scene, tmp_path, monkeypatch
):
    predict = Engine.predict

    def failing(self, pre, post, out=None):
        if self.folder.name != GATE:
            raise BackendError("the device is gone")
        return predict(self, pre, post, out)

    for name, image in zip(("pre", "post"), scene, strict=True):
        Image.fromarray(image[:256, :600]).save(tmp_path / f"{name}.png")
    monkeypatch.setattr(Engine, "predict", failing)
    with load_engine(engine_folder) as engine:
        summary = map_pair(
            engine, tmp_path / "pre.png", tmp_path / "post.png", tmp_path / "map", map_options()
        )
    assert len(summary["failed_tiles"]) == summary["windows_computed"] < 3
    assert summary["windows_skipped"]["gate"] > 0


def test_a_gate_that_cannot_go_on_ends_the_map(engine_folder, rasters, tmp_path, monkeypatch):
    """Not as a failure of the engine that waits for its next window: windows would be left out."""
    many = Engine.predict_many

    def broken(self, pairs):
        if self.folder.name == GATE:
            raise BackendError("the device is gone")
        return many(self, pairs)

    monkeypatch.setattr(Engine, "predict_many", broken)
    with (
        load_engine(engine_folder) as engine,
        pytest.raises(EngineError, match="the gate: the dev"),
    ):
        map_pair(engine, *rasters, tmp_path / "map", map_options())


def test_footprints_are_graded_whatever_the_gate_says(engine_folder, rasters, tmp_path):
    house = shapely.transform(
        shapely.box(400, 300, 420, 320), lambda p: p * (0.5, -0.5) + (500_000, 3_300_000)
    )
    write(
        str(tmp_path / "houses.gpkg"), geometry=shapely.to_wkb(np.array([house])),
        geometry_type="Polygon", crs="EPSG:32614", fields=["n"], field_data=[np.array([1])],
    )  # fmt: skip
    options = map_options(footprints=tmp_path / "houses.gpkg", whole_scene=True)
    with load_engine(engine_folder) as engine:
        summary = map_pair(engine, *rasters, tmp_path / "map", options)
    assert summary["gate"] is None
    assert summary["windows_computed"] == summary["windows"]


def test_an_altered_or_absent_gate_is_refused_before_anything_is_loaded(gated_engine):
    folder = gated_engine("onnxruntime")
    path = folder / GATE / "model.onnx"
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)
    with pytest.raises(AlteredPayloadError, match=f"{GATE}/model.onnx: its sha256 .*--gate CKPT"):
        load_engine(folder)
    path.unlink()
    with pytest.raises(AlteredPayloadError, match=f"{GATE}/model.onnx: payload file is missing"):
        load_engine(folder)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("threshold", 0, "gate.threshold must lie between 1 and 255"),
        ("threshold", 256, "gate.threshold"),
        ("threshold", 1.5, "gate.threshold must be a whole number"),
        ("margin_px", -1, "gate.margin_px must be 0 or more"),
        ("reduction", 0, "gate.reduction must be 1 or more"),
        ("payload", [], "gate.payload must list at least one file"),
        ("payload", [{"name": "../x", "size": 1, "sha256": "0" * 64}], "gate.payload.0..name"),
        ("colour", 1, "gate.colour is unknown"),
    ],
)
def test_a_wrong_gate_in_the_manifest_is_named(engine_folder, tmp_path, key, value, message):
    content = json.loads((engine_folder / "manifest.json").read_text())
    content["gate"][key] = value
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(ManifestError, match=message):
        Manifest.read(tmp_path)


def test_an_engine_closes_its_gate(engine_folder):
    with load_engine(engine_folder) as engine:
        gate = engine.window_gate
        assert gate is engine.window_gate
        assert gate.height == engine.height
    image = np.zeros((256, 256, 3), np.uint8)
    with pytest.raises(Exception, match="is closed"):
        gate.predict(image, image)
    with pytest.raises(Exception, match="is closed"):
        load_and_close(engine_folder).window_gate  # noqa: B018


def load_and_close(folder) -> Engine:
    engine = load_engine(folder)
    engine.close()
    return engine


@given(st.lists(st.booleans(), min_size=1, max_size=12), st.integers(0, 3))
def test_neighbours_are_joined_and_nothing_is_lost(skip, halo):
    spans = Spans(8 + (len(skip) - 1) * (8 - 2 * halo), 8, halo)
    assert len(spans) == len(skip)
    row = Span(0, 3, 9)
    found = joined(row, [span for span, each in zip(spans, skip, strict=True) if each])
    where = np.zeros(spans.length, int)
    for each in found:
        assert (each.row, each.height) == (3, 6)
        where[each.column : each.column + each.width] += 1
    expected = np.zeros(spans.length, int)
    for span, each in zip(spans, skip, strict=True):
        expected[span.begin : span.end] = each
    np.testing.assert_array_equal(where, expected)
    assert sum(each.windows for each in found) == sum(skip)
    runs = sum(1 for i, each in enumerate(skip) if each and not (i and skip[i - 1]))
    assert len(found) == runs
    assert all(isinstance(each, Skipped) for each in found)


def test_the_peak_is_that_of_the_kept_part_and_its_margin():
    window = Window(Span(100, 164, 292), Span(0, 0, 192))
    building = np.zeros((256, 256), np.uint8)
    for (row, column), margin, expected in [
        ((64, 0), 0, 7), ((63, 0), 0, 0), ((63, 0), 1, 7), ((31, 5), 32, 0), ((32, 5), 32, 7),
        ((191, 191), 0, 7), ((192, 0), 0, 0), ((0, 192), 255, 7), ((223, 223), 32, 7),
        ((224, 0), 32, 0),
    ]:  # fmt: skip
        building[:] = 0
        building[row, column] = 7
        assert peak(building, window, margin) == expected


def test_background_is_as_sure_as_the_likeliest_building_of_a_cell():
    building = np.random.default_rng(0).integers(0, 90, (64, 96)).astype(np.uint8)
    maps = background(building).maps()
    assert not maps.damage.any()
    assert maps.damage.dtype == np.uint8
    for top in range(0, 64, CELL):
        for left in range(0, 96, CELL):
            part = np.s_[top : top + CELL, left : left + CELL]
            assert (maps.building[part] == building[part].max()).all()
    np.testing.assert_array_equal(maps.confidence, 255 - maps.building)
