"""Whole maps of rasters: what is in them, and what is left when something fails."""

import json
import os
import signal
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
import shapely
from rio_cogeo.cogeo import cog_validate

from runtime.buildings import find_buildings
from runtime.damage import CLASS_COLOURS, CLASS_NAMES
from runtime.engine import Engine, load_engine
from runtime.errors import BackendError, ConfigError, EngineError, ImageError
from runtime.mapping import map_pair
from runtime.scene.work import default_halo
from tests.runtime.map_options import map_options

REPOSITORY = Path(__file__).parents[2]
OUTPUTS = {
    "damage.tif", "damage.tif.aux.xml", "damage.qml", "confidence.tif", "confidence.qml",
    "quality.tif", "quality.tif.aux.xml", "quality.qml",
    "buildings.gpkg", "buildings.geojson", "overlay.png", "summary.json",
}  # fmt: skip


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read(1)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("size", [(100, 170), (32, 48), (20, 30), (33, 500)])
def test_the_map_of_a_scene_is_that_of_its_pixels(scene, mapped, reference, size):
    pre, post, first, second = scene(*size)
    summary, out = mapped(pre, post)
    damage, _, confidence = reference(first, second)
    assert names(out) == OUTPUTS
    np.testing.assert_array_equal(read(out / "damage.tif"), damage)
    np.testing.assert_array_equal(read(out / "confidence.tif"), confidence)
    buildings = find_buildings(damage, confidence, raw_outlines=True)
    assert summary["buildings"] == len(buildings)
    assert summary["pixels"]["destroyed"] == (damage == 4).sum()
    won = [each.area_px for each in buildings if each.damage_class == 4]
    assert summary["classes"]["destroyed"]["area_px"] == sum(won)
    assert summary == json.loads((out / "summary.json").read_text())
    features = json.loads((out / "buildings.geojson").read_text())["features"]
    assert len(features) == len(buildings)


@pytest.mark.parametrize("raw", [False, True])
def test_buildings_are_those_of_the_whole_map_in_either_form(
    scene, write_raster, engine, tmp_path, raw
):
    pre, post, *_ = scene(100, 170)
    options = map_options(raw_outlines=raw)
    summary = map_pair(engine, pre, post, tmp_path / "out", options)
    assert summary["outlines"] == ("raw" if raw else "straight")
    damage, confidence = (read(tmp_path / "out" / f"{n}.tif") for n in ("damage", "confidence"))
    found = find_buildings(damage, confidence, raw_outlines=raw)
    from pyogrio.raw import read as read_vectors

    _, _, geometry, _ = read_vectors(tmp_path / "out" / "buildings.gpkg", layer="buildings")
    with rasterio.open(pre) as file:
        place = file.transform
    expected = [
        shapely.Polygon(each.rings[0] @ np.array([[place.a, 0], [0, place.e]]) + (place.c, place.f))
        for each in found
    ]
    written = shapely.get_exterior_ring(shapely.from_wkb(geometry))
    assert len(written) == len(expected)
    key = lambda line: (line.bounds, line.length)  # noqa: E731
    for one, other in zip(
        sorted(written, key=key), sorted((each.exterior for each in expected), key=key), strict=True
    ):
        assert one.equals_exact(other, 1e-6) or one.hausdorff_distance(other) < 1e-6
    cut = sum("border" in each.cut for each in found)
    assert summary["buildings_cut"] == {"border": cut, "not computed": 0}
    assert summary["classes"]["destroyed"]["area_px"] == sum(
        each.area_px for each in found if each.damage_class == 4
    )


