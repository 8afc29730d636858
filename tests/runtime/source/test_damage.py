"""Blocks that were never written, and data that a decoder makes up."""

from __future__ import annotations

import io
import os
import struct
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from runtime.errors import ImageError
from runtime.source import complaints
from runtime.source.pair import open_pair
from runtime.source.picture import read_image


def erase(path: Path, share: float, length: int = 100, block: str = "1_1") -> None:
    """Zeros in the data of a block of a TIFF."""
    with rasterio.open(path) as file:
        offset, size = (
            int(file.get_tag_item(f"BLOCK_{name}_{block}", "TIFF", bidx=1))
            for name in ("OFFSET", "SIZE")
        )
    begin = int(size * share)
    with path.open("r+b") as file:
        file.seek(offset + begin)
        file.write(bytes(min(length, size - begin)))


CONCEALED = [
    ("jpeg", {}), ("jpeg", {"photometric": "YCBCR"}), ("jpeg", {"jpegtablesmode": 3}),
    ("deflate", {}), ("deflate", {"predictor": 2}), ("deflate", {"interleave": "band"}),
    ("lzw", {}), ("zstd", {}), ("lerc", {}), ("lzma", {}),
]  # fmt: skip


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize(("compress", "options"), CONCEALED)
def test_a_window_with_damaged_data_fails_and_only_that(scene, compress, options, share):
    """Old: JPEG and Deflate gave hundreds of invented buildings."""
    pre, post, *_ = scene(192, 256, compress=compress, **options)
    with open_pair(pre, post) as pair:
        whole = pair.read(0, 0, 192, 256)
    erase(post, share)
    with open_pair(pre, post) as pair:
        # Twice, and then beside: GDAL complains once and keeps what it made up.
        for window in [(50, 50, 40, 40), (50, 50, 40, 40), (100, 100, 90, 90), (0, 0, 192, 256)]:
            with pytest.raises(ImageError, match="post.tif: cannot be read in the") as caught:
                pair.read(*window)
            assert "\n" not in str(caught.value)
        for top, left in [(0, 0), (0, 64), (128, 64), (64, 128)]:
            found = pair.read(top, left, 64, 64)
            for one, all_of_it in zip(found[:2], whole[:2], strict=True):
                part = all_of_it[top : top + 64, left : left + 64]
                np.testing.assert_array_equal(one, part)


@pytest.mark.parametrize("predictor", [1, 2])
@pytest.mark.parametrize("length", [20, 200])
def test_zeros_in_lzw_are_damage(tmp_path, write_raster, predictor, length):
    """Old: decoded without a word, for a zero is a code."""
    large = cv2.resize(np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8), (300, 200))
    path = tmp_path / "a.tif"
    for share in (0.3, 0.6):
        write_raster(
            path, large, compress="lzw", predictor=predictor, blockxsize=256, blockysize=256
        )
        erase(path, share, length, "0_0")
        with open_pair(path, path) as pair, pytest.raises(ImageError, match="cannot be read in"):
            pair.read(0, 0, 64, 64)


