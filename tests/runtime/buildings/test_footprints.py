import json
from math import isnan
from types import SimpleNamespace

import numpy as np
import pytest
import shapely
from pyogrio.raw import read, write
from rasterio.crs import CRS
from rasterio.warp import transform
from shapely.geometry import MultiPolygon, Point, Polygon, box, shape

from runtime.buildings import footprint_file, footprints, spans, tally
from runtime.buildings.footprint_file import open_footprints
from runtime.buildings.footprints import grade
from runtime.buildings.wanted import wanted_of
from runtime.damage import CLASS_NAMES, NODATA
from runtime.errors import ConfigError
from runtime.options import MapOptions
from runtime.output.vectors import write_buildings
from runtime.scene.windows import window_rows
from runtime.source.georeference import Georeference
from runtime.source.pair import ScenePair

HEIGHT, WIDTH = 90, 120
LEFT, TOP, PIXEL = 400_000.0, 5_200_000.0, 0.5
PLACE = Georeference(CRS.from_epsg(32633).to_wkt(), (PIXEL, 0, LEFT, 0, -PIXEL, TOP))
PAIR = ScenePair(None, None, HEIGHT, WIDTH, PLACE)


@pytest.fixture(scope="module")
def maps():
    """Damage of blocks, with background and NODATA, and any confidence."""
    rng = np.random.default_rng(11)
    blocks = rng.choice([0, 0, 1, 2, 3, 4, NODATA], (HEIGHT // 3, WIDTH // 3))
    damage = np.kron(blocks, np.ones((3, 3), int)).astype(np.uint8)
    return damage, rng.integers(0, 256, damage.shape, dtype=np.uint8)


def graded_by(path, maps, place=PLACE):
    """One by one."""
    parts = grade(open_footprints(path, HEIGHT, WIDTH, place), lambda: maps, place)
    return [each for part in parts for each in one_by_one(part)]


def one_by_one(part):
    for index, fid in enumerate(part.source_fid.tolist()):
        yield SimpleNamespace(
            source_fid=fid, geometry=part.geometry[index], cut=part.cut[index],
            **vars(part.grades[index]),
        )  # fmt: skip


def on_scene(shapes, maps):
    """Their numbers in a file, from 1, of those that have a pixel of the scene."""
    return [fid for fid, shape in enumerate(shapes, 1) if expected(shape, *maps)[2]]


def ground(*corners):
    """Pixels to the scene's CRS."""
    return [(LEFT + PIXEL * x, TOP - PIXEL * y) for x, y in corners]


def on_ground(geometry):
    return shapely.transform(geometry, lambda points: np.array(ground(*points)))


def save(path, geometries, crs="EPSG:32633", kind="Polygon", layer=None, append=False, **options):
    geometry = np.empty(len(geometries), object)
    geometry[:] = geometries
    write(
        str(path), geometry=shapely.to_wkb(geometry), geometry_type=kind, crs=crs, layer=layer,
        fields=["name"], field_data=[np.array([str(i) for i in range(len(geometry))], object)],
        append=append, **options,
    )  # fmt: skip
    return path


def star(rng, x, y, radius):
    """A ragged polygon around a point, often concave."""
    angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
    lengths = radius * rng.uniform(0.3, 1, 9)
    return Polygon(np.column_stack([x + lengths * np.cos(angles), y + lengths * np.sin(angles)]))


@pytest.fixture
def shapes():
    """Footprints in pixels: ragged, with holes, of several parts, tiny, and over the edge."""
    rng = np.random.default_rng(5)
    found = [star(rng, *rng.uniform((-3, -3), (WIDTH + 3, HEIGHT + 3)), 9) for _ in range(150)]
    found += [star(rng, *rng.uniform((0, 0), (WIDTH, HEIGHT)), 0.4) for _ in range(80)]
    found += [
        box(10.1, 10.1, 30.2, 30.3).difference(box(15.2, 15.2, 22.7, 21.9)),
        MultiPolygon([box(40.1, 40.2, 44.3, 47.1), box(60.3, 41.2, 66.6, 44.8)]),
        box(-50, -50, 400, 300),
        box(500, 500, 510, 510),
    ]
    return found


def expected(polygon, damage, confidence):
    """Class, confidence, pixels and shares of a footprint in pixels, pixel by pixel."""
    x, y = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    cells = [tuple(each) for each in np.argwhere(shapely.contains_xy(polygon, x, y))]
    if not cells:
        x, y = polygon.centroid.coords[0]
        inside = 0 <= x < WIDTH and 0 <= y < HEIGHT
        cells = [(int(y), int(x))] if inside else []
    votes = dict.fromkeys(range(1, 5), 0)
    pixels = dict.fromkeys((*range(5), NODATA), 0)
    for cell in cells:
        value = int(damage[cell])
        pixels[value] += 1
        if 1 <= value <= 4:
            votes[value] += int(confidence[cell])
    computed = sum(pixels[each] for each in range(5))
    shares = {CLASS_NAMES[each]: pixels[each] / computed for each in range(5) if computed}
    seen = [each for each in votes if pixels[each]]
    if not seen:
        return NODATA, None, len(cells), shares, "unknown" if computed else "not computed"
    winner = max(seen, key=lambda each: (votes[each], each))
    mean = votes[winner] / pixels[winner] / 255
    return winner, mean, len(cells), shares, CLASS_NAMES[winner]


def check(graded, polygon, maps):
    damage_class, mean, area, shares, name = expected(polygon, *maps)
    assert (graded.damage_class, graded.damage, graded.area_px) == (damage_class, name, area)
    assert isnan(graded.confidence) if mean is None else graded.confidence == pytest.approx(mean)
    if shares:
        assert graded.shares == pytest.approx(shares)
    else:
        assert all(map(isnan, graded.shares.values()))
        assert graded.not_computed == 1


def test_every_footprint_is_graded_by_its_pixels(shapes, maps, tmp_path):
    path = save(tmp_path / "a.gpkg", [on_ground(each) for each in shapes], kind="Unknown")
    graded = graded_by(path, maps)
    assert [each.source_fid for each in graded] == on_scene(shapes, maps)
    assert 150 < len(graded) < len(shapes)
    for each in graded:
        polygon = shapes[each.source_fid - 1]
        check(each, polygon, maps)
        assert each.geometry.equals(on_ground(polygon))
    kinds = {each.damage for each in graded}
    assert kinds == {*CLASS_NAMES[1:], "unknown", "not computed"}


@pytest.mark.parametrize("name", ["a.geojson", "a.shp", "a.gpkg"])
def test_formats_and_crs_do_not_matter(shapes, maps, tmp_path, name):
    def degrees(points):
        return np.column_stack(transform("EPSG:32633", "EPSG:4326", *points.T))

    placed = [shapely.transform(on_ground(each), degrees) for each in shapes[:60]]
    path = save(tmp_path / name, placed, crs="EPSG:4326")
    graded = graded_by(path, maps)
    first = 1 if name == "a.gpkg" else 0
    for each in graded:
        check(each, shapes[each.source_fid - first], maps)
    assert len(graded) == len(on_scene(shapes[:60], maps)) > 50


@pytest.mark.parametrize("affine", [(0.4, 0.3, LEFT, 0.3, -0.4, TOP), (1, 0, LEFT, 0, 1, TOP)])
def test_turned_scenes(shapes, maps, tmp_path, affine):
    place = Georeference(PLACE.crs_wkt, affine)
    placed = [shapely.transform(each, place.to_map) for each in shapes[:60]]
    graded = graded_by(save(tmp_path / "a.gpkg", placed), maps, place)
    assert len(graded) == len(on_scene(shapes[:60], maps)) > 50
    for each in graded:
        check(each, shapes[each.source_fid - 1], maps)


@pytest.mark.parametrize("chunk", [7, 234])
def test_chunks_and_bands_change_nothing(shapes, maps, tmp_path, monkeypatch, chunk):
    path = save(tmp_path / "a.gpkg", [on_ground(each) for each in shapes], kind="Unknown")

    def content():
        return [
            (each.source_fid, each.damage, repr(each.confidence), repr(each.shares), each.area_px)
            for each in graded_by(path, maps)
        ]

    whole = content()
    monkeypatch.setattr(footprint_file, "CHUNK", chunk)
    monkeypatch.setattr(tally, "CHUNK_PIXELS", 100)
    monkeypatch.setattr(footprints, "BATCH", 11)
    monkeypatch.setattr(spans, "MOST_CROSSINGS", 50)
    assert content() == whole


def test_nothing_that_was_not_computed_is_no_damage(tmp_path):
    nothing = np.zeros((HEIGHT, WIDTH), np.uint8)

    def graded(damage):
        path = save(tmp_path / "a.gpkg", [on_ground(box(10, 10, 20, 20))])
        (found,) = graded_by(path, (damage, nothing))
        return found

    missing = graded(np.full_like(nothing, NODATA))
    assert (missing.damage, missing.damage_class) == ("not computed", NODATA)
    assert (missing.area_px, missing.not_computed) == (100, 1.0)
    unseen = graded(nothing)
    assert (unseen.damage, unseen.damage_class) == ("unknown", NODATA)
    assert unseen.shares["background"] == 1
    half = nothing.copy()
    half[:, :15] = NODATA
    half[10:12, 15:20] = 3
    seen = graded(half)
    assert (seen.damage, seen.confidence) == ("major-damage", 0.0)
    assert seen.not_computed == 0.5
    assert seen.shares["background"] == pytest.approx(0.8)


def test_features_without_geometry_lie_nowhere(maps, tmp_path):
    path = save(tmp_path / "a.gpkg", [None, on_ground(box(3, 3, 9, 9)), Polygon()])
    (found,) = graded_by(path, maps)
    assert (found.source_fid, found.area_px) == (2, 36)


@pytest.mark.parametrize("kind", ["gpkg", "geojson", "fgb", "shp"])
def test_what_lies_elsewhere_is_not_graded_and_the_rest_is_as_without_it(maps, tmp_path, kind):
    here = [on_ground(box(x, 20, x + 9, 33)) for x in (-4, 10, 50, WIDTH - 3)]
    away = [on_ground(box(x, y, x + 9, y + 9)) for x in (-900, 900) for y in range(900, 999)]

    def graded(name, shapes):
        found = graded_by(save(tmp_path / f"{name}.{kind}", shapes), maps)
        rows = [(each.geometry.wkb, each.damage, each.confidence, each.area_px) for each in found]
        return sorted(rows) if kind == "fgb" else rows  # which has an order of its own

    assert graded("some", here) == graded("all", [away[0], *here[:2], *away[1:], *here[2:]])


def test_a_shapefile_with_the_index_of_another_is_read_whole(maps, tmp_path):
    path = tmp_path / "a.shp"
    save(path, [on_ground(box(9 * i, 900, 9 * i + 5, 905)) for i in range(9)], SPATIAL_INDEX="YES")
    index = path.with_suffix(".qix").read_bytes()
    save(path, [on_ground(box(10, 10, 20, 20))] * 9)
    path.with_suffix(".qix").write_bytes(index)
    assert len(graded_by(path, maps)) == 9


def test_attributes_of_footprints_are_kept_beside_ours(maps, tmp_path):
    own = {
        "name": ["Müller", None, "c"],
        "storeys": [3, None, 5],
        "height": [1.5, None, 2.25],
        "listed": [True, None, False],
        "built": ["1999-12-31", None, "2001-01-01"],
        "damage": ["none", "mine", None],
        "Fid": [7, 8, 9],
        "shares": ["a", "b", "c"],
        "source_damage": ["x", "y", "z"],
        "floors": [[1, 2], [3], None],
    }
    features = [
        {
            "type": "Feature",
            "properties": {name: values[index] for name, values in own.items()},
            "geometry": shapely.geometry.mapping(on_ground(box(x, 10, x + 9, 19))),
        }
        for index, x in enumerate((10, 30, 900))
    ]
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}))
    file = open_footprints(path, HEIGHT, WIDTH, PLACE)
    write_buildings(grade(file, lambda: maps, PLACE), tmp_path / "out", PLACE, file.attributes)
    meta, _, _, fields = read(tmp_path / "out" / "buildings.gpkg", layer="buildings")
    columns = dict(zip(meta["fields"], fields, strict=True))
    kinds = dict(zip(meta["fields"], meta["dtypes"], strict=True))
    content = json.loads((tmp_path / "out" / "buildings.geojson").read_text())
    places = [each["properties"] for each in content["features"]]
    renamed = {
        "damage": "source_damage", "Fid": "source_Fid_2", "shares": "source_shares",
        "source_damage": "source_source_damage",
    }  # fmt: skip
    for name, (first, second, _) in own.items():
        now = renamed.get(name, name)
        if name == "floors":
            assert now not in columns
            continue
        assert [each[now] for each in places] == [first, second]
        assert columns[now][0] == first
        assert second is not None or columns[now][1] is None or isnan(columns[now][1])
    assert columns["damage"].tolist() == [each["damage"] for each in places]
    assert (kinds["storeys"], kinds["listed"], kinds["height"]) == ("int32", "bool", "float64")


