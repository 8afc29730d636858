"""Files that tell their place in a way that is not used: each is one line, none is dropped."""

import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC
from rasterio.transform import Affine, from_origin

from runtime.errors import ImageError
from runtime.source.pair import open_pair

UNPLACED = {"crs": None, "transform": None}
MOON = "+proj=longlat +R=1737400 +no_defs"
DEGREES = from_origin(14, 46, 1e-5, 1e-5)


def refused(pre, post, **options):
    with pytest.raises(ImageError) as caught, open_pair(pre, post, **options):
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def with_points(tmp_path, write_raster, draw):
    """An image placed by four ground control points in a CRS."""

    def write(name, crs="EPSG:4326"):
        path = write_raster(tmp_path / name, draw(40, 60)[0], **UNPLACED)
        points = [
            GroundControlPoint(row, column, 14 + column * 1e-5, 46 - row * 1e-5)
            for row in (0, 40)
            for column in (0, 60)
        ]
        with rasterio.open(path, "r+") as file:
            file.gcps = (points, crs)
        return path

    return write


def test_ground_control_points_are_named_with_the_way_to_warp_them(with_points, scene):
    pre, post = with_points("a.tif"), with_points("b.tif")
    expected = (
        "a.tif: its place is told by 4 ground control points in EPSG:4326 and not by a "
        "geotransform; warp it to a map with gdalwarp -t_srs EPSG:32633 -r bilinear "
    )
    assert expected in refused(pre, post)
    placed, other, *_ = scene(40, 60)
    assert "b.tif: its place is told by 4 ground control points" in refused(placed, post)
    assert "a.tif: its place is told by" in refused(pre, other, align=True)


def test_rpcs_are_named_with_the_way_to_warp_them(tmp_path, write_raster, draw, scene):
    path = write_raster(tmp_path / "rpc.tif", draw(40, 60)[0], **UNPLACED)
    rows = [1.0, *[0.0] * 19]
    with rasterio.open(path, "r+") as file:
        file.rpcs = RPC(
            height_off=0, height_scale=1, lat_off=46, lat_scale=1, line_den_coeff=rows,
            line_num_coeff=rows, line_off=20, line_scale=20, long_off=14, long_scale=1,
            samp_den_coeff=rows, samp_num_coeff=rows, samp_off=30, samp_scale=30,
        )  # fmt: skip
    told = "rpc.tif: its place is told by RPCs .* gdalwarp -rpc -t_srs EPSG:CODE -r bilinear"
    with pytest.raises(ImageError, match=told), open_pair(path, path):
        pass
    _, post, *_ = scene(40, 60)
    assert "told by RPCs" in refused(path, post)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"transform": Affine.identity()}, "pre.tif: no geotransform, so its place"),
        ({"crs": 'LOCAL_CS["site",UNIT["metre",1]]'}, "pre.tif: its CRS site has no way to WGS 84"),
        ({"crs": MOON, "transform": DEGREES}, "pre.tif: its CRS .* has no way to WGS 84"),
        ({"crs": "EPSG:4326"}, "pre.tif: its centre 500030, 3.29999e\\+06 is no place in its CRS"),
    ],
)
def test_a_place_that_is_none_on_earth_is_refused_before_the_work(
    scene, write_raster, draw, options, message
):
    pre, post, first, second = scene(40, 120)
    for path, image in ((pre, first), (post, second)):
        write_raster(path, image, **options)
    with pytest.raises(ImageError, match=message) as caught, open_pair(pre, post):
        pass
    assert "\n" not in str(caught.value)


def test_a_geotransform_without_a_crs_is_told_and_compared(scene, write_raster):
    pre, post, _, second = scene(40, 60, crs=None)
    with open_pair(pre, post) as pair:
        assert pair.georeference is None
        assert len(pair.notes) == 2
        assert "pre.tif: its geotransform is not used, for no CRS is named" in pair.notes[0]
        assert "gdal_translate -a_srs EPSG:CODE" in pair.notes[0]
    write_raster(post, second, crs=None, transform=from_origin(500_004, 3_300_000, 0.5, 0.5))
    assert "post.tif: its geotransform puts it up to 8 pixels from" in refused(pre, post)
    write_raster(post, second, **UNPLACED)
    with open_pair(pre, post) as pair:
        assert len(pair.notes) == 1


@pytest.mark.parametrize("suffix", [".pgw", ".pngw", ".wld", ".PGW"])
def test_world_files_beside_pictures_are_told_and_compared(tmp_path, draw, suffix):
    import cv2

    for name, image in zip(("pre", "post"), draw(40, 60), strict=True):
        cv2.imwrite(str(tmp_path / f"{name}.png"), image)
    pre, post = tmp_path / "pre.png", tmp_path / "post.png"
    with open_pair(pre, post) as pair:
        assert pair.notes == ()
    pre.with_suffix(suffix).write_text("0.5\n0\n0\n-0.5\n500000.25\n3299999.75\n")
    with open_pair(pre, post) as pair:
        (note,) = pair.notes
        assert "pre.png: its geotransform is not used" in note
    post.with_suffix(suffix).write_text("0.5\n0\n0\n-0.5\n500000.25\n3299989.75\n")
    assert "post.png: its geotransform puts it up to 20 pixels from" in refused(pre, post)
    post.with_suffix(suffix).write_text("0.5\n0\n0\n-0.5\n500000.25\n3299999.75\n")
    with open_pair(pre, post) as pair:
        assert len(pair.notes) == 2
    post.with_suffix(suffix).write_text("no numbers")
    with open_pair(pre, post) as pair:
        assert len(pair.notes) == 1


def test_a_world_file_beside_a_tiff_is_told(tmp_path, write_raster, draw):
    paths = [write_raster(tmp_path / f"{i}.tif", draw(40, 60)[i], **UNPLACED) for i in (0, 1)]
    for path, x in zip(paths, (500_000.0, 500_003.0), strict=True):
        path.with_suffix(".tfw").write_text(f"0.5\n0\n0\n-0.5\n{x}\n3300000\n")
    assert "1.tif: its geotransform puts it up to 6 pixels from" in refused(*paths)


def test_one_image_with_a_place_and_one_without_is_refused(tmp_path, scene, draw):
    import cv2

    pre, *_ = scene(40, 60)
    picture = tmp_path / "post.png"
    cv2.imwrite(str(picture), np.zeros((40, 60, 3), np.uint8))
    assert "post.png: no CRS, so its place on the ground is unknown" in refused(pre, picture)
    assert "post.png: no CRS" in refused(picture, pre)
