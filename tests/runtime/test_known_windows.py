"""Maps of the ground alone that footprints or an area ask for."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from pyogrio.raw import read as read_vectors
from pyogrio.raw import write

from runtime.engine import Engine
from runtime.errors import BackendError, ConfigError, ImageError
from runtime.mapping import map_pair
from runtime.scene.windows import window_rows
from tests.runtime.map_options import map_options

HEIGHT, WIDTH = 300, 410
HALO = 8
CORNER = np.array([500_000, 3_300_000])

HOUSES = [shapely.box(x, y, x + 9, y + 7) for x, y in ((3, 4), (30, 3), (200, 150), (397, 290))]
AREA = shapely.Polygon([(150.2, 120.3), (320.4, 140.1), (300.7, 260.2), (190.3, 230.9)])


def save(path: Path, shapes: Sequence, crs: str = "EPSG:32614", kind: str = "Polygon") -> Path:
    """Polygons in pixels of the scene, placed where it lies."""
    placed = [shapely.transform(each, lambda p: CORNER + p * (0.5, -0.5)) for each in shapes]
    write(
        str(path), geometry=shapely.to_wkb(np.array(placed, object)), geometry_type=kind, crs=crs,
        fields=["name"], field_data=[np.array([f"n{i}" for i in range(len(shapes))], object)],
    )  # fmt: skip
    return path


def maps(out: Path) -> tuple[np.ndarray, np.ndarray]:
    found = []
    for name in ("damage", "confidence"):
        with rasterio.open(out / f"{name}.tif") as file:
            found.append(file.read(1))
    return found[0], found[1]


def rows(out: Path) -> dict[int, tuple]:
    """Features of the GeoPackage, by the footprint's number or, of buildings, by their outline."""
    meta, _, geometry, columns = read_vectors(out / "buildings.gpkg", layer="buildings")
    fields = list(meta["fields"])
    found = zip(geometry, *[each.tolist() for each in columns], strict=True)
    key = fields.index("source_fid") + 1 if "source_fid" in fields else 0
    return {each[key]: tuple(map(repr, each)) for each in found}


def touched(shapes: Sequence) -> np.ndarray:
    """Pixels of the windows whose kept part has a pixel's centre in any of the shapes."""
    x, y = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    inside = np.zeros((HEIGHT, WIDTH), bool)
    for each in shapes:
        inside |= shapely.contains_xy(each, x, y)
    found = np.zeros_like(inside)
    for row in window_rows((HEIGHT, WIDTH), (32, 48), HALO):
        for window in row:
            kept = (
                slice(window.row.begin, window.row.end),
                slice(window.column.begin, window.column.end),
            )
            found[kept] = inside[kept].any()
    return found


def inside(shape: shapely.Polygon) -> np.ndarray:
    x, y = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    return shapely.contains_xy(shape, x, y)


@pytest.fixture
def town(scene: Callable, engine: Engine, tmp_path: Path) -> Callable[..., tuple[dict, Path, int]]:
    """Map a scene: the summary, the folder, and how many windows were inferred."""
    pre, post, *_ = scene(HEIGHT, WIDTH)
    predict, seen = Engine.predict, []

    def counting(self: Engine, *images: np.ndarray) -> object:
        seen.append(1)
        return predict(self, *images)

    def make(name: str, **options: object) -> tuple[dict, Path, int]:
        seen.clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Engine, "predict", counting)
            out = tmp_path / name
            return (
                map_pair(engine, pre, post, out, map_options(halo=HALO, **options)),
                out,
                len(seen),
            )

    return make


def test_footprints_cost_the_windows_that_they_touch_and_are_graded_alike(town, tmp_path):
    file = save(tmp_path / "houses.gpkg", HOUSES)
    whole, before, _ = town("whole", footprints=file, whole_scene=True)
    summary, out, inferred = town("known", footprints=file)
    assert (out / "buildings.gpkg").read_bytes() == (before / "buildings.gpkg").read_bytes()
    assert (out / "buildings.geojson").read_bytes() == (before / "buildings.geojson").read_bytes()
    computed = touched(HOUSES)
    assert 0 < computed.sum() < computed.size / 10
    for now, then, nothing in zip(maps(out), maps(before), (255, 0), strict=True):
        np.testing.assert_array_equal(now, np.where(computed, then, nothing))
    assert summary["windows"] == whole["windows"]
    assert summary["windows_computed"] == inferred < 10
    assert summary["windows_skipped"] == {
        "outside_area": 0, "no_footprint": whole["windows"] - inferred, "gate": 0,
    }  # fmt: skip
    assert summary["nodata_px"] == summary["pixels"]["not computed"] == (~computed).sum()
    assert summary["buildings"] == whole["buildings"] == len(HOUSES)
    (note,) = [each for each in summary["notes"] if "--whole-scene computes them" in each]
    assert note.startswith(f"{whole['windows'] - inferred} of {whole['windows']} windows")
    assert whole["windows_computed"] == whole["windows"]