def test_graded_footprints_become_the_layer(shapes, maps, tmp_path):
    path = save(tmp_path / "a.gpkg", [on_ground(each) for each in shapes], kind="Unknown")
    graded = graded_by(path, maps)
    file = open_footprints(path, HEIGHT, WIDTH, PLACE)
    totals = write_buildings(grade(file, lambda: maps, PLACE), tmp_path / "out", PLACE)
    meta, _, geometry, fields = read(tmp_path / "out" / "buildings.gpkg", layer="buildings")
    columns = dict(zip(meta["fields"], fields, strict=True))
    assert meta["geometry_type"] == "MultiPolygon"
    assert set(columns) == {
        "damage", "damage_class", "confidence", "area_m2", "area_px", "share_background",
        "share_no_damage", "share_minor_damage", "share_major_damage", "share_destroyed",
        "share_not_computed", "source_fid", "cut",
    }  # fmt: skip
    assert columns["source_fid"].tolist() == [each.source_fid for each in graded]
    assert columns["damage"].tolist() == [each.damage for each in graded]
    polygons = shapely.from_wkb(geometry)
    shapes = [shapes[each.source_fid - 1] for each in graded]
    for each, polygon in zip(shapes, polygons, strict=True):
        assert polygon.equals(on_ground(each))
    assert columns["area_m2"] == pytest.approx([each.area / 4 for each in shapes], abs=0.01)
    assert np.isnan(columns["confidence"]).tolist() == [each.damage_class == 255 for each in graded]
    assert totals.buildings[NODATA] == sum(each.damage_class == NODATA for each in graded)
    assert sum(totals.buildings.values()) == len(shapes)
    content = json.loads((tmp_path / "out" / "buildings.geojson").read_text())
    for each, feature in zip(graded, content["features"], strict=True):
        assert feature["properties"]["source_fid"] == each.source_fid
        assert list(feature["properties"]["shares"]) == list(CLASS_NAMES)
        assert shape(feature["geometry"]).geom_type in ("Polygon", "MultiPolygon")