def test_the_geotiff_says_what_it_is(scene, mapped):
    pre, post, *_ = scene(600, 700)
    _, out = mapped(pre, post)
    with rasterio.open(pre) as source, rasterio.open(out / "damage.tif") as file:
        assert (file.crs, file.transform) == (source.crs, source.transform)
        assert file.nodata == 255
        assert file.block_shapes == [(512, 512)]
        assert file.compression.name == "deflate"
        assert file.overviews(1) == [2]
        colours = file.colormap(1)
        assert [colours[i][:3] for i in range(5)] == list(CLASS_COLOURS)
        # A program that knows no nodata shows what was not computed in no colour of a class.
        assert all(colours[i] == (255, 0, 255, 255) for i in range(5, 255))
    with rasterio.open(out / "confidence.tif") as file:
        assert file.nodata == 0
    for name in ("damage.tif", "confidence.tif"):
        assert cog_validate(out / name, strict=True, quiet=True) == (True, [], [])
    described = ElementTree.parse(out / "damage.tif.aux.xml").find("PAMRasterBand")
    assert [each.text for each in described.iter("Category")] == list(CLASS_NAMES)
    table = described.find("GDALRasterAttributeTable")
    assert table.attrib["tableType"] == "thematic"
    # GDAL's numbers of what a field is for: value, name, red, green, blue, alpha.
    assert [each.text for each in table.iter("Usage")] == ["5", "2", "6", "7", "8", "9"]
    rows = [[cell.text for cell in row] for row in table.iter("Row")]
    expected = [*enumerate(zip(CLASS_NAMES, CLASS_COLOURS, strict=True))]
    expected.append((255, ("not computed", (255, 0, 255))))
    assert rows == [
        [str(value), name, *map(str, colour), "255" if value else "0"]
        for value, (name, colour) in expected
    ]


def test_each_map_has_a_style_beside_it(scene, mapped):
    pre, post, *_ = scene()
    summary, out = mapped(pre, post)
    assert {"damage.qml", "confidence.qml", "damage.tif.aux.xml"} <= summary["files"].keys()
    renderer = ElementTree.parse(out / "damage.qml").find("pipe/rasterrenderer")
    assert (renderer.attrib["type"], renderer.attrib["nodataColor"]) == ("paletted", "#ff00ff")
    entries = [dict(each.attrib) for each in renderer.iter("paletteEntry")]
    assert [(int(each["value"]), each["label"]) for each in entries] == [
        *enumerate(CLASS_NAMES), (255, "not computed"),
    ]  # fmt: skip
    colours = [tuple(bytes.fromhex(each["color"][1:])) for each in entries]
    assert colours == [*CLASS_COLOURS, (255, 0, 255)]
    assert [each["alpha"] for each in entries] == ["0", *["255"] * 5]
    items = ElementTree.parse(out / "confidence.qml").iter("item")
    assert [(each.attrib["value"], each.attrib["label"]) for each in items] == [
        ("0.0", "0%"), ("0.25", "25%"), ("0.5", "50%"), ("0.75", "75%"), ("1.0", "100%"),
    ]  # fmt: skip


def test_a_map_that_is_given_as_an_image_is_one_line(scene, mapped, engine, tmp_path):
    pre, post, *_ = scene()
    _, out = mapped(pre, post)
    with pytest.raises(ImageError, match=r"damage\.tif: .* palette; expected red, green and blue"):
        map_pair(engine, out / "damage.tif", post, tmp_path / "again", map_options())
    with pytest.raises(ImageError, match=r"confidence\.tif: 1 band\(s\); expected three"):
        map_pair(engine, pre, out / "confidence.tif", tmp_path / "again", map_options())


def test_nodata_is_neither_damage_nor_none(scene, mapped, reference, write_raster):
    pre, post, first, second = scene()
    first[first == 0] = 1
    first[:40, 50:120] = 0
    write_raster(pre, first, nodata=0)
    summary, out = mapped(pre, post)
    damage, _, confidence = reference(first, second)
    damage[:40, 50:120], confidence[:40, 50:120] = 255, 0
    np.testing.assert_array_equal(read(out / "damage.tif"), damage)
    np.testing.assert_array_equal(read(out / "confidence.tif"), confidence)
    assert summary["nodata_px"] == 40 * 70


def test_windows_without_data_are_not_inferred(scene, mapped, write_raster, engine, monkeypatch):
    pre, post, first, _ = scene(64, 480)
    first[:, 100:] = 0
    write_raster(pre, first, nodata=0)
    calls = []
    predict = Engine.predict
    monkeypatch.setattr(Engine, "predict", lambda *a, **k: calls.append(1) or predict(*a, **k))
    summary, _ = mapped(pre, post)
    assert 0 < len(calls) < summary["windows"]


def test_a_tile_that_cannot_be_read_is_nodata_and_listed(scene, mapped, reference, write_raster):
    pre, post, first, second = scene(128, 256, compress="deflate")
    _harm(post, 32)
    summary, out = mapped(pre, post)
    damage = read(out / "damage.tif")
    assert summary["failed_tiles"]
    failed = np.zeros(damage.shape, bool)
    for tile in summary["failed_tiles"]:
        assert "post.tif: cannot be read" in tile["reason"]
        top, left = tile["row"], tile["column"]
        failed[top : top + tile["height"], left : left + tile["width"]] = True
    assert failed[64:128, 64:128].all()
    assert not failed.all()
    np.testing.assert_array_equal(damage == 255, failed)
    expected = reference(first, second)[0]
    np.testing.assert_array_equal(damage[~failed], expected[~failed])
    assert summary["nodata_px"] == failed.sum()


