"""Footprints of a scene anywhere on the globe, in files that put their places another way."""

import numpy as np
import pytest
import shapely
from pyogrio.raw import write
from pyproj import CRS, Transformer
from shapely.geometry import MultiPolygon, Polygon, box

from runtime.buildings.footprint_file import open_footprints
from runtime.buildings.footprints import grade
from runtime.errors import ConfigError
from runtime.output.vectors import write_buildings
from runtime.source.georeference import Georeference

HEIGHT, WIDTH = 90, 120
LATITUDE = -16.8


def save(path, geometries, crs="EPSG:4326", kind="Unknown"):
    geometry = np.empty(len(geometries), object)
    geometry[:] = geometries
    write(
        str(path), geometry=shapely.to_wkb(geometry), geometry_type=kind, crs=crs,
        fields=["n"], field_data=[np.arange(len(geometry))],
    )  # fmt: skip
    return path


def scene(crs, longitude=180.0, south_up=False):
    """Pixels of a metre; the meridian runs through column 60."""
    known = CRS.from_user_input(crs)
    x, y = Transformer.from_crs("EPSG:4326", known, always_xy=True).transform(longitude, LATITUDE)
    size = np.array([1.0, 1.0])
    if known.is_geographic:
        x, size = longitude, np.array([1 / 106_600, 1 / 110_700])
    down = 1 if south_up else -1
    return Georeference(
        known.to_wkt(),
        (size[0], 0, x - 60 * size[0], 0, down * size[1], y - 45 * down * size[1]),
    )


def in_degrees(polygon, place, beyond):
    """From pixels; longitudes beyond 180, or within it."""
    inverse = Transformer.from_crs(CRS.from_wkt(place.crs_wkt), "EPSG:4326", always_xy=True)

    def placed(points):
        x, y = inverse.transform(*place.to_map(points).T)
        x = (np.asarray(x) + 180) % 360 - 180
        return np.column_stack([np.where(x < 0, x + 360, x) if beyond else x, y])

    return shapely.transform(polygon, placed)


def cut(polygon):
    """What a producer who keeps to RFC 7946 writes of a polygon with longitudes beyond 180."""
    west = polygon.intersection(box(0, -90, 180, 90))
    east = polygon.intersection(box(180, -90, 360, 90))
    return MultiPolygon([west, shapely.transform(east, lambda points: points - (360, 0))])


SHAPES = [box(10.2, 10.1, 30.3, 30.2), box(45.2, 20.2, 75.3, 40.4), box(90.1, 60.2, 110.4, 80.3)]
SCENES = {
    "utm": scene("EPSG:32760"), "to-181": scene("EPSG:4326"), "nad83": scene("EPSG:4269"),
    "from-181": scene("EPSG:4326", -180.0), "mercator": scene("EPSG:3857"),
    "south-up": scene("EPSG:32701", south_up=True),
}  # fmt: skip


MAPS = [np.full((HEIGHT, WIDTH), 2, np.uint8)] * 2


@pytest.mark.parametrize("written", ["beyond", "torn", "cut"])
@pytest.mark.parametrize("name", SCENES)
def test_footprints_across_the_antimeridian(tmp_path, name, written):
    place = SCENES[name]
    whole = [in_degrees(each, place, beyond=True) for each in SHAPES]
    torn = [in_degrees(each, place, beyond=False) for each in SHAPES]
    wanted = {"beyond": whole, "torn": torn, "cut": [torn[0], cut(whole[1]), torn[2]]}[written]
    # One far away, at the other side of the globe, must not lie over the scene.
    wanted.append(box(-0.01, LATITUDE - 0.1, 0.01, LATITUDE + 0.1))
    path = save(tmp_path / "a.gpkg", wanted)
    opened = open_footprints(path, HEIGHT, WIDTH, place)
    (graded,) = grade(opened, lambda: MAPS, place)
    found = zip(graded.geometry, graded.grades.area_px, SHAPES, strict=True)
    for geometry, area_px, pixels in found:
        x, y = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
        inside = int(shapely.contains_xy(pixels, x, y).sum())
        assert abs(area_px - inside) <= 1 + 0.02 * inside
        assert geometry.is_valid
        there = shapely.transform(geometry, place.to_pixels)
        assert there.symmetric_difference(pixels).area < 0.02 * pixels.area
    write_buildings([graded], tmp_path / "out", place)


def refused(path, place):
    with pytest.raises(ConfigError) as caught:
        open_footprints(path, HEIGHT, WIDTH, place)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("crs", ["EPSG:32760", "EPSG:4326", "EPSG:3857"])
@pytest.mark.parametrize("suffix", ["gpkg", "geojson", "shp"])
def test_latitude_before_longitude_is_named(tmp_path, crs, suffix):
    place = scene(crs)
    swapped = [
        shapely.transform(in_degrees(each, place, beyond=False), lambda points: points[:, ::-1])
        for each in SHAPES[::2]
    ]
    path = save(tmp_path / f"a.{suffix}", swapped, kind="Polygon")
    assert "their x and y look swapped, x or longitude is expected first" in refused(path, place)


def test_northing_before_easting_is_named(tmp_path):
    place = scene("EPSG:32760", 179.0)
    swapped = [
        shapely.transform(each, lambda points: place.to_map(points)[:, ::-1]) for each in SHAPES
    ]
    path = save(tmp_path / "a.gpkg", swapped, crs="EPSG:32760")
    assert "their x and y look swapped" in refused(path, place)


def test_footprints_that_are_only_elsewhere_do_not_look_swapped(tmp_path):
    place = scene("EPSG:32760")
    path = save(tmp_path / "a.gpkg", [box(10, 10, 10.1, 10.1)])
    assert "expected polygons of this place" in refused(path, place)


@pytest.mark.parametrize(
    "crs", ['LOCAL_CS["site",UNIT["metre",1]]', "+proj=longlat +R=1737400 +no_defs"]
)
def test_a_crs_that_nobody_knows_names_the_file(tmp_path, crs):
    path = save(
        tmp_path / "a.gpkg", [box(10, 10, 10.1, 10.1)], crs=CRS.from_user_input(crs).to_wkt()
    )
    assert "cannot be used with the scene's" in refused(path, scene("EPSG:32760"))


def test_one_point_that_is_no_place_costs_its_footprint_alone(tmp_path):
    """GDAL refuses to transform all points for the sake of one."""
    place = scene("EPSG:32760")
    bad = Polygon([(179.9, -16.8), (179.9, 95), (179.8, -16.8)])
    shapes = [in_degrees(SHAPES[0], place, False), bad, in_degrees(SHAPES[2], place, False)]
    path = save(tmp_path / "a.gpkg", shapes)
    opened = open_footprints(path, HEIGHT, WIDTH, place)
    (graded,) = grade(opened, lambda: MAPS, place)
    assert graded.source_fid.tolist() == [1, 3]
    assert graded.grades.area_px.min() > 300