@pytest.mark.parametrize("predictor", [1, 2])
@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_good_lzw_of_any_content_is_read(tmp_path, write_raster, predictor, interleave):
    noise = np.random.default_rng(2).integers(0, 256, (512, 512, 4), np.uint8)
    slope = np.broadcast_to((np.arange(512) // 4).astype(np.uint8)[:, None], (512, 512, 4))
    barred = np.where(np.arange(512)[:, None, None] % 37 == 0, 0, noise)
    sparse = np.where(np.arange(512)[:, None, None] % 64 == 0, noise, 0)
    masked = noise.copy()
    masked[..., 3] = 255 * (np.arange(512) > 200)
    black, white = np.zeros_like(noise), np.full_like(noise, 255)
    for number, image in enumerate((noise, slope, barred, sparse, masked, black, white)):
        path = write_raster(
            tmp_path / f"{number}.tif", image, compress="lzw", predictor=predictor,
            interleave=interleave, blockxsize=256, blockysize=256, alpha="UNSPECIFIED",
        )  # fmt: skip
        with open_pair(path, path, bands=(1, 2, 3)) as pair:
            found = pair.read(0, 0, 512, 512)[0]
        np.testing.assert_array_equal(found, image[..., :3])


def test_damage_is_found_where_the_image_is_warped(scene, write_raster):
    pre, post, _, second = scene(192, 256)
    place = rasterio.Affine(0.5, 0, 500_003.3, 0, -0.5, 3_300_001)
    write_raster(post, second, transform=place, compress="jpeg")
    erase(post, 0.3)
    with open_pair(pre, post, align=True) as pair, pytest.raises(ImageError, match="post.tif"):
        pair.read(60, 60, 60, 60)


def test_a_map_has_holes_where_data_are_damaged(scene, mapped):
    pre, post, *_ = scene(192, 256, compress="jpeg", quality=95)
    erase(post, 0.3)
    summary, out = mapped(pre, post)
    assert summary["failed_tiles"]
    with rasterio.open(out / "damage.tif") as file:
        assert (file.read(1)[64:128, 64:128] == 255).all()


def test_threads_of_gdal_hide_no_complaint(scene, monkeypatch):
    monkeypatch.setenv("GDAL_NUM_THREADS", "4")
    pre, post, *_ = scene(192, 256, compress="jpeg")
    erase(post, 0.3)
    with open_pair(pre, post) as pair, pytest.raises(ImageError, match="post.tif"):
        pair.read(0, 0, 192, 256)


@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize("nodata", [None, 0, 9])
@pytest.mark.parametrize("tiled", [True, False])
def test_blocks_that_were_never_written_are_not_data(
    tmp_path, write_raster, draw, interleave, nodata, tiled
):
    """Old: read as 0, mapped as no damage."""
    first, second = draw(128, 128)
    second[(second == (nodata or 0)).all(2)] = 1
    pre = write_raster(tmp_path / "pre.tif", first)
    post = tmp_path / "post.tif"
    blocks = {"tiled": True, "blockxsize": 64, "blockysize": 64} if tiled else {"blockysize": 64}
    with rasterio.open(
        post, "w", driver="GTiff", height=128, width=128, count=3, dtype="uint8",
        crs="EPSG:32614", transform=rasterio.Affine(0.5, 0, 500_000, 0, -0.5, 3_300_000),
        interleave=interleave, nodata=nodata, SPARSE_OK=True, compress="deflate",
        photometric="RGB", **blocks,
    ) as file:  # fmt: skip
        for band in (1, 2, 3):
            file.write(second[:64, ..., band - 1], band, window=((0, 64), (0, 128)))
        if interleave == "band":
            file.write(second[64:, ..., 1], 2, window=((64, 128), (0, 128)))
    for window in [(0, 0, 128, 128), (40, 7, 70, 99)]:
        with open_pair(pre, post) as pair:
            known = pair.read(*window)[2]
        expected = np.arange(128)[:, None].repeat(128, 1) < 64
        top, left, height, width = window
        np.testing.assert_array_equal(known, expected[top : top + height, left : left + width])


def jpeg_of(image: np.ndarray, **options) -> bytearray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=90, **options)
    return bytearray(file.getvalue())


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 8}])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_a_jpeg_with_its_middle_erased_is_refused(tmp_path, draw, options, share):
    """Old: OpenCV decoded it to flat or false colours and it was mapped."""
    image, _ = draw(256, 256)
    content = jpeg_of(image, **options)
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    read_image(path)
    begin = int(len(content) * share)
    content[begin : begin + 200] = bytes(200)
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"a.jpg: a JPEG that is corrupted: .*; copy it again"):
        read_image(path)


def test_a_jpeg_that_lacks_its_second_half_is_refused(tmp_path, draw):
    content = jpeg_of(draw(256, 256)[0])
    path = tmp_path / "a.jpg"
    path.write_bytes(content[: len(content) // 2] + b"\xff\xd9")
    with pytest.raises(ImageError, match="a.jpg: a JPEG that is corrupted"):
        read_image(path)


def test_what_others_say_meanwhile_reaches_stderr(capfd):
    with complaints.of_libjpeg() as messages:
        os.write(2, b"from elsewhere\nCorrupt JPEG data: premature end\n")
    assert messages == ["Corrupt JPEG data: premature end"]
    assert capfd.readouterr().err == "from elsewhere\n"


def test_without_stderr_damage_is_found_all_the_same(tmp_path, draw, python):
    content = jpeg_of(draw(256, 256)[0])
    content[9000:9200] = bytes(200)
    (tmp_path / "a.jpg").write_bytes(content)
    code = f"""
import os
os.close(2)
from runtime.errors import ImageError
from runtime.source.picture import read_image
try:
    read_image({str(tmp_path / "a.jpg")!r})
except ImageError as error:
    print(error)
"""
    assert "a JPEG that is corrupted" in python("-c", code).stdout


def tiff_of(image: np.ndarray, **options) -> bytearray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "TIFF", **options)
    return bytearray(file.getvalue())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiffs_orientation_tag_turns_nothing(tmp_path, draw, orientation):
    image, _ = draw(40, 60)
    path = tmp_path / "a.tif"
    path.write_bytes(tiff_of(image, tiffinfo={274: orientation}))
    np.testing.assert_array_equal(read_image(path), image)
    with open_pair(path, path) as pair:
        np.testing.assert_array_equal(pair.read(0, 0, 40, 60)[0], image)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_damaged_tiff_is_refused_without_gdal(tmp_path, draw, compression, share):
    """Old: OpenCV filled it with black."""
    image, _ = draw(200, 300)
    content = tiff_of(image, compression=compression)
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    np.testing.assert_array_equal(read_image(path), image)
    if compression:
        begin = int(len(content) * share)
        content[begin : begin + 200] = bytes(200)
    else:
        del content[int(len(content) * share) :]
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"a.tif: .*(corrupted|truncated)"):
        read_image(path)


