"""Two images of one ground, wherever and whichever way round it is."""

import numpy as np
import pytest
import rasterio
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyproj import CRS, Transformer
from rasterio.crs import CRS as RasterioCRS
from rasterio.transform import Affine, from_origin

from runtime.errors import ImageError
from runtime.source import aligned
from runtime.source.grid import differences
from runtime.source.pair import open_pair

SIDE = 60
LATITUDE = -16.8


def transform_of(crs, longitude, latitude, angle=0.0, south_up=False, metres=1.0, beyond=True):
    """A grid of SIDE x SIDE pixels whose middle is there, in the CRS's own numbers."""
    known = CRS.from_user_input(crs)
    x, y = Transformer.from_crs("EPSG:4326", known, always_xy=True).transform(longitude, latitude)
    size = np.array([metres, metres])
    if known.is_geographic:
        x = longitude if beyond else x
        size = metres / np.array([111_320 * np.cos(np.radians(latitude)), 111_000])
    elif crs == "EPSG:3857":
        size = size / np.cos(np.radians(latitude))
    cos, sin, down = np.cos(angle), np.sin(angle), 1 if south_up else -1
    a, b, d, e = size[0] * cos, -size[0] * sin * down, size[1] * sin, size[1] * cos * down
    return Affine(a, b, x - (a + b) * SIDE / 2, d, e, y - (d + e) * SIDE / 2)


def ground(crs, transform, longitude, latitude):
    """What lies there: a smooth image of the distance from a point, by pyproj."""
    column, row = np.meshgrid(np.arange(SIDE) + 0.5, np.arange(SIDE) + 0.5)
    a, b, c, d, e, f = tuple(transform)[:6]
    x, y = a * column + b * row + c, d * column + e * row + f
    east, north = Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(x, y)
    plane = f"+proj=aeqd +lat_0={latitude} +lon_0={longitude} +datum=WGS84"
    ahead = Transformer.from_crs("EPSG:4326", plane, always_xy=True)
    x, y = ahead.transform(east, north)
    image = np.stack([128 + x, 128 + y, 128 + (x + y) / 2], 2)
    inside = np.abs([x, y]).max(axis=0) < SIDE / 4  # well inside of both images
    return image.clip(1, 255).astype(np.uint8), inside


def pair_of(folder, write_raster, first, second, longitude, latitude):
    paths, images = [], []
    for name, (crs, transform) in (("pre", first), ("post", second)):
        image, inside = ground(crs, transform, longitude, latitude)
        paths.append(write_raster(folder / f"{name}.tif", image, crs=crs, transform=transform))
        images.append((image, inside))
    return paths, images


SEAM = {
    "utm-60": ("EPSG:32760", {}),
    "utm-1": ("EPSG:32701", {}),
    "to-181": ("EPSG:4326", {"longitude": 180.0}),
    "from-181": ("EPSG:4326", {"longitude": -180.0}),
    "nad83": ("EPSG:4269", {"longitude": 180.0}),
    "south-up": ("EPSG:32760", {"south_up": True}),
    "turned": ("EPSG:32760", {"angle": 0.6}),
    "sheared": ("EPSG:32701", {"angle": 2.5, "south_up": True}),
}


@pytest.mark.parametrize("first", SEAM)
@pytest.mark.parametrize("second", SEAM)
def test_align_across_the_antimeridian(tmp_path, write_raster, first, second):
    """Where both show the middle, the warped second is what the first shows, and known."""

    def grid(name):
        crs, options = SEAM[name]
        return crs, transform_of(crs, options.get("longitude", 180.0), LATITUDE,
                                 angle=options.get("angle", 0.0),
                                 south_up=options.get("south_up", False))  # fmt: skip

    (pre, post), ((image, inside), _) = pair_of(
        tmp_path, write_raster, grid(first), grid(second), 180.0, LATITUDE
    )
    with open_pair(pre, post, align=True) as pair:
        _, found, known = pair.read(0, 0, SIDE, SIDE)
    assert known is None or known[inside].all()
    assert np.abs(found[inside].astype(int) - image[inside]).max() <= 2