def test_an_engine_that_fails_once_costs_a_tile_and_thrice_the_run(
    scene, engine, tmp_path, monkeypatch, reference
):
    pre, post, first, second = scene()
    predict, calls = Engine.predict, []

    def failing(self, *images, bad):
        calls.append(1)
        if len(calls) in bad:
            raise BackendError("the device is gone")
        return predict(self, *images)

    monkeypatch.setattr(Engine, "predict", lambda *a: failing(*a, bad={2}))
    summary = map_pair(engine, pre, post, tmp_path / "out", map_options())
    (tile,) = summary["failed_tiles"]
    assert tile["reason"] == "the device is gone"
    summary = map_pair(engine, pre, post, tmp_path / "out", map_options(resume=True))
    assert summary["failed_tiles"] == []
    assert names(tmp_path / "out") == OUTPUTS
    expected = reference(first, second)[0]
    np.testing.assert_array_equal(read(tmp_path / "out" / "damage.tif"), expected)
    calls.clear()
    monkeypatch.setattr(Engine, "predict", lambda *a: failing(*a, bad=set(range(9, 99))))
    with pytest.raises(BackendError, match="the device is gone"):
        map_pair(engine, pre, post, tmp_path / "two", map_options())
    assert names(tmp_path / "two") == {".unfinished"}
    monkeypatch.setattr(Engine, "predict", predict)
    map_pair(engine, pre, post, tmp_path / "two", map_options(resume=True))
    np.testing.assert_array_equal(read(tmp_path / "two" / "damage.tif"), expected)


@pytest.mark.parametrize("size", [(20, 30), (32, 48), (32, 70)])
def test_an_engine_that_never_works_is_not_the_images_fault(
    scene, engine, tmp_path, size, monkeypatch
):
    pre, post, *_ = scene(*size)
    with monkeypatch.context() as patch:
        patch.setattr(Engine, "predict", _dead)
        with pytest.raises(BackendError, match="the device is gone"):
            map_pair(engine, pre, post, tmp_path / "out", map_options())
    assert not (tmp_path / "out" / "summary.json").exists()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        map_pair(engine, pre, post, tmp_path / "out", map_options(restart=True))


@pytest.mark.parametrize(
    ("side", "reach", "halo"),
    [
        (32, None, 8), (256, None, 64), (512, None, 64), (1024, None, 128),
        (1024, 64, 64), (1024, 96, 96), (1024, 300, 256), (1024, 20, 64), (128, 64, 32),
    ],
)  # fmt: skip
def test_the_halo_holds_the_reach_of_a_border_where_the_window_has_room(side, reach, halo):
    assert default_halo(side, reach) == halo


def test_options_that_cannot_be_used_are_one_line(scene, mapped, tmp_path):
    pre, post, *_ = scene()
    with pytest.raises(ConfigError, match="--halo is 16; .* expected at most 15"):
        mapped(pre, post, halo=16)
    with pytest.raises(ConfigError, match="--halo is -1"):
        mapped(pre, post, halo=-1)
    with pytest.raises(ImageError, match="none.tif: no such image"):
        mapped(pre, tmp_path / "none.tif")
    assert not (tmp_path / "out" / "summary.json").exists()


def test_a_full_disk_is_one_line_and_what_was_computed_stays(
    scene, engine_folder, tmp_path, python, reference
):
    import resource

    pre, post, first, second = scene(300, 200)

    def small_files_only():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))

    out = tmp_path / "out"
    line = ("-m", "runtime.predict", "--engine", engine_folder, pre, post, "--out", out)
    result = python(*line, preexec_fn=small_files_only)
    assert result.returncode != 0
    errors = [each for each in result.stderr.splitlines() if each.startswith("error: ")]
    assert len(errors) == 1, result.stderr
    assert "File too large" in errors[0]
    assert not (out / "summary.json").exists()
    result = python(*line, "--resume")
    assert result.returncode == 0, result.stderr
    np.testing.assert_array_equal(read(out / "damage.tif"), reference(first, second)[0])