def test_a_window_with_a_footprint_in_its_halo_alone_is_not_computed(town, tmp_path):
    # The first window keeps 24 rows and 40 columns of the 32 and 48 that it sees.
    house = [shapely.box(41, 5, 47, 15)]
    summary, out, inferred = town("out", footprints=save(tmp_path / "a.gpkg", house))
    assert inferred == summary["windows_computed"] == 1
    damage, _ = maps(out)
    assert (damage[:, :40] == 255).all()
    assert (damage[:24, 40:72] < 255).all()


def test_the_ground_outside_of_an_area_is_not_computed(town, tmp_path):
    _, before, _ = town("whole")
    summary, out, inferred = town("out", aoi=save(tmp_path / "area.gpkg", [AREA]))
    within, computed = inside(AREA), touched([AREA])
    for now, then, nothing in zip(maps(out), maps(before), (255, 0), strict=True):
        np.testing.assert_array_equal(now, np.where(within, then, nothing))
    assert inferred == summary["windows_computed"]
    assert summary["windows_skipped"]["no_footprint"] == 0
    assert summary["windows_skipped"]["outside_area"] == summary["windows"] - inferred
    assert inferred == computed.sum() / (16 * 32)
    assert summary["aoi"] == str(tmp_path / "area.gpkg")
    # Buildings that the border does not cut are the very same.
    now, then = rows(out), rows(before)
    whole = {key for key in now if AREA.buffer(-1).contains(_pixels(key))}
    assert len(whole) > 15
    assert {key: now[key] for key in whole} == {key: then[key] for key in whole}
    for key in now.keys() - whole:
        assert not AREA.buffer(-1.5).contains(_pixels(key))


def _pixels(wkb: bytes) -> shapely.Polygon:
    return shapely.transform(shapely.from_wkb(wkb), lambda p: (p - CORNER) * (2, -2))


def test_several_areas_count_as_one_in_any_crs(town, tmp_path):
    parts = [AREA, shapely.box(180, 150, 380, 170), shapely.box(-50, 270, 20, 500)]
    _, first, _ = town(
        "first", aoi=save(tmp_path / "a.gpkg", [shapely.union_all(parts)], kind="MultiPolygon")
    )
    path = save(tmp_path / "b.gpkg", parts)
    degrees = tmp_path / "b.geojson"
    _, _, geometry, _ = read_vectors(path)
    from rasterio.warp import transform

    placed = shapely.transform(
        shapely.from_wkb(geometry),
        lambda p: np.column_stack(transform("EPSG:32614", "EPSG:4326", *p.T)),
    )
    write(
        str(degrees), geometry=shapely.to_wkb(placed), geometry_type="Polygon", crs="EPSG:4326",
        fields=[], field_data=[], COORDINATE_PRECISION=12,
    )  # fmt: skip
    for name, file in (("second", path), ("third", degrees)):
        _, out, _ = town(name, aoi=file)
        for now, then in zip(maps(out), maps(first), strict=True):
            np.testing.assert_array_equal(now, then)


def test_footprints_in_an_area_are_graded_and_others_left_out(town, tmp_path):
    across = shapely.box(140, 150, 180, 160)
    houses = [*HOUSES, across, shapely.box(220, 180, 231, 190), shapely.box(900, 0, 909, 9)]
    file = save(tmp_path / "houses.gpkg", houses)
    area = save(tmp_path / "area.gpkg", [AREA])
    _, before, _ = town("whole", footprints=file, whole_scene=True)
    summary, out, inferred = town("out", footprints=file, aoi=area)
    now, then = rows(out), rows(before)
    assert now.keys() == {3, 5, 6}  # from 1
    assert (now[3], now[6]) == (then[3], then[6])
    assert summary["footprints_left_out"] == {"off_scene": 1, "outside_area": 3}
    assert summary["footprints_across_area"] == 1
    assert summary["buildings"] == 3
    graded = shapely.union_all([houses[2], houses[4], houses[5]])
    assert inferred == summary["windows_computed"]
    within = touched([graded & AREA]) & inside(AREA)
    for result, expected, nothing in zip(maps(out), maps(before), (255, 0), strict=True):
        np.testing.assert_array_equal(result, np.where(within, expected, nothing))
    _, _, _, columns = read_vectors(out / "buildings.gpkg", layer="buildings", where="source_fid=5")
    meta = read_vectors(out / "buildings.gpkg", layer="buildings", max_features=1)[0]
    found = dict(zip(meta["fields"], columns, strict=True))
    outside = (inside(across) & ~inside(AREA)).sum() / inside(across).sum()
    assert found["share_not_computed"][0] == pytest.approx(outside, abs=1e-4)
    assert found["name"][0] == "n4"
    # All of the area, with the same buildings.
    summary, full, _ = town("full", footprints=file, aoi=area, whole_scene=True)
    assert (full / "buildings.gpkg").read_bytes() == (out / "buildings.gpkg").read_bytes()
    damage = np.where(inside(AREA), maps(before)[0], 255)
    np.testing.assert_array_equal(maps(full)[0], damage)
    assert summary["windows_skipped"]["no_footprint"] == 0


