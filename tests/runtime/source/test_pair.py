import numpy as np
import pytest
import rasterio
from rasterio.env import getenv
from rasterio.transform import from_origin

from runtime.errors import ConfigError, ImageError
from runtime.source.pair import cached, open_pair

UTM = "EPSG:32614"
PLACE = from_origin(500_000, 3_300_000, 0.5, 0.5)
SHIFTED = from_origin(500_002, 3_300_001, 0.5, 0.5)
ELSEWHERE = from_origin(600_000, 3_300_000, 0.5, 0.5)


def opened(pre, post, **options):
    with open_pair(pre, post, **options) as pair:
        return pair.read(0, 0, pair.height, pair.width)


def test_windows_are_the_pixels_of_both(scene):
    pre, post, first, second = scene(70, 90)
    with open_pair(pre, post) as pair:
        assert (pair.height, pair.width) == (70, 90)
        assert pair.georeference.transform == tuple(PLACE)[:6]
        found = pair.read(10, 20, 30, 40)
    np.testing.assert_array_equal(found[0], first[10:40, 20:60])
    np.testing.assert_array_equal(found[1], second[10:40, 20:60])
    assert found[2] is None


def test_nodata_of_either_is_not_valid(write_raster, draw, tmp_path):
    first, second = draw(64, 64)
    first[first == 0] = second[second == 0] = 1
    first[:5], second[:, :7] = 0, 0
    pre = write_raster(tmp_path / "pre.tif", first, nodata=0)
    alpha = np.full((64, 64, 1), 255, np.uint8)
    alpha[:, :7] = 0
    post = write_raster(tmp_path / "post.tif", np.concatenate([second, alpha], 2), alpha="YES")
    valid = opened(pre, post)[2]
    expected = np.ones((64, 64), bool)
    expected[:5], expected[:, :7] = False, False
    np.testing.assert_array_equal(valid, expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crs": None}, "post.tif: no CRS"),
        ({"transform": SHIFTED}, r"its corner \+4\.0 columns and -2\.0 rows away; --align"),
        ({"crs": "EPSG:32615"}, "shows none of the ground of"),
        ({"transform": ELSEWHERE}, "shows none of the ground of"),
        ({"transform": from_origin(500_000, 3_300_000, 1, 1)}, "pixels of 1, not 0.5"),
    ],
)
def test_another_grid_is_refused_with_what_differs(scene, write_raster, options, message):
    pre, post, _, second = scene(40, 60)
    write_raster(post, second, **options)
    with pytest.raises(ImageError, match=message) as caught:
        opened(pre, post)
    assert "\n" not in str(caught.value)


def test_another_size_is_another_grid(scene, write_raster):
    pre, post, _, second = scene(40, 60)
    write_raster(post, second[:30])
    with pytest.raises(ImageError, match="30x60 pixels .*, not 40x60"):
        opened(pre, post)


def test_align_moves_the_second_by_whole_pixels_exactly(scene, write_raster):
    pre, post, first, second = scene(40, 60)
    write_raster(post, second, transform=SHIFTED)
    found, moved, valid = opened(pre, post, align=True)
    np.testing.assert_array_equal(found, first)
    np.testing.assert_array_equal(moved[:-2, 4:], second[2:, :-4])
    inside = np.zeros((40, 60), bool)
    inside[:-2, 4:] = True
    np.testing.assert_array_equal(valid, inside)


