import json
import resource
import sqlite3
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from pyogrio import list_layers, read_info
from pyogrio.raw import read
from rasterio.crs import CRS
from rasterio.warp import transform
from shapely import from_wkb
from shapely.geometry import Polygon, box, shape

from runtime.buildings import find_buildings as find_both
from runtime.buildings.area import grid_unit, on_ellipsoid
from runtime.damage import CLASS_COLOURS, CLASS_NAMES
from runtime.errors import BackendError, ConfigError
from runtime.output import spatial_index, vectors
from runtime.output.vectors import write_buildings
from runtime.source.georeference import Georeference

find_buildings = partial(find_both, raw_outlines=True)

REPOSITORY = Path(__file__).parents[3]


def placed(code, transform):
    return Georeference(CRS.from_epsg(code).to_wkt(), transform)


UTM = placed(32633, (0.5, 0, 400_000, 0, -0.5, 5_200_000))
DEGREES = placed(4326, (5e-6, 0, 14.5, 0, -5e-6, 46.0))


@pytest.fixture
def town():
    """Buildings of every class, ragged ones with courtyards among them."""
    rng = np.random.default_rng(3)
    damage = np.kron(rng.integers(0, 5, (12, 12)), np.ones((7, 7), int)).astype(np.uint8)
    damage[rng.random(damage.shape) < 0.15] = 0
    damage[::14], damage[:, ::7] = 0, 0
    return find_buildings(damage, rng.integers(0, 256, damage.shape, dtype=np.uint8))


def table(folder):
    """The GeoPackage's layer: meta, polygons, columns by name."""
    meta, _, geometry, fields = read(folder / "buildings.gpkg", layer="buildings")
    return meta, from_wkb(geometry), dict(zip(meta["fields"], fields, strict=True))


def collection(folder):
    return json.loads((folder / "buildings.geojson").read_text())


@pytest.mark.parametrize(
    "transform",
    [
        (0.5, 0, 400_000, 0, -0.5, 5_200_000),
        (0.5, 0, 400_000, 0, 0.5, 5_200_000),  # rows run northwards
        (0.4, 0.3, 400_000, 0.3, -0.4, 5_200_000),  # turned
    ],
)
def test_polygons_lie_where_their_pixels_do(town, tmp_path, transform):
    place = placed(32633, transform)
    write_buildings(town, tmp_path, place)
    meta, polygons, columns = table(tmp_path)
    assert CRS.from_user_input(meta["crs"]).to_epsg() == 32633
    assert meta["geometry_type"] == "Polygon"
    assert len(polygons) == len(town)
    a, b, c, d, e, f = transform
    for building, polygon in zip(town, polygons, strict=True):
        assert polygon.is_valid
        assert polygon.exterior.is_ccw
        assert not any(ring.is_ccw for ring in polygon.interiors)
        exterior, *holes = (
            [(a * x + b * y + c, d * x + e * y + f) for x, y in ring.tolist()]
            for ring in building.rings
        )
        assert polygon.symmetric_difference(Polygon(exterior, holes)).area < 1e-6
        assert polygon.area == pytest.approx(building.area_px * 0.25)
    assert columns["area_px"].tolist() == [each.area_px for each in town]
    assert columns["area_m2"] == pytest.approx(columns["area_px"] * 0.25)


def test_fields_say_what_the_buildings_say(town, tmp_path):
    write_buildings(town, tmp_path, UTM)
    meta, _, columns = table(tmp_path)
    assert list(meta["fields"]) == [
        "damage", "damage_class", "confidence", "area_m2", "area_px", "share_no_damage",
        "share_minor_damage", "share_major_damage", "share_destroyed", "cut",
    ]  # fmt: skip
    assert columns["damage_class"].dtype == np.int16
    for i, building in enumerate(town):
        assert columns["damage"][i] == building.damage
        assert columns["damage_class"][i] == building.damage_class
        assert columns["confidence"][i] == pytest.approx(building.confidence, abs=1e-4)
        for name, share in building.shares.items():
            assert columns["share_" + name.replace("-", "_")][i] == pytest.approx(share, abs=1e-4)


