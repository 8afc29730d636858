"""The size of a scene's pixels on the ground, and what is said of it."""

import json

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS, Geod, Transformer
from rasterio.transform import Affine, from_origin

from runtime import load_engine
from runtime.mapping import map_pair
from runtime.options import MapOptions
from runtime.source.georeference import Georeference

CRSS = ["utm", "EPSG:4326", "EPSG:3857", "EPSG:3413", "EPSG:2263"]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(CRSS), st.floats(-180, 180), st.floats(-80, 84), st.floats(0, 2 * np.pi),
    st.floats(0.3, 3), st.booleans(),
)  # fmt: skip
def test_a_pixel_is_as_large_as_on_the_ellipsoid(crs, longitude, latitude, angle, ratio, south_up):
    if crs == "utm":
        zone = int((longitude + 180) % 360 // 6) + 1
        crs = f"EPSG:{(32600 if latitude >= 0 else 32700) + zone}"
    elif crs == "EPSG:3413":
        latitude = 90 - abs(latitude) / 10
    elif crs == "EPSG:2263":
        longitude, latitude = -74 + longitude / 200, 40.7 + latitude / 200
    known = CRS.from_user_input(crs)
    x, y = Transformer.from_crs("EPSG:4326", known, always_xy=True).transform(longitude, latitude)
    size = np.array([1, ratio]) * (1e-5 if known.is_geographic else 1.0)
    cos, sin, down = np.cos(angle), np.sin(angle), 1 if south_up else -1
    place = Georeference(known.to_wkt(), (
        size[0] * cos, -size[1] * sin * down, x, size[0] * sin, size[1] * cos * down, y
    ))  # fmt: skip
    inverse = Transformer.from_crs(known, "EPSG:4326", always_xy=True)
    points = np.array([[-0.5, 0], [0.5, 0], [0, -0.5], [0, 0.5]])
    east, north = inverse.transform(*place.to_map(points).T)
    _, _, expected = Geod(ellps="WGS84").inv(east[::2], north[::2], east[1::2], north[1::2])
    # The centre of an image of no pixel is its corner, which lies there.
    assert place.pixel_m(0, 0) == pytest.approx(expected, rel=1e-6)


def mapped(engine, scene, tmp_path, **options):
    pre, post, *_ = scene(40, 60, **options)
    return map_pair(engine, pre, post, tmp_path / "out", MapOptions())


def pixels(across, down=None):
    return from_origin(500_000, 3_300_000, across, down or across)


def test_a_scene_of_the_size_that_xbd_has_needs_no_note(engine, scene, tmp_path, capsys):
    summary = mapped(engine, scene, tmp_path, transform=pixels(0.5))
    assert summary["pixel_m"] == pytest.approx([0.5002, 0.5002], abs=1e-4)
    assert summary["notes"] == []
    assert "pixels of" not in capsys.readouterr().err
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == summary


@pytest.mark.parametrize("size", [(10, 10), (0.1, 0.1), (0.5, 3.0)])
def test_a_scene_of_another_size_is_told(engine, scene, tmp_path, capsys, size):
    summary = mapped(engine, scene, tmp_path, transform=pixels(*size))
    assert summary["pixel_m"] == pytest.approx(size, rel=1e-3)
    (note,) = summary["notes"]
    assert "the engine was trained on 0.3 to 0.8 m (xBD's, for its manifest does not say)" in note
    assert note in capsys.readouterr().err


def test_degrees_are_told_in_metres(engine, scene, tmp_path):
    place = from_origin(14.0, 60.0, 1e-4, 1e-4)
    summary = mapped(engine, scene, tmp_path, crs="EPSG:4326", transform=place)
    assert summary["pixel_m"] == pytest.approx([5.58, 11.14], rel=1e-2)
    assert len(summary["notes"]) == 1


def test_a_picture_has_no_size(engine, scene, tmp_path):
    summary = mapped(engine, scene, tmp_path, crs=None, transform=None)
    assert summary["pixel_m"] is None
    assert summary["notes"] == []


def test_an_engine_that_says_what_it_knows_is_believed(
    engine_folder, edit_manifest, scene, tmp_path
):
    edit_manifest(engine_folder, lambda content: content["model"].update(gsd_m=[8, 12.5]))
    with load_engine(engine_folder, threads=1) as engine:
        assert engine.manifest.model.gsd_m == (8.0, 12.5)
        assert mapped(engine, scene, tmp_path, transform=pixels(10))["notes"] == []
        (note,) = mapped(engine, scene, tmp_path, transform=pixels(0.5))["notes"]
    assert "trained on 8 to 12.5 m (as its manifest says)" in note


@pytest.mark.parametrize(
    "place",
    [
        Affine(0.5, 0, 500_000, 0, 0.5, 3_300_000),
        Affine(0.4, 0.3, 500_000, 0.3, -0.4, 3_300_000),
        Affine(0.4, 0.3, 500_000, -0.3, 0.4, 3_300_000),
    ],
)
def test_a_scene_any_way_round_keeps_its_grid(engine, scene, tmp_path, place):
    """Its maps have the same transform, and its buildings lie on their pixels."""
    import shapely
    from pyogrio.raw import read

    pre, post, *_ = scene(40, 60, transform=place)
    map_pair(engine, pre, post, tmp_path / "out", MapOptions(raw_outlines=True))
    with rasterio.open(tmp_path / "out" / "damage.tif") as file:
        assert file.transform.almost_equals(place)
        damage = file.read(1)
    _, _, geometry, _ = read(tmp_path / "out" / "buildings.gpkg", layer="buildings")
    polygons = shapely.union_all(shapely.from_wkb(geometry))
    x, y = np.meshgrid(np.arange(60) + 0.5, np.arange(40) + 0.5)
    x, y = place @ (x, y) if hasattr(place, "__matmul__") else place * (x, y)
    np.testing.assert_array_equal(shapely.contains_xy(polygons, x, y), damage > 0)
