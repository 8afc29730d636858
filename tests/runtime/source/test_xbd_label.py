"""The place of a tile by its label: right up to the corners, or refused."""

import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.errors import DataError, ImageError
from runtime.source.pair import open_pair
from runtime.source.xbd_label import REACH, georeference_of

SIDE = 1024
PLACE = (4.5e-6, -4.3e-8, -90.8178, -4.2e-8, -4.4e-6, 14.43)


def degrees_of(points, place=PLACE):
    a, b, c, d, e, f = place
    x, y = np.asarray(points, float).T
    return np.column_stack([a * x + b * y + c, d * x + e * y + f])


def wkt(points):
    ring = ", ".join(f"{x:.17g} {y:.17g}" for x, y in [*points, points[0]])
    return f"POLYGON (({ring}))"


def write(path, pixels, degrees=None, **metadata):
    """Footprints [K,2] in pixels, and the same in degrees, rounded or not."""
    degrees = [degrees_of(each) for each in pixels] if degrees is None else degrees

    def both(rings):
        return [{"properties": {"uid": f"u{i}"}, "wkt": wkt(each)} for i, each in enumerate(rings)]

    content = {"features": {"xy": both(pixels), "lng_lat": both(degrees)}, "metadata": metadata}
    path.write_text(json.dumps(content))
    return path


def rectangle(x, y, width, height):
    return np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height)], float)


def off_at_corners(found, place=PLACE):
    corners = np.array([(x, y) for x in (0, SIDE) for y in (0, SIDE)], float)
    return np.abs(found.to_pixels(degrees_of(corners, place)) - corners).max()


def test_a_small_building_in_whole_pixels_does_not_place_a_tile(tmp_path):
    """12 pixels wide, and rounded: the corners of the tile are 60 pixels off."""
    true = rectangle(100.4, 200.6, 12.4, 11.2)
    label = write(tmp_path / "a.json", [np.round(true)], [degrees_of(true)])
    with pytest.raises(DataError, match=r"a.json: its 1 footprint\(s\) fix the tile's corners to "):
        georeference_of(label, SIDE, SIDE)


def test_a_small_building_of_exact_numbers_does(tmp_path):
    label = write(tmp_path / "a.json", [rectangle(100.4137, 200.61371, 12.4123, 11.2773)])
    assert off_at_corners(georeference_of(label, SIDE, SIDE)) < 0.1


def test_whole_pixels_all_over_the_tile_do(tmp_path):
    rng = np.random.default_rng(2)
    true = [rectangle(*rng.uniform(0, 980, 2), *rng.uniform(10, 40, 2)) for _ in range(40)]
    label = write(tmp_path / "a.json", np.round(true), [degrees_of(each) for each in true])
    assert off_at_corners(georeference_of(label, SIDE, SIDE)) < 1


def footprints(rng: np.random.Generator, count: int, size: float, spread: float) -> list:
    """Near each other or not."""
    middle = rng.uniform(0, SIDE, 2)
    near = np.clip(middle + rng.uniform(-1, 1, (count, 2)) * spread * SIDE, 0, SIDE - size)
    return [rectangle(*each, size, size * 0.8) for each in near]


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 30), st.floats(5, 60), st.sampled_from([0, 1, 3, None]), st.floats(0, 0.5),
    st.integers(0, 10_000),
)  # fmt: skip
def test_what_is_accepted_of_rounded_footprints_is_right_at_the_corners(
    tmp_path_factory, count, size, decimals, spread, seed
):
    true = footprints(np.random.default_rng(seed), count, size, spread)
    pixels = true if decimals is None else [np.round(each, decimals) for each in true]
    label = write(
        tmp_path_factory.mktemp("a") / "a.json", pixels, [degrees_of(each) for each in true]
    )
    try:
        found = georeference_of(label, SIDE, SIDE)
    except DataError:
        return
    assert off_at_corners(found) < 1.5 * REACH


def test_of_shifted_footprints_the_bound_holds_in_95_of_100_cases(tmp_path):
    """Each footprint 0.2 pixels off, as drawn by hand."""
    off = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        count, size = int(rng.integers(4, 30)), rng.uniform(5, 60)
        true = footprints(rng, count, size, rng.uniform(0, 0.5))
        pixels = [each + rng.normal(0, 0.2, 2) for each in true]
        label = write(tmp_path / "a.json", pixels, [degrees_of(each) for each in true])
        try:
            off.append(off_at_corners(georeference_of(label, SIDE, SIDE)))
        except DataError:
            continue
    assert len(off) > 50
    assert np.mean(np.array(off) < REACH) >= 0.95


def test_a_label_across_the_antimeridian(tmp_path):
    place = (4.5e-6, 0.0, 179.998, 0.0, -4.4e-6, -16.8)
    pixels = [rectangle(x + 0.123, 50.4, 40.2, 31.7) for x in (20, 430, 900)]
    degrees = [degrees_of(each, place) for each in pixels]
    for each in degrees:
        each[each[:, 0] > 180, 0] -= 360
    label = write(tmp_path / "a.json", pixels, degrees)
    assert off_at_corners(georeference_of(label, SIDE, SIDE), place) < 0.1


def test_a_label_of_another_size_is_refused(tmp_path):
    label = write(tmp_path / "a.json", [rectangle(1.5, 2.25, 900.1, 800.2)], width=512, height=512)
    with pytest.raises(DataError, match=r"a.json: of a tile of 512x512 pixels, the image is 1024x"):
        georeference_of(label, SIDE, SIDE)