def test_known_footprints_are_graded(scene, engine, tmp_path, reference):
    from pyogrio.raw import read as read_vectors
    from pyogrio.raw import write

    pre, post, first, second = scene()
    boxes = [(10, 5, 30, 25), (60, 40, 61, 41), (900, 900, 910, 910)]
    corner = np.array([500_000, 3_300_000])
    shapes = [shapely.box(*each) for each in boxes]
    placed = [shapely.transform(each, lambda p: corner + p * (0.5, -0.5)) for each in shapes]
    file = tmp_path / "footprints.gpkg"
    write(
        file, geometry=shapely.to_wkb(placed), geometry_type="Polygon", field_data=[],
        fields=np.array([], object), crs="EPSG:32614", driver="GPKG",
    )  # fmt: skip
    summary = map_pair(engine, pre, post, tmp_path / "out", map_options(footprints=file))
    assert (summary["buildings"], summary["footprints"]) == (2, str(file))
    assert summary["footprints_left_out"] == {"off_scene": 1, "outside_area": 0}
    info, _, _, columns = read_vectors(tmp_path / "out" / "buildings.gpkg", layer="buildings")
    found = dict(zip(info["fields"], columns, strict=True))
    damage, _, confidence = reference(first, second)
    for number, (left, top, right, bottom) in enumerate(boxes[:2]):
        inside = (slice(top, bottom), slice(left, right))
        votes = [confidence[inside][damage[inside] == each].sum() for each in (1, 2, 3, 4)]
        seen = (damage[inside] > 0).any()
        expected = 1 + int(np.argmax(votes)) if seen else 255
        assert found["damage_class"][number] == expected
    assert summary["not_graded"] == int((found["damage_class"] == 255).sum())


def _dead(*_: object) -> None:
    raise BackendError("the device is gone")


def test_footprints_elsewhere_are_refused_before_the_work(scene, engine, tmp_path, monkeypatch):
    pre, post, *_ = scene()
    monkeypatch.setattr(Engine, "predict", _dead)
    with pytest.raises(ConfigError, match="none.gpkg"):
        map_pair(
            engine, pre, post, tmp_path / "out", map_options(footprints=tmp_path / "none.gpkg")
        )


def test_xbd_pictures_are_placed_by_their_label(engine, tmp_path, draw, reference):
    from PIL import Image

    first, second = draw(100, 150)
    for name, image in (("pre", first), ("post", second)):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    a, b, c, d, e, f = 5e-6, 1e-8, -95.0, 2e-8, -5e-6, 29.5
    corners = [(10, 20), (60, 20), (60, 90), (10, 90)]

    def to_degrees(x, y):
        return (a * x + b * y + c, d * x + e * y + f)

    label = tmp_path / "label.json"
    features = {
        kind: [{"properties": {"uid": "u"}, "wkt": shapely.Polygon(points).wkt}]
        for kind, points in {
            "xy": corners,
            "lng_lat": [to_degrees(*each) for each in corners],
        }.items()
    }
    label.write_text(json.dumps({"features": features}))
    options = map_options(label=label)
    map_pair(engine, tmp_path / "pre.png", tmp_path / "post.png", tmp_path / "out", options)
    with rasterio.open(tmp_path / "out" / "damage.tif") as file:
        assert file.crs.to_epsg() == 4326
        np.testing.assert_allclose(tuple(file.transform)[:6], (a, b, c, d, e, f), atol=1e-9)
        np.testing.assert_array_equal(file.read(1), reference(first, second)[0])


def test_real_xbd_labels_place_their_tile(measurement_data):
    from runtime.source.xbd_label import georeference_of

    labels = sorted((measurement_data / "xbd-sample").glob("*/labels/*pre_disaster.json"))
    assert labels
    placed = 0
    for label in labels:
        if len(json.loads(label.read_text())["features"]["xy"]) < 2:
            continue
        place = georeference_of(label)
        metres = 111_320 * abs(place.transform[4])
        assert 0.2 < metres < 4  # the ground sample distance of xBD's sensors
        placed += 1
    assert placed


