"""Buildings of scenes anywhere on the globe, against pyproj: places, cuts and areas."""

import json
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyogrio.raw import read
from pyproj import CRS, Geod, Transformer
from shapely.geometry import shape

from runtime.buildings import find_buildings as find_both
from runtime.output.vectors import write_buildings
from runtime.source.georeference import Georeference

find_buildings = partial(find_both, raw_outlines=True)

PIXEL = 0.5
SIDE = 28
GEOD = Geod(ellps="WGS84")


def town(seed):
    """Blocks, some with courtyards, and one over the middle of the scene."""
    rng = np.random.default_rng(seed)
    damage = np.kron(rng.integers(0, 5, (4, 4)), np.ones((7, 7), int)).astype(np.uint8)
    damage[rng.random(damage.shape) < 0.08] = 0
    damage[::14], damage[:, ::7] = 0, 0
    damage[10:19, 10:19] = 0
    damage[11:18, 11:18] = 3
    return find_buildings(damage, np.full_like(damage, 200))


def utm(longitude, latitude):
    zone = int((longitude + 180) % 360 // 6) + 1
    return f"EPSG:{(32600 if latitude >= 0 else 32700) + zone}"


def placed(crs, longitude, latitude, angle, flipped, off=0.5):
    """A scene whose middle is there, turned by an angle; `flipped` has its rows northwards."""
    known = CRS.from_user_input(crs)
    x, y = Transformer.from_crs("EPSG:4326", known, always_xy=True).transform(longitude, latitude)
    size = np.array([PIXEL, PIXEL])
    if known.is_geographic:
        x = longitude
        size = PIXEL / np.array([111_320 * np.cos(np.radians(latitude)), 111_000])
        angle = 0.0
    cos, sin = np.cos(angle), np.sin(angle)
    down = 1 if flipped else -1
    a, b, d, e = size[0] * cos, -size[0] * sin * down, size[1] * sin, size[1] * cos * down
    return Georeference(known.to_wkt(), (
        a, b, x - (a + b) * SIDE * off, d, e, y - (d + e) * SIDE * off
    ))  # fmt: skip


places = st.one_of(
    st.tuples(st.just("utm"), st.floats(-180, 180), st.floats(-80, 84)),
    st.tuples(st.just("utm"), st.sampled_from([180.0, -180.0, 179.9999]), st.floats(-80, 84)),
    st.tuples(st.just("EPSG:4326"), st.floats(-181, 181), st.floats(-80, 84)),
    st.tuples(st.just("EPSG:4326"), st.sampled_from([-180.0, 180.0]), st.floats(-80, 84)),
    st.tuples(st.just("EPSG:3857"), st.floats(-180, 180), st.floats(-80, 80)),
    st.tuples(st.just("EPSG:3857"), st.sampled_from([-180.0, 180.0]), st.floats(-80, 80)),
    st.tuples(st.sampled_from(["EPSG:3413", "EPSG:5041"]), st.floats(-180, 180), st.just(90.0)),
    st.tuples(st.sampled_from(["EPSG:3031", "EPSG:5042"]), st.floats(-180, 180), st.just(-90.0)),
    st.tuples(st.just("EPSG:3031"), st.floats(-180, 180), st.floats(-89.9999, -75)),
    st.tuples(st.just("EPSG:3031"), st.just(180.0), st.floats(-89.9999, -75)),
)


def reference(building, place, near_pole):
    """Longitudes and latitudes of its rings, many points an edge: curves stay curves."""
    inverse = Transformer.from_crs(CRS.from_wkt(place.crs_wkt), "EPSG:4326", always_xy=True)
    for ring in building.rings:
        closed = shapely.LinearRing(ring.astype(float)).segmentize(1 / 8 if near_pole else 1)
        yield np.column_stack(inverse.transform(*place.to_map(np.array(closed.coords)).T))


def square_metres(rings):
    areas = [abs(GEOD.polygon_area_perimeter(*ring.T)[0]) for ring in rings]
    return areas[0] - sum(areas[1:])


def flat(geometry, ahead):
    """On a plane around the scene, in metres: there no meridian is an edge."""
    return shapely.transform(geometry, lambda points: np.column_stack(ahead.transform(*points.T)))


@settings(max_examples=40, deadline=None)
@given(places, st.floats(0, 2 * np.pi), st.booleans(), st.integers(0, 99))
@example(("utm", 180.0, -16.8), 0.0, False, 1)
@example(("EPSG:4326", 180.0, -16.8), 0.0, False, 1)
@example(("EPSG:4326", -180.0, 70.0), 0.0, True, 2)
@example(("EPSG:3857", 180.0, -16.8), 0.5, False, 3)
@example(("EPSG:3413", 0.0, 90.0), 0.3, False, 4)
@example(("EPSG:5042", 0.0, -90.0), 0.0, True, 5)
def test_every_polygon_is_where_its_pixels_are(where, angle, flipped, seed):
    crs, longitude, latitude = where
    if crs == "utm":
        crs = utm(longitude, latitude)
    place, buildings = placed(crs, longitude, latitude, angle, flipped), town(seed)
    with tempfile.TemporaryDirectory() as folder:
        write_buildings(buildings, Path(folder), place)
        meta, _, _, fields = read(Path(folder) / "buildings.gpkg", layer="buildings")
        features = json.loads((Path(folder) / "buildings.geojson").read_text())["features"]
    areas = dict(zip(meta["fields"], fields, strict=True))["area_m2"]
    plane = CRS.from_proj4(f"+proj=aeqd +lat_0={latitude} +lon_0={longitude} +datum=WGS84")
    ahead = Transformer.from_crs("EPSG:4326", plane, always_xy=True)
    assert len(features) == len(buildings)
    for building, feature, area in zip(buildings, features, areas, strict=True):
        found = shape(feature["geometry"])
        assert found.is_valid
        west, south, east, north = found.bounds
        assert (west, south) >= (-180, -90)
        assert (east, north) <= (180, 90)
        assert east - west < 180 or found.geom_type == "MultiPolygon" or abs(latitude) == 90
        for part in getattr(found, "geoms", [found]):
            assert part.exterior.is_ccw
            assert not any(ring.is_ccw for ring in part.interiors)
        rings = list(reference(building, place, abs(latitude) > 89))
        expected = flat(shapely.Polygon(rings[0], rings[1:]), ahead)
        # Geod measures from a pole to the equator, and loses what is a few metres there.
        metres = square_metres(rings) if abs(latitude) < 89 else expected.area
        assert area == pytest.approx(metres, abs=0.005 + 1e-3 * metres)  # two decimals
        there = flat(found, ahead)
        apart = shapely.buffer(expected, 0).symmetric_difference(shapely.buffer(there, 0)).area
        assert apart < 0.004 * expected.length  # 8 decimals of a degree


def test_a_scene_across_the_antimeridian_is_cut_there(tmp_path):
    """RFC 7946, 3.1.9: two parts that touch 180 and -180, and as much ground as before."""
    place = placed("EPSG:32660", 180.0, -16.8, 0.0, False)
    middle = [each for each in town(1) if each.area_px == 49]
    write_buildings(middle, tmp_path, place)
    (feature,) = json.loads((tmp_path / "buildings.geojson").read_text())["features"]
    found = shape(feature["geometry"])
    assert found.geom_type == "MultiPolygon"
    assert sorted(part.bounds[2] == 180 for part in found.geoms) == [False, True]
    assert sorted(part.bounds[0] == -180 for part in found.geoms) == [False, True]
    assert all(part.bounds[2] - part.bounds[0] < 1e-4 for part in found.geoms)
    _, _, geometry, _ = read(tmp_path / "buildings.gpkg", layer="buildings")
    (whole,) = shapely.from_wkb(geometry)
    assert whole.geom_type == "Polygon"
    assert whole.area == pytest.approx(49 * PIXEL**2)


def test_a_building_over_the_pole_reaches_it(tmp_path):
    place = placed("EPSG:3413", 0.0, 90.0, 0.0, False)
    write_buildings([each for each in town(1) if each.area_px == 49], tmp_path, place)
    (feature,) = json.loads((tmp_path / "buildings.geojson").read_text())["features"]
    found = shape(feature["geometry"])
    assert found.bounds[::2] == (-180, 180)
    assert found.bounds[3] == 90
    assert found.contains(shapely.Point(12.3, 89.99999))


def test_a_place_that_is_none_in_degrees_is_null(tmp_path):
    """A polygon beyond its projection's domain stays in the layer, and the GeoJSON is JSON."""
    place = Georeference(CRS.from_epsg(3035).to_wkt(), (0.5, 0, 4e7, 0, -0.5, 3e7))
    write_buildings(town(1), tmp_path, place)
    content = json.loads((tmp_path / "buildings.geojson").read_text())
    assert content["features"]
    assert all(each["geometry"] is None for each in content["features"])