def test_latitude_before_longitude_is_refused(tmp_path):
    pixels = [rectangle(1.5, 2.25, 900.1, 800.2)]
    place = (5e-6, 0, 14.5, 0, -4.5e-6, 46.0)
    label = write(tmp_path / "a.json", pixels, [degrees_of(pixels[0], place)[:, ::-1]])
    with pytest.raises(DataError, match="a.json: .* mirror image .* longitude and latitude"):
        georeference_of(label, SIDE, SIDE)


def feature(**changes):
    return {"properties": {"uid": "a"}, "wkt": "POLYGON ((0 0, 1 0, 1 1, 0 0))", **changes}


@pytest.mark.parametrize(
    "text",
    [
        '{"features":' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"features": NaN}',
        "[]",
        "null",
        '{"features": {"xy": {}, "lng_lat": {}}}',
        '{"features": {"xy": null, "lng_lat": []}}',
        '{"features": {"xy": [], "xy": [], "lng_lat": []}}',
        json.dumps({"features": {"xy": [feature(wkt=["POINT (1 1)"])], "lng_lat": []}}),
        json.dumps({"features": {"xy": [feature(wkt=7)], "lng_lat": []}}),
        json.dumps({"features": {"xy": [feature(wkt="POLYGON ((")], "lng_lat": []}}),
        json.dumps({"features": {"xy": [feature(properties=[])], "lng_lat": []}}),
        json.dumps({"features": {"xy": [feature(properties={"uid": ["a"]})], "lng_lat": []}}),
        json.dumps({"features": {"xy": [7], "lng_lat": []}}),
        json.dumps({"features": {"xy": [], "lng_lat": []}, "metadata": [1]}),
        json.dumps({"features": {"xy": [], "lng_lat": []}, "metadata": {}}),
        json.dumps({
            "features": {
                "xy": [feature()], "lng_lat": [feature(wkt="POLYGON ((nan 0, 1 0, 1 1, nan 0))")]
            }
        }),
        json.dumps({
            "features": {
                "xy": [feature()], "lng_lat": [feature(wkt="POLYGON ((0 99, 1 0, 1 1, 0 99))")]
            }
        }),
        json.dumps({
            "features": {
                "xy": [feature()], "lng_lat": [feature(wkt="POLYGON ((5 5, 5 5, 5 5, 5 5))")]
            }
        }),
    ],
)  # fmt: skip
def test_what_is_no_label_is_one_line(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(DataError, match="a.json: ") as caught:
        georeference_of(path, SIDE, SIDE)
    assert "\n" not in str(caught.value)


def test_coordinates_that_contradict_the_label_are_refused(tmp_path, write_raster, draw):
    rasterio = pytest.importorskip("rasterio")
    image, other = draw(64, 64)
    pixels = [rectangle(3.125, 2.5, 50.25, 40.75), rectangle(10.1, 44.2, 40.7, 15.3)]
    label = write(tmp_path / "a.json", pixels)
    same = rasterio.Affine(*PLACE)
    away = rasterio.Affine(*PLACE[:2], PLACE[2] + 10 * PLACE[0], *PLACE[3:])
    pre = write_raster(tmp_path / "pre.tif", image, crs="EPSG:4326", transform=same)
    post = write_raster(tmp_path / "post.tif", other, crs="EPSG:4326", transform=away)
    with (
        pytest.raises(
            ImageError,
            match=r"post.tif: its own coordinates are up to .* pixels from where --label",
        ),
        open_pair(pre, post, label=label),
    ):
        pass
    write_raster(post, other, crs="EPSG:4326", transform=same)
    with open_pair(pre, post, label=label) as pair:
        assert pair.georeference.transform == pytest.approx(PLACE)
    cv2.imwrite(str(tmp_path / "post.png"), other)
    with open_pair(pre, tmp_path / "post.png", label=label) as pair:
        assert pair.georeference.transform == pytest.approx(PLACE)


@pytest.mark.parametrize("wkt", ["POLYGON EMPTY", "POLYGON ((1e999 1, 2 2, 3 1, 1e999 1))"])
def test_corners_that_are_none_are_one_line(tmp_path, capfd, wkt):
    feature = {"properties": {"uid": "a"}, "wkt": wkt}
    label = tmp_path / "a.json"
    label.write_text(json.dumps({"features": {"xy": [feature], "lng_lat": [feature]}}))
    with pytest.raises(DataError):
        georeference_of(label)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("named", "fits"), [("town_00000001", True), ("town_00000002", False)])
def test_the_label_of_another_tile_is_refused(tmp_path, named, fits):
    names = [tmp_path / f"town_00000001_{role}_disaster.png" for role in ("pre", "post")]
    for path in names:
        cv2.imwrite(str(path), np.full((SIDE, SIDE, 3), 90, np.uint8))
    pixels = [rectangle(x, 50.4, 40.2, 31.7) for x in (20.1, 430.2, 900.3)]
    label = write(tmp_path / "a.json", pixels, img_name=f"{named}_post_disaster.png")
    if fits:
        with open_pair(*names, label=label) as pair:
            assert pair.georeference
        return
    with (
        pytest.raises(DataError, match="is of tile town_00000002, the image .* of town_00000001"),
        open_pair(*names, label=label),
    ):
        pass