def _nothing(path: Path) -> Path:
    return save(path, [])


def _elsewhere(path: Path) -> Path:
    return save(path, [shapely.box(900, 900, 950, 950)])


def _around(path: Path) -> Path:
    return save(path, [shapely.box(-90, -90, -50, -50), shapely.box(900, 900, 950, 950)])


def _crossed(path: Path) -> Path:
    return save(path, [shapely.Polygon([(10, 10), (90, 90), (90, 10), (10, 90)])])


def _line(path: Path) -> Path:
    return save(path, [shapely.LineString([(10, 10), (90, 90)])], kind="LineString")


def _degrees(path: Path) -> Path:
    return save(path, [AREA], crs="EPSG:4326")


def _without_crs(path: Path) -> Path:
    return save(path.with_suffix(".shp"), [AREA], crs=None)


def _sliver(path: Path) -> Path:
    return save(path, [shapely.box(10.1, 10.1, 90, 10.3)])


def _text(path: Path) -> Path:
    path.write_text("an area")
    return path


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
@pytest.mark.parametrize(
    ("make", "line"),
    [
        (_nothing, "layer area is empty; expected polygons"),
        (_elsewhere, "none of its 1 polygons lies on the scene"),
        (_around, "none of its 2 polygons lies on the scene"),
        (_sliver, "none of its 1 polygons lies on the scene"),
        (_degrees, "none of its 1 polygons lies on the scene"),
        (_crossed, r"feature 1 is not a valid polygon \(Self-intersection.*mend it"),
        (_line, r"no layer of polygons; found area \(LineString\)"),
        (_without_crs, "no CRS, so the place of its polygons is unknown"),
        (_text, "expected a GeoPackage, GeoJSON, Shapefile or FlatGeobuf of polygons"),
        (lambda path: path, "does not exist"),
    ],
)
def test_an_area_that_cannot_be_used_is_one_line_before_the_work(
    make, line, scene, engine, tmp_path, monkeypatch
):
    pre, post, *_ = scene(HEIGHT, WIDTH)

    def dead(*_: object) -> None:
        raise BackendError("inferred")

    monkeypatch.setattr(Engine, "predict", dead)
    path = make(tmp_path / "area.gpkg")
    with pytest.raises(ConfigError, match=line) as caught:
        map_pair(engine, pre, post, tmp_path / "out", map_options(aoi=path))
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_an_area_without_a_footprint_is_one_line(town, tmp_path):
    files = {
        "footprints": save(tmp_path / "houses.gpkg", HOUSES[:2]),
        "aoi": save(tmp_path / "area.gpkg", [AREA]),
    }
    with pytest.raises(ConfigError, match=r"area.gpkg: none of the 2 footprints of .* lies in"):
        town("out", **files)


def test_known_windows_without_one_known_pixel_are_no_map(scene, write_raster, engine, tmp_path):
    pre, post, first, _ = scene(HEIGHT, WIDTH)
    first[first == 0] = 1
    first[:60, :90] = 0
    write_raster(pre, first, nodata=0)
    options = map_options(footprints=save(tmp_path / "a.gpkg", HOUSES[:2]))
    with pytest.raises(ImageError, match="no pixel is known in both; expected images of this gro"):
        map_pair(engine, pre, post, tmp_path / "out", options)