@settings(max_examples=40, deadline=None)
@given(
    st.floats(-180, 180), st.floats(-80, 84), st.floats(0, 2 * np.pi), st.floats(0, 2 * np.pi),
    st.booleans(), st.booleans(), st.floats(-3, 3), st.floats(-3, 3),
)  # fmt: skip
@example(180.0, -16.8, 0.0, 0.0, False, True, 0.0, 0.0)
@example(-180.0, 83.9, 1.0, 2.0, True, True, 3.0, -3.0)
def test_align_at_any_turn_and_place(
    tmp_path_factory, write_raster, longitude, latitude, one, other, up, down, right, below
):
    folder = tmp_path_factory.mktemp("pair")
    zone = int((longitude + 180) % 360 // 6) + 1
    crs = f"EPSG:{(32600 if latitude >= 0 else 32700) + zone}"
    first = transform_of(crs, longitude, latitude, one, up)
    second = transform_of(crs, longitude, latitude, other, down)
    second = Affine(*second[:2], second.c + right, *second[3:5], second.f + below)
    (pre, post), ((image, inside), _) = pair_of(
        folder, write_raster, (crs, first), (crs, second), longitude, latitude
    )
    with open_pair(pre, post, align=True) as pair:
        _, found, known = pair.read(0, 0, SIDE, SIDE)
    assert known is None or known[inside].all()
    assert np.abs(found[inside].astype(int) - image[inside]).max() <= 2


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("away", [1.2, 40.0])
def test_a_place_beside_is_refused_whichever_way_round(tmp_path, write_raster, turned, away):
    angle = 0.6 if turned else 0.0
    first = transform_of("EPSG:32760", 180.0, LATITUDE, angle)
    second = transform_of("EPSG:32760", 180.0, LATITUDE, angle, south_up=True)
    off = np.array([[first.a], [first.d]]) * SIDE * away
    second = Affine(*second[:2], second.c + off[0, 0], *second[3:5], second.f + off[1, 0])
    (pre, post), _ = pair_of(
        tmp_path, write_raster, ("EPSG:32760", first), ("EPSG:32760", second), 180.0, LATITUDE
    )
    with (
        pytest.raises(ImageError, match="post.tif shows none of the ground of"),
        open_pair(pre, post, align=True),
    ):
        pass


def test_one_grid_written_a_turn_apart_is_one_grid(tmp_path, write_raster):
    first = transform_of("EPSG:4326", 180.0, LATITUDE)
    second = transform_of("EPSG:4326", -180.0, LATITUDE)
    (pre, post), images = pair_of(
        tmp_path, write_raster, ("EPSG:4326", first), ("EPSG:4326", second), 180.0, LATITUDE
    )
    with open_pair(pre, post) as pair:
        np.testing.assert_array_equal(pair.read(0, 0, SIDE, SIDE)[1], images[1][0])


def test_an_edge_of_a_crs_that_cannot_be_moved_is_refused(tmp_path, write_raster):
    """A map in Mercator goes on beyond its edge; GDAL would find half of it there."""
    first = transform_of("EPSG:32760", 180.0, LATITUDE)
    second = transform_of("EPSG:3857", 180.0, LATITUDE)
    (pre, post), _ = pair_of(
        tmp_path, write_raster, ("EPSG:32760", first), ("EPSG:3857", second), 180.0, LATITUDE
    )
    with (
        pytest.raises(ImageError, match=r"post.tif: lies across the edge .* gdalwarp -t_srs EPSG"),
        open_pair(pre, post, align=True),
    ):
        pass


ESRI = RasterioCRS.from_epsg(31467).to_wkt(version="WKT1_ESRI")


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("EPSG:4326", "OGC:CRS84", True),
        ("EPSG:31467", ESRI, True),
        ("EPSG:25832", "+proj=utm +zone=32 +ellps=GRS80 +units=m", True),
        ("EPSG:32614", "EPSG:26914", False),
        ("EPSG:28355", "EPSG:7855", False),
        ("EPSG:32614", "EPSG:32615", False),
    ],
)
def test_a_crs_is_what_proj_says_however_it_is_put(
    tmp_path, write_raster, draw, first, second, same
):
    image, _ = draw(SIDE, SIDE)
    size = 1e-5 if first == "EPSG:4326" else 1.0
    x = 10.0 if first == "EPSG:4326" else 3_500_000.0 if first == "EPSG:31467" else 500_000.0
    y = 50.0 if first == "EPSG:4326" else 6_000_000.0
    paths = [
        write_raster(tmp_path / f"{i}.tif", image, crs=crs, transform=from_origin(x, y, size, size))
        for i, crs in enumerate((first, second))
    ]
    with rasterio.open(paths[0]) as pre, rasterio.open(paths[1]) as post:
        assert ("CRS" in differences(pre, post)) != same


@pytest.mark.parametrize(("most", "times"), [(12 << 11, 1), ((12 << 11) - 1, 2)])
def test_resampled_blocks_are_kept_for_the_next_row_as_far_as_they_fit(
    tmp_path, write_raster, monkeypatch, most, times
):
    """Of 2 x 4 blocks of 16x32, each 2 KiB: all, or no more than the least.

    A window of 24 rows can touch three rows of blocks, which must fit.
    """
    monkeypatch.setattr(aligned, "BLOCK", (16, 32))
    monkeypatch.setattr(aligned, "KEPT_BYTES", (1 << 11, most))
    image = np.full((32, 128, 3), 90, np.uint8)
    paths = [tmp_path / "pre.tif", tmp_path / "post.tif"]
    for path, east in zip(paths, (0, 0.2), strict=True):
        write_raster(path, image, transform=from_origin(500_000 + east, 3_300_000, 0.5, 0.5))
    warped, made = aligned.Aligned._warped, []
    monkeypatch.setattr(
        aligned.Aligned, "_warped", lambda self, part: made.append(part) or warped(self, part)
    )
    with open_pair(*paths, align=True) as pair:
        for top in (0, 8):  # windows of 24 rows, side by side: both rows of blocks
            for left in range(0, 128, 32):
                pair.post.read(top, left, 24, 32)
        kept = sum(each.nbytes for block in pair.post._kept.values() for each in block)
    assert len(made) == 8 * times
    assert kept == (8 << 11 if times == 1 else 1 << 11)