@pytest.mark.parametrize("start", [b"P5\n", b"II*\0", b"\x89PNG\r\n\x1a\n", b"<VRTDataset "])
def test_maps_that_begin_like_a_file_of_some_format_are_written_as_they_are(
    start, engine_folder, tmp_path, write_raster
):
    """The first pixels of the confidence map are the signature of a format that GDAL knows."""
    values = np.frombuffer(start.ljust(16, b"\1"), np.uint8)
    pre, post = np.full((2, 40, 60, 3), 200, np.uint8)
    post[0, : len(values)] = values[:, None]  # confidence is that of `post`
    paths = [write_raster(tmp_path / f"{n}.tif", i) for n, i in (("a", pre), ("b", post))]
    with load_engine(engine_folder, threads=1) as engine:
        map_pair(engine, *paths, tmp_path / "out", map_options())
    np.testing.assert_array_equal(read(tmp_path / "out" / "confidence.tif")[0, :16], values)


def test_a_scene_of_one_pixel_has_its_map(scene, mapped, reference):
    pre, post, first, second = scene(1, 1)
    _, out = mapped(pre, post)
    assert read(out / "damage.tif") == reference(first, second)[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GDAL_DISABLE_READDIR_ON_OPEN", "EMPTY_DIR"),
        ("GDAL_PAM_ENABLED", "NO"),
        ("GTIFF_IGNORE_READ_ERRORS", "YES"),
        ("GDAL_GEOREF_SOURCES", "NONE"),
    ],
)
def test_gdals_environment_hides_neither_masks_nor_damage_nor_the_place(
    name, value, scene, engine_folder, tmp_path, python
):
    pre, post, *_ = scene(128, 256, compress="lzw")
    bands = "".join(
        f'<PAMRasterBand band="{band}"><NoDataValue>7</NoDataValue></PAMRasterBand>'
        for band in (1, 2, 3)
    )
    (tmp_path / "pre.tif.aux.xml").write_text(f"<PAMDataset>{bands}</PAMDataset>")
    _harm(post, 1 << 20)
    line = ("-m", "runtime.predict", "--engine", engine_folder, pre, post, "--json")
    plain = python(*line, "--out", tmp_path / "plain")
    other = python(*line, "--out", tmp_path / "other", env={**os.environ, name: value})
    assert plain.returncode == other.returncode == 1
    assert other.stderr == plain.stderr
    for each in ("damage.tif", "confidence.tif"):
        content = [(tmp_path / out / each).read_bytes() for out in ("plain", "other")]
        assert content[0] == content[1]


def test_a_window_that_failed_is_an_error_that_says_why(scene, engine_folder, tmp_path, python):
    pre, post, *_ = scene(128, 256, compress="deflate")
    _harm(post, 32)
    out = tmp_path / "out"
    result = python("-m", "runtime.predict", "--engine", engine_folder, pre, post, "--out", out)
    assert result.returncode == 1
    line = result.stderr.splitlines()[-1]
    assert line.startswith("error: ")
    assert "windows could not be computed and are nodata; the first: " in line
    assert "post.tif: cannot be read" in line
    assert (out / "summary.json").exists()


def _harm(path: Path, most: int) -> None:
    """Bytes of one block, at most so many, that no decoder takes."""
    with rasterio.open(path) as file:
        offset, size = (
            int(file.get_tag_item(f"BLOCK_{each}_1_1", "TIFF", bidx=1))
            for each in ("OFFSET", "SIZE")
        )
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * min(size, most))


@pytest.mark.parametrize("given", ["pre", "footprints"])
def test_a_map_does_not_replace_what_it_is_made_from(given, scene, engine, tmp_path):
    pre, post, *_ = scene()
    options = map_options()
    if given == "pre":
        pre = pre.rename(tmp_path / "damage.tif")
    else:
        (tmp_path / "buildings.geojson").write_text("{}")
        options = map_options(footprints=tmp_path / "buildings.geojson")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    with pytest.raises(ConfigError, match=r"would replace (damage\.tif|buildings\.geojson)"):
        map_pair(engine, pre, post, tmp_path, options)
    assert before == {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}


@pytest.mark.parametrize("name", ["a\nb", "a\x1bb", "a\udcffb"])
def test_a_folder_that_libraries_cannot_name_is_refused_before_the_work(
    name, scene, engine, tmp_path
):
    pre, post, *_ = scene()
    with pytest.raises(ConfigError, match="expected a name of printable characters"):
        map_pair(engine, pre, post, tmp_path / name, map_options())


def test_one_file_as_both_images_is_noted(scene, mapped):
    pre, *_ = scene()
    summary, _ = mapped(pre, pre)
    assert "are one file" in summary["notes"][0]