def test_footprints_over_each_other_all_count(maps, tmp_path):
    same = [on_ground(box(3, 3, 40, 40))] * 3
    graded = graded_by(save(tmp_path / "a.gpkg", same), maps)
    assert len({each.area_px for each in graded}) == 1
    assert graded[0].area_px == 37 * 37


def refused(path):
    with pytest.raises(ConfigError) as error:
        wanted_of(PAIR, MapOptions(footprints=path), window_rows((HEIGHT, WIDTH), (32, 48), 8))
    assert "\n" not in str(error.value)
    assert path.name in str(error.value)
    return str(error.value)


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_footprints_without_a_crs_are_refused(tmp_path):
    path = save(tmp_path / "a.shp", [on_ground(box(3, 3, 9, 9))], crs=None)
    assert "no CRS" in refused(path)
    assert "ogr2ogr -a_srs" in refused(path)


def test_points_are_refused(tmp_path):
    path = save(tmp_path / "a.gpkg", [Point(ground((3, 3))[0])], kind="Point")
    assert "no layer of polygons; found a (Point)" in refused(path)
    mixed = [on_ground(box(3, 3, 9, 9)), Point(ground((3, 3))[0])]
    path = save(tmp_path / "b.gpkg", mixed, kind="Unknown")
    assert "feature 2 is a Point" in refused(path)