@pytest.mark.parametrize("name", ["footprints", "aoi"])
def test_a_file_that_changes_meanwhile_makes_no_map(name, scene, engine, tmp_path, monkeypatch):
    pre, post, *_ = scene(HEIGHT, WIDTH)
    file, predict = save(tmp_path / "a.gpkg", HOUSES), Engine.predict

    def changes(self: Engine, *images: np.ndarray) -> object:
        os.utime(file)
        return predict(self, *images)

    monkeypatch.setattr(Engine, "predict", changes)
    with pytest.raises(ImageError, match="a.gpkg: changed while it was mapped, that map was"):
        map_pair(engine, pre, post, tmp_path / "out", map_options(**{name: file}))
    assert not (tmp_path / "out").exists()


def test_whole_scene_alone_is_one_line():
    with pytest.raises(ConfigError, match="--whole-scene: expected with --footprints"):
        map_options(whole_scene=True)


def test_pictures_have_no_area(engine, tmp_path, draw):
    from PIL import Image

    for name, image in zip(("pre", "post"), draw(40, 60), strict=True):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    options = map_options(aoi=save(tmp_path / "area.gpkg", [AREA]))
    with pytest.raises(ImageError, match="its place on the ground is unknown"):
        map_pair(engine, tmp_path / "pre.png", tmp_path / "post.png", tmp_path / "out", options)


def test_what_was_not_read_is_no_border_of_one_value(scene, write_raster, engine, tmp_path):
    """A dark roof amid windows that nobody read looked like a collar around the scene."""
    pre, post, first, _ = scene(HEIGHT, WIDTH)
    first[150:180, 190:240] = 0
    write_raster(pre, first)
    options = map_options(footprints=save(tmp_path / "a.gpkg", [HOUSES[2]]))
    summary = map_pair(engine, pre, post, tmp_path / "out", options)
    assert not [each for each in summary["notes"] if "at its border" in each]


@pytest.mark.parametrize("kind", ["predict", "batch", "watch"])
def test_each_command_takes_the_options(kind, scene, engine_folder, tmp_path, python):
    pre, post, *_ = scene(HEIGHT, WIDTH)
    more = [
        "--footprints", save(tmp_path / "houses.gpkg", HOUSES),
        "--aoi", save(tmp_path / "area.gpkg", [AREA]), "--engine", engine_folder, "--threads", "1",
    ]  # fmt: skip
    out = tmp_path / "out"
    if kind == "predict":
        result = python("-m", "runtime.predict", pre, post, "--out", out, *more)
    elif kind == "batch":
        pytest.importorskip("ray")
        (tmp_path / "pairs.csv").write_text("name,pre,post\nx,pre.tif,post.tif\n")
        out = out / "x"
        result = python(
            "-m", "runtime.batch", "--pairs", tmp_path / "pairs.csv", "--out", out.parent, *more
        )
    else:
        inbox = tmp_path / "inbox"
        inbox.mkdir()
        pre.rename(inbox / "x_pre.tif")
        post.rename(inbox / "x_post.tif")
        out = out / "x"
        result = python(
            "-m", "runtime.watch", "--inbox", inbox, "--outbox", out.parent, "--once",
            "--settle", "0", *more,
        )  # fmt: skip
    assert result.returncode == 0, result.stderr
    summary = json.loads((out / "summary.json").read_text())
    assert summary["buildings"] == 1
    assert summary["windows_computed"] < 5


def test_whole_numbers_that_cannot_be_read_exactly_are_refused(scene, engine, tmp_path) -> None:
    """GDAL's reader gives a column of them with a null as floating point."""
    pre, post, *_ = scene(HEIGHT, WIDTH)
    path = tmp_path / "ids.gpkg"
    ids = np.array([2**53 + 1, 2**53 + 2], np.int64)
    placed = [shapely.transform(each, lambda p: CORNER + p * (0.5, -0.5)) for each in HOUSES[:2]]
    given = {
        "geometry": shapely.to_wkb(np.array(placed, object)), "geometry_type": "Polygon",
        "crs": "EPSG:32614", "fields": ["id"], "field_data": [ids],
    }  # fmt: skip
    write(str(path), **given)
    map_pair(engine, pre, post, tmp_path / "out", map_options(footprints=path))
    found = read_vectors(tmp_path / "out" / "buildings.gpkg", layer="buildings")
    columns = dict(zip(found[0]["fields"], found[3], strict=True))
    assert columns["id"].tolist() == ids.tolist()
    path.unlink()
    write(str(path), **given, field_mask=[np.array([False, True])])
    with pytest.raises(ConfigError, match="column id has whole numbers beyond 9007199254740992"):
        map_pair(engine, pre, post, tmp_path / "out2", map_options(footprints=path))
