import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from runtime.errors import ImageError
from runtime.output.png import write_png
from runtime.source.contract import Asked
from runtime.source.picture import open_picture, read_image, read_pair

RNG = np.random.default_rng(3)
RGB = RNG.integers(0, 256, (24, 40, 3), dtype=np.uint8)


def save(path, array=RGB, **options):
    """Written by Pillow, so that OpenCV does not check itself."""
    Image.fromarray(array).save(path, **options)
    return path


def refused(path) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", ["a.png", "a.tif", "named_wrongly.jpg"])
def test_lossless_files_give_their_exact_pixels(tmp_path, name):
    image = read_image(save(tmp_path / name, format="TIFF" if name.endswith("tif") else "PNG"))
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, RGB)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate"])
def test_compressed_tiff_is_read(tmp_path, compression):
    path = save(tmp_path / "a.tif", compression=compression)
    np.testing.assert_array_equal(read_image(path), RGB)


@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_is_read_as_rgb(tmp_path, progressive):
    red = np.zeros((24, 40, 3), np.uint8)
    red[..., 0] = 200
    image = read_image(save(tmp_path / "a.jpg", red, quality=95, progressive=progressive))
    assert np.abs(image.astype(int) - red).max() < 5


def test_an_orientation_tag_does_not_turn_the_pixel_grid(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("a.png", "a.jpg"):
        assert read_image(save(tmp_path / name, exif=exif)).shape == RGB.shape


def test_interlaced_png_is_read(tmp_path):
    """Adam7, written by hand: neither Pillow nor OpenCV writes it."""
    raw = b""
    for x0, y0, dx, dy in (
        *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4)),
        *((1, 0, 2, 2), (0, 1, 1, 2)),
    ):
        for row in RGB[y0::dy, x0::dx]:
            raw += b"\0" + row.tobytes()
    path = tmp_path / "a.png"
    path.write_bytes(png_of(header(40, 24, interlace=1), zlib.compress(raw)))
    np.testing.assert_array_equal(read_image(path), RGB)