@pytest.mark.parametrize(
    "options",
    [
        {"compress": "lzw"}, {"compress": "lzw", "interleave": "band"}, {"compress": "deflate"},
        {"compress": "deflate", "predictor": 2}, {"BIGTIFF": "YES"}, {"ENDIANNESS": "BIG"},
        {"BIGTIFF": "YES", "ENDIANNESS": "BIG", "compress": "lzw"}, {"tiled": False},
        {"interleave": "band"}, {"blockxsize": 128, "blockysize": 16, "compress": "lzw"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_whole_tiffs_pass_without_gdal(tmp_path, write_raster, draw, options, kind):
    image = draw(150, 230)[0].astype(kind)
    options = {**options, "blockxsize": None, "blockysize": None} if "tiled" in options else options
    path = write_raster(tmp_path / "a.tif", image, **options)
    from runtime.source.picture import _decoded

    if kind == "uint16" and options.get("interleave") == "band":
        with pytest.raises(ImageError, match="16 bits that OpenCV does not read as they are"):
            _decoded(path)
        return
    np.testing.assert_array_equal(_decoded(path)[0], image)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compress": "jpeg"}, "compression 7; that needs rasterio"),
        ({"compress": "packbits"}, "compression 32773; that needs rasterio"),
        ({"skip": True, "SPARSE_OK": True}, "was never written"),
        ({"mask": True}, "with a mask in it"),
    ],
)
def test_what_cannot_be_checked_without_gdal_needs_it(tmp_path, draw, options, message):
    image, _ = draw(128, 128)
    skip, mask = options.pop("skip", False), options.pop("mask", False)
    path = tmp_path / "a.tif"
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path, "w", driver="GTiff", height=128, width=128, count=3, dtype="uint8", tiled=True,
            blockxsize=64, blockysize=64, photometric="RGB", **options,
        ) as file,
    ):  # fmt: skip
        rows = slice(0, 64) if skip else slice(0, 128)
        file.write(np.moveaxis(image[rows], 2, 0), window=((0, rows.stop), (0, 128)))
        if mask:
            file.write_mask(np.eye(128, dtype=bool))
    with pytest.raises(ImageError, match=message):
        read_image(path)


def test_nodata_of_a_tiff_counts_without_gdal(tmp_path, write_raster, draw):
    from runtime.source.contract import Asked
    from runtime.source.picture import open_picture

    image, _ = draw(40, 60)
    image[3:9, 4:8] = 7
    path = write_raster(tmp_path / "a.tif", image, nodata=7)
    known = open_picture(path, Asked()).known
    np.testing.assert_array_equal(known, (image != 7).any(2))


@pytest.mark.parametrize("place", [8, 100, 400])
def test_a_tiff_with_an_impossible_directory_is_refused(tmp_path, place):
    content = struct.pack("<4sI", b"II*\0", place) + b"\xff" * 120
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(ImageError, match="a.tif: a TIFF that is"):
        read_image(tmp_path / "a.tif")


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), name=st.sampled_from(["a.tif", "b.tif", "a.jpg"]))
def test_bytes_changed_anywhere_are_an_image_error_or_an_image(tmp_path, draw, data, name):
    image, _ = draw(40, 60)
    if name == "a.jpg":
        content = jpeg_of(image, optimize=True)
    else:
        content = tiff_of(image, compression="tiff_lzw" if name == "b.tif" else None)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(4, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / name
    path.write_bytes(content)
    with suppress(ImageError):  # and nothing else
        assert read_image(path).shape == image.shape


def test_opencv_is_heard():
    """Where a build of it says nothing, no JPEG is mapped."""
    assert complaints.libjpeg_is_heard()
    assert cv2.__version__