def test_totals_are_sums_over_the_buildings(town, tmp_path):
    totals = write_buildings(iter(town), tmp_path, UTM)
    for each in (1, 2, 3, 4):
        pixels = [building.area_px for building in town if building.damage_class == each]
        assert totals.buildings[each] == len(pixels)
        assert totals.area_px[each] == sum(pixels)
        assert totals.area_m2[each] == pytest.approx(sum(pixels) / 4)


def test_geojson_is_in_longitude_and_latitude(town, tmp_path):
    write_buildings(town, tmp_path, UTM)
    content = collection(tmp_path)
    assert set(content) == {"type", "features"}
    for building, feature in zip(town, content["features"], strict=True):
        polygon = shape(feature["geometry"])
        assert polygon.is_valid
        assert polygon.exterior.is_ccw
        x, y = transform("EPSG:32633", "EPSG:4326", *zip(*[
            (400_000 + 0.5 * x, 5_200_000 - 0.5 * y) for x, y in building.rings[0]
        ], strict=True))  # fmt: skip
        expected = Polygon(zip(x, y, strict=True))
        assert polygon.exterior.hausdorff_distance(expected.exterior) < 2e-8
        assert set(feature["properties"]) == {
            "damage", "damage_class", "confidence", "area_px", "area_m2", "cut", "shares",
        }  # fmt: skip
        assert list(feature["properties"]["shares"]) == list(building.shares)


@pytest.mark.parametrize("georeference", [UTM, DEGREES])
def test_an_empty_scene_has_its_layers(tmp_path, georeference):
    totals = write_buildings([], tmp_path, georeference)
    assert sum(totals.buildings.values()) == 0
    meta, polygons, columns = table(tmp_path)
    assert len(polygons) == 0
    assert {"damage", "damage_class", "area_m2", "share_destroyed"} <= set(columns)
    assert meta["geometry_type"] == "Polygon"
    assert collection(tmp_path)["features"] == []


def test_chunks_give_what_one_write_gives(town, tmp_path, monkeypatch):
    whole = write_buildings(town, tmp_path / "whole", UTM)
    monkeypatch.setattr(vectors, "CHUNK", 3)
    monkeypatch.setattr(spatial_index, "ROWS_AT_ONCE", 7)
    chunked = write_buildings(iter(town), tmp_path / "chunked", UTM)
    assert whole.buildings == chunked.buildings
    assert whole.area_m2 == pytest.approx(chunked.area_m2)
    assert collection(tmp_path / "whole") == collection(tmp_path / "chunked")
    _, one, first = table(tmp_path / "whole")
    _, two, second = table(tmp_path / "chunked")
    assert one.tolist() == two.tolist()
    assert {name: each.tolist() for name, each in first.items()} == {
        name: each.tolist() for name, each in second.items()
    }


def test_the_spatial_index_covers_appended_buildings(town, tmp_path, monkeypatch):
    monkeypatch.setattr(vectors, "CHUNK", 3)
    monkeypatch.setattr(spatial_index, "ROWS_AT_ONCE", 7)
    write_buildings(town, tmp_path, UTM)
    x, y = UTM.to_map(town[-1].rings[0])[0]
    around = (x - 0.1, y - 0.1, x + 0.1, y + 0.1)
    _, _, found, _ = read(tmp_path / "buildings.gpkg", layer="buildings", bbox=around)
    assert 1 <= len(found) < len(town)


@pytest.mark.parametrize("failing_at", [0, 5, 20])
def test_a_failure_while_streaming_leaves_no_file(town, tmp_path, monkeypatch, failing_at):
    monkeypatch.setattr(vectors, "CHUNK", 4)
    monkeypatch.setattr(spatial_index, "ROWS_AT_ONCE", 8)

    def stream():
        yield from town[:failing_at]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_buildings(stream(), tmp_path / "out", UTM)
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


