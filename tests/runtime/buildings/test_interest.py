"""An area's pixels beside each pixel's own place in the area's coordinates."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from pyogrio.raw import write
from pyproj import CRS, Transformer

from runtime.buildings.footprint_file import open_footprints
from runtime.buildings.footprints import parts_of
from runtime.buildings.interest import read_area
from runtime.errors import ConfigError
from runtime.source.georeference import Georeference

HEIGHT, WIDTH, PIXEL = 80, 120, 500.0
"""60 by 40 km: on it a parallel is a curve of more than a hundred metres."""
PLACE = Georeference(CRS("EPSG:32635").to_wkt(), (PIXEL, 0, 380_000, 0, -PIXEL, 6_650_000))


def _degrees() -> tuple[np.ndarray, np.ndarray]:
    """Longitude and latitude of each pixel's centre, [HEIGHT,WIDTH]."""
    x, y = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    here = PLACE.to_map(np.column_stack([x.ravel(), y.ravel()]))
    inverse = Transformer.from_crs("EPSG:32635", "EPSG:4326", always_xy=True)
    longitude, latitude = inverse.transform(*here.T)
    return longitude.reshape(x.shape), latitude.reshape(x.shape)


def _area(path, polygon):
    write(
        str(path), geometry=shapely.to_wkb(np.array([polygon], object)), geometry_type="Unknown",
        crs="EPSG:4326", fields=[], field_data=[],
    )  # fmt: skip
    return path


@pytest.mark.parametrize("reach", [0.2, 5, 40])
def test_a_long_border_lies_where_it_is_straight_in_its_own_crs(tmp_path, reach: float) -> None:
    longitude, latitude = _degrees()
    north = float(np.quantile(latitude, 0.6))
    west = float(np.quantile(longitude, 0.3))
    polygon = shapely.box(west, north - reach, west + 2 * reach, north)
    found = read_area(_area(tmp_path / "area.gpkg", polygon), HEIGHT, WIDTH, PLACE)
    inside = (longitude > west) & (longitude < west + 2 * reach)
    inside &= (latitude < north) & (latitude > north - reach)
    wrong = found.mask(0, 0, HEIGHT, WIDTH) != inside
    assert 0.1 < inside.mean() < 0.9
    assert not wrong.any()


def test_an_area_of_which_a_part_has_no_place_in_the_scenes_crs(tmp_path) -> None:
    area = _area(tmp_path / "half.gpkg", shapely.box(-60, -90, 110, 90))
    assert read_area(area, HEIGHT, WIDTH, PLACE).mask(0, 0, HEIGHT, WIDTH).all()


def test_a_hole_that_holds_the_scene_leaves_nothing(tmp_path) -> None:
    ring = shapely.box(0, 40, 60, 80) - shapely.box(20, 55, 35, 65)
    with pytest.raises(ConfigError, match="none of its 1 polygons lies on the scene"):
        read_area(_area(tmp_path / "ring.gpkg", ring), HEIGHT, WIDTH, PLACE)


BEYOND = Georeference(CRS("EPSG:4326").to_wkt(), (0.01, 0, 178.0, 0, -0.01, 10.0))
"""From 178 degrees east to 179.2, 10 north to 9.2."""


@pytest.mark.parametrize("other", [False, True])
def test_a_polygon_across_the_antimeridian_with_points_on_both_sides(tmp_path, other) -> None:
    across = shapely.Polygon([(178.6, 11), (-179, 11), (-179, 9), (178.6, 9)])
    far = shapely.box(-100, 0, -99, 1)
    path = tmp_path / "across.gpkg"
    write(
        str(path), geometry=shapely.to_wkb(np.array([across, far][: 1 + other], object)),
        geometry_type="Unknown", crs="EPSG:4326", fields=[], field_data=[],
    )  # fmt: skip
    found = read_area(path, HEIGHT, WIDTH, BEYOND).mask(0, 0, HEIGHT, WIDTH)
    assert not found[:, :60].any()
    assert found[:, 60:].all()


def test_a_corner_that_is_no_number(tmp_path) -> None:
    """An area of it is refused; a footprint has no place, and the others keep theirs."""
    spoilt = shapely.Polygon([(178.1, 9.9), (float("nan"), 9.8), (178.2, 9.7), (178.1, 9.7)])
    fine = shapely.box(178.3, 9.5, 178.5, 9.7)
    path = tmp_path / "spoilt.gpkg"
    write(
        str(path), geometry=shapely.to_wkb(np.array([spoilt, fine], object)),
        geometry_type="Unknown", crs="EPSG:4326", fields=[], field_data=[],
    )  # fmt: skip
    with pytest.raises(ConfigError, match="feature 1 is not a valid polygon"):
        read_area(path, HEIGHT, WIDTH, BEYOND)
    footprints = open_footprints(path, HEIGHT, WIDTH, BEYOND)
    (part,) = parts_of(footprints, HEIGHT, WIDTH, BEYOND)
    spans = list(part.spans(HEIGHT, WIDTH))
    assert {part.fids[owner] for band in spans for owner in band.owner} == {2}
    assert sum(len(band.row) for band in spans) == 20