def test_two_layers_of_polygons_are_refused(tmp_path):
    path = save(tmp_path / "a.gpkg", [on_ground(box(3, 3, 9, 9))], layer="old")
    save(path, [on_ground(box(3, 3, 9, 9))], layer="new", append=True)
    assert "2 layers of polygons (old, new), expected one" in refused(path)


def test_footprints_elsewhere_are_refused(tmp_path):
    path = save(tmp_path / "a.gpkg", [on_ground(box(900, 3, 909, 9))])
    assert "none of its 1 polygons lies on the scene" in refused(path)
    around = [on_ground(box(-99, -99, -90, -90)), on_ground(box(900, 900, 909, 909))]
    path = save(tmp_path / "b.gpkg", around)
    assert "none of its 2 polygons lies on the scene" in refused(path)
    path = save(tmp_path / "c.gpkg", [box(3, 3, 9, 9)], crs="EPSG:4326")
    assert "none of its 1 polygons" in refused(path)


def test_files_that_are_none_are_refused(tmp_path):
    assert "missing.gpkg: does not exist; expected" in refused(tmp_path / "missing.gpkg")
    (tmp_path / "text.geojson").write_text("nothing")
    assert "expected a GeoPackage, GeoJSON" in refused(tmp_path / "text.geojson")
    (tmp_path / "text.geojson").write_text('{"type": "FeatureCollection", "features": [')
    assert "cannot be read as polygons" in refused(tmp_path / "text.geojson")
    assert "is empty" in refused(save(tmp_path / "empty.gpkg", []))


@pytest.mark.parametrize("far", [1e200, 1e300, 1.7e308])
def test_a_footprint_with_a_corner_in_the_void_lies_nowhere(tmp_path, maps, far):
    corners = ground((5, 5), (9, 5), (9, 9))
    path = save(
        tmp_path / "a.gpkg",
        [Polygon([*corners, (-far, far)]), box(*ground((5, 9))[0], *ground((9, 5))[0])],
    )
    (found,) = graded_by(path, maps)
    assert (found.source_fid, found.area_px) == (2, 16)


def test_a_footprint_says_what_cuts_it(tmp_path):
    damage = np.ones((HEIGHT, WIDTH), np.uint8)
    damage[:, :20] = NODATA
    shapes = [
        box(30, 30, 40, 40), box(10, 30, 30, 40), box(WIDTH - 9, 10, WIDTH, 20),
        box(WIDTH - 9, 10, WIDTH + 5, 20), box(-5, 3, 30, 9),
    ]  # fmt: skip
    path = save(tmp_path / "a.gpkg", [on_ground(each) for each in shapes])
    assert [each.cut for each in graded_by(path, (damage, np.full_like(damage, 200)))] == [
        "", "not computed", "", "border", "border and not computed",
    ]  # fmt: skip