@pytest.mark.parametrize(
    ("name", "array", "mode", "found", "advice"),
    [
        ("a.png", RGB[..., 0], None, "8-bit grey PNG", "colour product"),
        ("a.png", np.dstack([RGB, RGB[..., 0]]), None, "8-bit RGBA PNG", "-b 1 -b 2 -b 3"),
        ("a.png", RGB, "P", "8-bit palette PNG", "-expand rgb"),
        ("a.png", RGB, "LA", "grey with alpha", "colour product"),
        ("a.png", RGB, "1", "1-bit grey PNG", "colour product"),
        ("a.jpg", RGB[..., 0], None, "8-bit grey JPEG", "colour product"),
        ("a.jpg", RGB, "CMYK", "8-bit CMYK JPEG", "-b 1 -b 2 -b 3"),
        ("a.tif", RGB[..., 0], None, "1 band(s) of 8-bit grey TIFF", "colour product"),
        ("a.tif", np.dstack([RGB, RGB[..., 0]]), None, "4 band(s)", "-b 1 -b 2 -b 3"),
    ],
)
def test_other_pixels_than_8_bit_rgb_are_named(tmp_path, name, array, mode, found, advice):
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(tmp_path / name)
    message = refused(tmp_path / name)
    assert found in message
    assert "expected 8-bit RGB (three bands)" in message
    assert advice in message


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_images_are_refused_with_the_way_to_scale_them(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    assert cv2.imwrite(str(path), RGB.astype(np.uint16) * 8)
    message = refused(path)
    assert "16" in message
    assert "-ot Byte -scale" in message


def test_a_colour_named_transparent_keeps_its_pixels(tmp_path):
    """xBD's files do that with black; their three bands are complete."""
    transparent = tuple(int(value) for value in RGB[3, 4])
    path = save(tmp_path / "a.png", transparency=transparent)
    np.testing.assert_array_equal(read_image(path), RGB)


def test_real_xbd_images_are_read_as_pillow_reads_them(xbd_sample):
    for path in sorted(xbd_sample.glob("*/images/*.png"))[:4]:
        with Image.open(path) as image:
            expected = np.asarray(image.convert("RGB"))
        np.testing.assert_array_equal(read_image(path), expected)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_a_file_cut_anywhere_is_refused(tmp_path, name):
    content = save(tmp_path / name).read_bytes()
    cuts = {0, 1, 2, 3, 8, 11, 20, len(content) // 3, len(content) // 2}
    cuts |= {len(content) - n for n in (1, 2, 3, 4, 8, 11, 12, 13, 16)}
    for cut in cuts:
        if name == "a.tif" and cut > len(content) - 4:
            continue  # the last bytes of Pillow's TIFF may be padding
        (tmp_path / name).write_bytes(content[:cut])
        refused(tmp_path / name)


def test_truncation_is_called_truncation(tmp_path):
    for name in ("a.png", "a.jpg", "a.tif"):
        content = save(tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        assert "truncated" in refused(tmp_path / name)


def test_zeros_after_a_jpeg_are_allowed(tmp_path):
    path = save(tmp_path / "a.jpg")
    before = read_image(path)
    path.write_bytes(path.read_bytes() + bytes(100))
    np.testing.assert_array_equal(read_image(path), before)


def test_a_thumbnails_end_does_not_pass_for_the_images(tmp_path):
    """An EXIF segment holds a whole JPEG; cut right behind it, the file ends with FF D9."""
    content = save(tmp_path / "a.jpg").read_bytes()
    segment = b"\xff\xe1" + struct.pack(">H", 2 + len(content)) + content
    (tmp_path / "b.jpg").write_bytes(content[:2] + segment)
    assert "truncated" in refused(tmp_path / "b.jpg")
    (tmp_path / "b.jpg").write_bytes(content[:2] + segment + content[2:])
    np.testing.assert_array_equal(read_image(tmp_path / "b.jpg"), read_image(tmp_path / "a.jpg"))


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_one_flipped_bit_anywhere_in_a_png_is_refused(tmp_path, place, bit):
    content = bytearray(save(tmp_path / "a.png").read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    (tmp_path / "a.png").write_bytes(content)
    refused(tmp_path / "a.png")


def test_a_corrupted_chunk_is_named(tmp_path):
    content = bytearray(save(tmp_path / "a.png").read_bytes())
    content[content.index(b"IDAT") + 20] ^= 1
    (tmp_path / "a.png").write_bytes(content)
    assert "the checksum of its IDAT chunk at byte" in refused(tmp_path / "a.png")


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def header(width, height, interlace=0, bits=8, colour=2):
    return struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlace)


def png_of(ihdr, *data):
    body = b"".join(chunk(b"IDAT", each) for each in data)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", ihdr) + body + chunk(b"IEND", b"")


@pytest.mark.parametrize("colour", [2, 0])
@pytest.mark.parametrize(
    ("extra", "complaint"),
    [
        (chunk(b"IHDR", header(40, 24)), "a second IHDR lies at byte 33"),
        (chunk(b"IHDR", b""), "a second IHDR"),
        (chunk(b"ABCD", b"x"), "no decoder here knows its ABCD chunk"),
        (chunk(b"IEND", b"x"), "its IEND holds 1 bytes"),
    ],
)
def test_a_png_with_chunks_out_of_place_is_refused_in_one_line(
    tmp_path, capfd, colour, extra, complaint
):
    channels = 3 if colour == 2 else 1
    raw = zlib.compress((b"\0" + bytes(40 * channels)) * 24)
    whole = png_of(header(40, 24, colour=colour), raw)
    for place in (33, len(whole) - 12):  # behind IHDR, before IEND
        (tmp_path / "a.png").write_bytes(whole[:place] + extra + whole[place:])
        message = refused(tmp_path / "a.png")
        assert place != 33 or complaint in message
    assert capfd.readouterr() == ("", "")  # libpng has not seen it


@pytest.mark.parametrize("rows", [0, 10, 23, 25])
def test_a_png_of_whole_chunks_with_other_rows_than_promised_is_refused(tmp_path, rows):
    raw = (b"\0" + RGB[0].tobytes()) * rows
    (tmp_path / "a.png").write_bytes(png_of(header(40, 24), zlib.compress(raw)))
    assert "24 rows need" in refused(tmp_path / "a.png")


def test_a_png_whose_stream_stops_is_refused(tmp_path):
    raw = zlib.compress((b"\0" + RGB[0].tobytes()) * 24)
    (tmp_path / "a.png").write_bytes(png_of(header(40, 24), raw[:-6]))
    assert "truncated or corrupted" in refused(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(png_of(header(40, 24)))
    assert "truncated or corrupted" in refused(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(png_of(header(40, 24), b"no zlib"))
    assert "cannot be unpacked" in refused(tmp_path / "a.png")


@pytest.mark.parametrize(
    "ihdr", [b"", header(0, 24), header(40, 0), header(40, 24, colour=7), header(2**31, 2**31)]
)
def test_an_impossible_png_header_is_refused(tmp_path, ihdr):
    (tmp_path / "a.png").write_bytes(png_of(ihdr, zlib.compress(b"")))
    refused(tmp_path / "a.png")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    start=st.sampled_from(
        [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"\xff\xd8\xff\xda"]
    ),
    rest=st.binary(max_size=80),
)
def test_noise_is_always_an_image_error(tmp_path, start, rest):
    (tmp_path / "a").write_bytes(start + rest)
    refused(tmp_path / "a")


def test_missing_empty_and_foreign_files_are_named(tmp_path):
    assert "no such image" in refused(tmp_path / "none.png")
    assert "a folder" in refused(tmp_path)
    (tmp_path / "a.png").touch()
    assert "empty" in refused(tmp_path / "a.png")
    (tmp_path / "a.png").write_text("GIF89a")
    assert "expected PNG, JPEG or TIFF" in refused(tmp_path / "a.png")


def test_a_pair_is_read_in_order(tmp_path):
    pre, post = read_pair(save(tmp_path / "a.png"), save(tmp_path / "b.png", 255 - RGB))
    np.testing.assert_array_equal(pre, RGB)
    np.testing.assert_array_equal(post, 255 - RGB)


def test_a_pair_of_two_sizes_names_both_files(tmp_path):
    a, b = save(tmp_path / "a.png"), save(tmp_path / "b.png", RGB[:20])
    with pytest.raises(ImageError, match=r"b\.png: 20x40, but .*a\.png is 24x40"):
        read_pair(a, b)


@pytest.mark.parametrize("array", [RGB, RGB[..., 0], RGB[:, ::-2]])
def test_a_written_png_holds_the_array(tmp_path, array):
    write_png(tmp_path / "a.png", array)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), array)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def pam(*children: str) -> str:
    return f"<PAMDataset><PAMRasterBand band='1'>{''.join(children)}</PAMRasterBand></PAMDataset>"


STATISTICS = "<Metadata><MDI key='STATISTICS_MEAN'>97.5</MDI></Metadata>"


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
@pytest.mark.parametrize(
    ("ending", "text", "message"),
    [
        (".msk", "II*", "the mask of {0}, .* gdal_translate -mask"),
        (".AUX.XML", pam("<NoDataValue> 7</NoDataValue>"), "declares 7 of {0} .*--nodata 7 says"),
        (
            ".aux.xml",
            pam("<Metadata><MDI key='NODATA_VALUES'>1 2 3</MDI></Metadata>"),
            "declares 1 2 3 of {0} .*: gdal_translate",
        ),
        (".aux.xml", "<PAMDataset>", "no XML .*; move it away"),
    ],
)
def test_masks_beside_a_picture_are_not_passed_over(tmp_path, name, ending, text, message):
    """Old: what they hide was known."""
    path = save(tmp_path / name)
    beside = tmp_path / (name + ending)
    beside.write_text(text)
    with pytest.raises(ImageError, match=message.format(name)) as caught:
        open_picture(path, Asked())
    assert str(caught.value).startswith(f"{beside}: ")
    assert "\n" not in str(caught.value)
    beside.rename(tmp_path / f"another{ending}")
    (tmp_path / f"{name}.aux.xml").write_text(pam(STATISTICS))
    assert open_picture(path, Asked()).known is None