def test_a_failure_leaves_the_files_of_before(town, tmp_path):
    write_buildings(town, tmp_path, UTM)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def stream():
        yield town[0]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_buildings(stream(), tmp_path, UTM)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    write_buildings(town[:3], tmp_path, UTM)
    assert len(table(tmp_path)[1]) == 3


def test_qgis_finds_its_default_style(town, tmp_path):
    write_buildings(town, tmp_path, UTM)
    with sqlite3.connect(tmp_path / "buildings.gpkg") as database:
        database.row_factory = sqlite3.Row
        (style,) = database.execute("SELECT * FROM layer_styles").fetchall()
        (contents,) = database.execute(
            "SELECT data_type FROM gpkg_contents WHERE table_name = 'layer_styles'"
        ).fetchall()
        assert database.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert database.execute("PRAGMA user_version").fetchone()[0] == 10200  # GeoPackage 1.2
    assert contents["data_type"] == "attributes"
    assert (style["f_table_name"], style["f_geometry_column"]) == ("buildings", "geom")
    assert (style["f_table_catalog"], style["f_table_schema"]) == ("", "")
    assert style["useAsDefault"] == 1
    assert style["update_time"]
    assert read_info(tmp_path / "buildings.gpkg", layer=0)["geometry_name"] == "geom"
    renderer = ElementTree.fromstring(style["styleQML"]).find("renderer-v2")
    assert renderer.attrib["attr"] == "damage"
    assert renderer.attrib["type"] == "categorizedSymbol"
    colours = {
        symbol.attrib["name"]: symbol.find(".//Option[@name='color']").attrib["value"]
        for symbol in renderer.iter("symbol")
    }
    by_name = {
        each.attrib["value"]: colours[each.attrib["symbol"]] for each in renderer.iter("category")
    }
    assert by_name == {
        name: ",".join(map(str, (*colour, 255)))
        for name, colour in zip(CLASS_NAMES[1:], CLASS_COLOURS[1:], strict=True)
    }


def test_the_layer_of_buildings_is_the_first(town, tmp_path):
    write_buildings(town, tmp_path, UTM)
    assert [name for name, _ in list_layers(tmp_path / "buildings.gpkg")] == [
        "buildings",
        "layer_styles",
    ]


def zone(latitude, degrees=0.001, longitude=14.0):
    """A cell of the grid of meridians and parallels, with parallels as many short edges."""
    along = np.linspace(longitude, longitude + degrees, 400)
    low = np.column_stack([along, np.full(400, latitude)])
    high = np.column_stack([along[::-1], np.full(400, latitude + degrees)])
    return Polygon(np.vstack([low, high]))


@pytest.mark.parametrize("latitude", [0.0, 30.0, -45.0, 60.0, 85.0])
def test_the_ellipsoid_is_measured(latitude):
    # The same cell by integration of the metric of the ellipsoid.
    radius, e2 = 6378137.0, 0.0066943799901413165
    phi = np.radians(latitude + (np.arange(10_000) + 0.5) / 10_000 * 0.001)
    metric = np.cos(phi) * (1 - e2) / (1 - e2 * np.sin(phi) ** 2) ** 2
    expected = radius**2 * metric.mean() * np.radians(0.001) ** 2
    (found,) = on_ellipsoid(np.array([zone(latitude)], object))
    assert found == pytest.approx(expected, rel=1e-7)


def test_a_building_across_the_antimeridian_has_its_area():
    whole = np.array([box(10, -17, 10.001, -16.999)], object)
    parted = Polygon([(179.9995, -17), (-179.9995, -17), (-179.9995, -16.999), (179.9995, -16.999)])
    (expected,) = on_ellipsoid(whole)
    assert on_ellipsoid(np.array([parted], object))[0] == pytest.approx(expected, rel=1e-6)


def test_degrees_are_measured_in_metres(town, tmp_path):
    write_buildings(town, tmp_path, DEGREES)
    _, _, columns = table(tmp_path)
    # Metres per degree at 46 degrees north.
    pixel = 5e-6**2 * 111_146 * 77_465
    assert columns["area_m2"] == pytest.approx(columns["area_px"] * pixel, rel=1e-3, abs=0.006)