def test_align_warps_from_another_crs(scene, tmp_path, draw, write_raster):
    """A smooth image in degrees, warped back: close to what it was, and valid inside."""
    from rasterio.warp import Resampling, calculate_default_transform, reproject

    y, x = np.mgrid[:80, :120]
    smooth = np.stack([x + y, 2 * x, 200 - x], 2).astype(np.uint8)
    pre = write_raster(tmp_path / "pre.tif", smooth)
    bounds = (500_000, 3_300_000 - 40, 500_060, 3_300_000)
    transform, width, height = calculate_default_transform(UTM, "EPSG:4326", 120, 80, *bounds)
    turned = np.zeros((3, height, width), np.uint8)
    reproject(
        np.moveaxis(smooth, 2, 0), turned, src_transform=PLACE, src_crs=UTM,
        dst_transform=transform, dst_crs="EPSG:4326", resampling=Resampling.bilinear,
    )  # fmt: skip
    post = write_raster(
        tmp_path / "post.tif", np.moveaxis(turned, 0, 2), crs="EPSG:4326", transform=transform
    )
    _, back, _ = opened(pre, post, align=True)
    middle = (slice(5, -5), slice(5, -5))
    assert np.abs(back[middle].astype(int) - smooth[middle]).max() <= 3


def test_bands_and_kinds_of_pixel_are_named(write_raster, draw, tmp_path):
    first, second = draw(40, 60)
    one = write_raster(tmp_path / "one.tif", first[..., :1])
    good = write_raster(tmp_path / "good.tif", second)
    with pytest.raises(ImageError, match=r"one.tif: 1 band\(s\); expected three"):
        opened(one, good)
    deep = write_raster(tmp_path / "deep.tif", first.astype(np.uint16) * 7 + 100)
    with pytest.raises(ImageError, match=r"deep.tif: uint16; expected uint8; --scale LO HI .*"):
        opened(deep, good)
    with pytest.raises(ConfigError, match="LO below HI"):
        opened(deep, good, scale=(5.0, 5.0))
    found = opened(deep, good, scale=(100.0, 100.0 + 7 * 255))
    np.testing.assert_array_equal(found[0], first)
    np.testing.assert_array_equal(found[1], second)  # 8-bit stays as it is


def test_floats_that_are_no_number_are_not_data(write_raster, draw, tmp_path):
    first, second = draw(40, 60)
    values = first.astype(np.float32) / 255
    values[3, 4, 1], values[7, 8, 2] = np.nan, np.inf
    pre = write_raster(tmp_path / "pre.tif", values)
    post = write_raster(tmp_path / "post.tif", second)
    found, _, valid = opened(pre, post, scale=(0.0, 1.0))
    assert {tuple(each) for each in np.argwhere(~valid)} == {(3, 4), (7, 8)}
    np.testing.assert_array_equal(found[valid], first[valid])


def test_no_image_and_half_an_image_are_one_line(scene, tmp_path):
    pre, post, *_ = scene(40, 60)
    with pytest.raises(ImageError, match="none.tif: no such image"):
        opened(tmp_path / "none.tif", post)
    post.write_bytes(b"II*\0" + b"\0" * 100)
    with pytest.raises(ImageError, match="post.tif: cannot be opened as a raster"):
        opened(pre, post)


@pytest.mark.parametrize(
    ("width", "mib"),
    [
        (1_000, 64),  # the least
        (20 * 1024, 2 * 3 * 20),  # two rows of blocks of 512 for both images
        (200 * 1024, 64),  # no row of them fits into what is bearable
    ],
)
def test_what_is_decoded_for_a_row_of_windows_is_kept_for_the_next(tmp_path, width, mib):
    paths = [tmp_path / f"{name}.tif" for name in ("pre", "post")]
    for path in paths:
        profile = {
            "driver": "GTiff", "height": 600, "width": width, "count": 3, "dtype": "uint8",
            "tiled": True, "blockxsize": 512, "blockysize": 512, "photometric": "RGB",
            "SPARSE_OK": True, "crs": "EPSG:32614", "transform": from_origin(5e5, 3e6, 0.5, 0.5),
        }  # fmt: skip
        rasterio.open(path, "w", **profile).close()
    with open_pair(*paths) as pair, cached(pair, 256):
        assert getenv()["GDAL_CACHEMAX"] == mib << 20


def test_pictures_need_no_cache(tmp_path, draw):
    from PIL import Image

    for name, image in zip(("pre", "post"), draw(40, 60), strict=True):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    with open_pair(tmp_path / "pre.png", tmp_path / "post.png") as pair, cached(pair, 32):
        assert pair.pre.decoded_bytes(32) == 0
