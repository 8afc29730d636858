"""Images whose headers ask for more than there is: refused before a byte of them is decoded."""

import io
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from runtime.errors import DataError, ImageError
from runtime.source import limits
from runtime.source.limits import MOST_PIXELS, declared
from runtime.source.pair import open_pair
from runtime.source.picture import read_image

ADAM7 = [
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
    (0, 1, 1, 2),
]  # fmt: skip

PEAK = """
import resource, sys
from pathlib import Path
from runtime.errors import DataError, ImageError
from runtime.source.pair import open_pair
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    with open_pair(Path(sys.argv[1]), Path(sys.argv[1])):
        pass
except ImageError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def png(width: int, height: int, rows: int, interlaced: int = 0) -> bytes:
    """An RGB PNG that declares width x height and holds black rows."""
    stream, row = zlib.compressobj(1), bytes(1 + 3 * width)
    data = b"".join([*(stream.compress(row) for _ in range(rows)), stream.flush()])
    return whole(width, height, data, interlaced)


def packed(shape: tuple[int, ...], rows: bytes, interlaced: bool) -> bytes:
    """An RGB PNG of [H,W,3] whose rows are given with their filters."""
    return whole(shape[1], shape[0], zlib.compress(rows), int(interlaced))


def whole(width: int, height: int, data: bytes, interlaced: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, interlaced)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", data), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def jpeg(width: int, height: int) -> bytes:
    """A small JPEG whose header declares width x height."""
    content = bytearray(cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    at = content.index(b"\xff\xc0")
    struct.pack_into(">HH", content, at + 5, height, width)
    return bytes(content)


def tiff(width: int, height: int, order: str = "<") -> bytes:
    """The header of a TIFF that declares width x height."""
    entries = [(256, 4, 1, width), (257, 4, 1, height)]
    body = b"".join(struct.pack(order + "HHII", *each) for each in entries)
    begin = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
    return begin + struct.pack(order + "H", len(entries)) + body + bytes(4)


def refused(path: Path) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_picture_that_unpacks_to_more_than_memory_is_refused_by_its_header(tmp_path, python):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(12_000, 12_000, 12_000))
    assert path.stat().st_size < 4 << 20
    run = python("-c", PEAK, path)
    message, taken = run.stdout.splitlines()
    assert message.startswith(
        f"{path}: 12000x12000 pixels (height x width) of 8 bits, and a picture may have"
    )
    assert "gdal_translate -co TILED=YES" in message
    assert int(taken) < 20


def test_a_stream_that_unpacks_to_more_than_the_header_says_is_left_early(tmp_path, python):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(8_000, 10, 20_000))
    run = python("-c", PEAK, path)
    message, taken = run.stdout.splitlines()
    assert "its pixel data unpacks to" in message
    assert int(taken) < 40


@pytest.mark.parametrize(
    "content",
    [png(65_500, 65_500, 1), png(65_500, 65_500, 1, interlaced=1), jpeg(65_500, 65_500),
     tiff(1 << 20, 1 << 20), tiff(1 << 20, 1 << 20, ">")],
    ids=["png", "interlaced", "jpeg", "tiff", "big-endian"],
)  # fmt: skip
def test_the_header_is_enough(tmp_path, content):
    (tmp_path / "a.img").write_bytes(content)
    assert f"a picture may have {MOST_PIXELS} pixels" in refused(tmp_path / "a.img")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_what_a_header_declares_is_what_the_picture_has(kind):
    content = io.BytesIO()
    Image.new("RGB", (37, 21)).save(content, kind)
    content.seek(0)
    assert declared(content) == (21, 37, 8)


def test_what_bigtiff_declares_is_what_it_has(tmp_path, write_raster):
    path = write_raster(tmp_path / "a.tif", np.zeros((21, 37, 3), np.uint8), BIGTIFF="YES")
    with path.open("rb") as file:
        assert file.read(4) == b"II+\0"
        file.seek(0)
        assert declared(file) == (21, 37, 8)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"II*\0",
        b"II*\0\xff\xff\xff\xff",
        b"II+\0" + b"\xff" * 20,
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xe1\xff\xff",
        b"text",
    ],
)
def test_a_header_that_breaks_off_declares_nothing(content):
    assert declared(io.BytesIO(content)) is None


def test_a_jpeg_that_never_comes_to_its_pixels_is_left(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8" + b"\xff" * (1 << 22))
    assert "segments before its pixels" in refused(tmp_path / "a.jpg")


def test_a_jpeg_that_is_drawn_a_thousand_times_is_refused(tmp_path):
    content = io.BytesIO()
    Image.new("RGB", (64, 64)).save(content, "JPEG", progressive=True)
    whole = content.getvalue()
    assert read_image(_written(tmp_path / "b.jpg", whole)).shape == (64, 64, 3)
    scan = whole[whole.rindex(b"\xff\xda") : -2]
    (tmp_path / "a.jpg").write_bytes(whole[:-2] + scan * 1000 + whole[-2:])
    assert "scans, expected at most" in refused(tmp_path / "a.jpg")


def test_a_file_that_no_picture_fills_is_not_read(tmp_path):
    with (tmp_path / "a.png").open("wb") as file:
        file.write(png(64, 64, 64))
        file.truncate(limits.MOST_BYTES + 1)
    assert f"{limits.MOST_BYTES} bytes, because it is decoded whole" in refused(tmp_path / "a.png")


def test_what_has_no_end_is_no_picture(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    assert "a device or a pipe" in refused(tmp_path / "pipe.png")
    assert "a device or a pipe" in refused(Path("/dev/zero"))


def test_a_png_in_a_million_pieces_is_refused(tmp_path):
    empty = struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    whole = png(8, 8, 8)
    at = whole.index(b"IDAT") - 4
    (tmp_path / "a.png").write_bytes(whole[:at] + empty * (1 << 19) + whole[at:])
    assert "a PNG in over 262144 pieces" in refused(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(whole[:at] + empty * 9 + whole[at:])
    assert read_image(tmp_path / "b.png").shape == (8, 8, 3)


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_a_label_larger_than_any_is_refused_unread(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    label = tmp_path / "a.json"
    with label.open("wb") as file:
        file.truncate(limits.MOST_LABEL_BYTES + 1)
    for path, message in (
        (label, "bytes; expected an xBD label"),
        (Path("/dev/zero"), "not a file"),
    ):
        with (
            pytest.raises(DataError, match=f"{path}: .*{message}"),
            open_pair(tmp_path / "a.png", tmp_path / "a.png", label=path),
        ):
            pass


def test_a_picture_of_16_bits_may_have_fewer_pixels(tmp_path):
    content = bytearray(png(5_000, 5_000, 1))
    content[24] = 16
    (tmp_path / "a.png").write_bytes(content)
    assert "5000x5000 pixels (height x width) of 16 bits, and" in refused(tmp_path / "a.png")


@pytest.mark.parametrize("at", [24, 25, 26, 27, 28])
def test_a_png_of_no_known_kind_is_told_by_us_alone(tmp_path, capfd, at):
    content = bytearray(png(8, 8, 8))
    content[at] = 77
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    (tmp_path / "a.png").write_bytes(content)
    assert "its IHDR is invalid" in refused(tmp_path / "a.png")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (3, 2), (8, 8), (37, 21), (5, 9)])
def test_every_row_of_a_png_begins_with_a_filter(tmp_path, capfd, interlaced, size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    content = tmp_path / "a.png"
    rows = [
        image[y::down, x::across]
        for x, y, across, down in (ADAM7 if interlaced else [(0, 0, 1, 1)])
        if image[y::down, x::across].size
    ]
    lines = [b"\0" + line.tobytes() for each in rows for line in each]
    content.write_bytes(packed(image.shape, b"".join(lines), interlaced))
    np.testing.assert_array_equal(read_image(content), image)
    for number in range(len(lines)):
        wrong = [*lines[:number], b"\5" + lines[number][1:], *lines[number + 1 :]]
        content.write_bytes(packed(image.shape, b"".join(wrong), interlaced))
        assert "a row of it has an unknown filter" in refused(content)
    content.write_bytes(packed(image.shape, b"".join(lines)[:-1], interlaced))
    assert "its pixel data unpacks to" in refused(content)
    content.write_bytes(packed(image.shape, b"".join(lines) + b"\0", interlaced))
    assert "its pixel data unpacks to" in refused(content)
    assert capfd.readouterr() == ("", "")


def test_what_else_is_in_a_png_is_not_unpacked(tmp_path, capfd):
    whole = png(8, 8, 8)
    bomb = b"a\0\0" + zlib.compress(bytes(64 << 20), 9)
    odd = [
        chunk(b"iCCP", bomb),
        chunk(b"zTXt", bomb),
        chunk(b"gAMA", b""),
        chunk(b"acTL", bytes(8)),
    ]
    at = whole.index(b"IDAT") - 4
    (tmp_path / "a.png").write_bytes(whole[:at] + b"".join(odd) + whole[at:])
    assert not read_image(tmp_path / "a.png").any()
    assert capfd.readouterr() == ("", "")