def test_web_mercator_does_not_stretch_areas(town, tmp_path):
    (x,), (y,) = transform("EPSG:4326", "EPSG:3857", [14.5], [60.0])
    place = placed(3857, (0.5, 0, x, 0, -0.5, y))
    assert grid_unit(place) is None
    write_buildings(town, tmp_path, place)
    _, _, columns = table(tmp_path)
    # At 60 degrees both axes are stretched twofold.
    pixel = 0.25 * 0.25
    assert columns["area_m2"] == pytest.approx(columns["area_px"] * pixel, rel=0.01, abs=0.006)


def test_feet_are_measured_in_metres(town, tmp_path):
    (x,), (y,) = transform("EPSG:4326", "EPSG:2263", [-74.0], [40.7])
    place = placed(2263, (1.0, 0, x, 0, -1.0, y))
    write_buildings(town, tmp_path, place)
    _, _, columns = table(tmp_path)
    foot = 1200 / 3937
    assert columns["area_m2"] == pytest.approx(columns["area_px"] * foot**2, abs=0.01)


def never():
    """Buildings of a scene that must not be computed in vain."""
    pytest.fail("asked for a building before the check")
    yield


def test_a_crs_that_is_none_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="expected six numbers"):
        Georeference(UTM.crs_wkt, (0, 0, 1, 0, 0, 2))
    local = 'LOCAL_CS["site",UNIT["metre",1]]'
    with pytest.raises(ConfigError, match="from site to EPSG:4326"):
        write_buildings(never(), tmp_path, Georeference(local, UTM.transform))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_library_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyogrio.raw", None)
    with pytest.raises(BackendError, match=r'pyogrio .*pip install "dual-hrnet-edge\[raster\]"'):
        write_buildings(never(), tmp_path, UTM)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_os_error(town, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="buildings"):
            write_buildings(town * 20, tmp_path, UTM)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


STREAM = """
    import sys
    import time
    from pathlib import Path

    import numpy as np

    from runtime.buildings.finding import buildings
    from runtime.source.georeference import Georeference
    from runtime.scene.strip import Strip
    from runtime.output.vectors import write_buildings
    from rasterio.crs import CRS

    rows, columns, out = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])

    def strips():
        # A building in every cell of 8x8 pixels; a strip's border goes through some.
        cell = np.zeros((8, 8), np.uint8)
        cell[1:7, 1:6] = 1
        classes = np.arange(columns) % 4 + 1
        row = np.kron(classes, cell).astype(np.uint8)
        for top in range(0, rows * 8, 20):
            lines = (np.arange(top, min(top + 20, rows * 8))) % 8
            part = row[lines]
            yield Strip(top, part, np.full_like(part, 200))

    place = Georeference(CRS.from_epsg(32633).to_wkt(), (0.5, 0, 4e5, 0, -0.5, 5.2e6))
    begin = time.perf_counter()
    totals = write_buildings(buildings(strips()), out, place)
    seconds = time.perf_counter() - begin
    status = Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
    print(sum(totals.buildings.values()), round(peak), round(seconds, 1))
"""


def stream(rows, columns, out):
    """Buildings, peak memory in MiB and seconds of a stream in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(STREAM), str(rows), str(columns), str(out)],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    count, peak, seconds = done.stdout.split()
    return int(count), int(peak), float(seconds)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's VmHWM")
def test_memory_does_not_grow_with_the_buildings(tmp_path):
    small = stream(40, 500, tmp_path / "small")
    large = stream(100, 500, tmp_path / "large")
    assert (small[0], large[0]) == (20_000, 50_000)
    assert large[1] - small[1] < 15  # MiB; 30,000 buildings that stayed would be 20 more


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_million_buildings_need_less_than_a_gigabyte(tmp_path, capsys):
    count, peak, seconds = stream(1000, 1000, tmp_path)
    with capsys.disabled():
        print(f"\n{count} buildings: {peak} MiB, {seconds} s")
    assert count == 1_000_000
    assert peak < 1000
    assert read_info(tmp_path / "buildings.gpkg", layer="buildings")["features"] == count
