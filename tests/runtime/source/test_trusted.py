"""Rasters that point elsewhere, or whose blocks are larger than memory."""

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

from runtime.errors import ImageError

pytest.importorskip("rasterio")

import rasterio

from runtime.source.pair import open_pair
from runtime.source.trusted import MOST_PIXELS_A_SIDE

SIZE = 64
DESCRIPTION = (
    '<VRTDataset rasterXSize="64" rasterYSize="64">'
    '<VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
    '<SourceFilename relativeToVRT="0">{0}</SourceFilename><SourceBand>1</SourceBand>'
    "</SimpleSource></VRTRasterBand></VRTDataset>"
)


@pytest.fixture
def image(tmp_path, write_raster, draw):
    return write_raster(tmp_path / "a.tif", draw(SIZE, SIZE)[0])


def read(path: Path, twin: Path) -> None:
    """All that mapping a pair reads of an image, first and second."""
    for pre, post in ((path, twin), (twin, path)):
        with open_pair(pre, post, align=True) as pair:
            pair.read(0, 0, SIZE, SIZE)
            pair.post.reduced(0, 0, SIZE, SIZE, (8, 8))


def window(path: Path) -> tuple:
    with open_pair(path, path) as pair:
        return pair.pre.read(0, 0, SIZE, SIZE)


def refused(path: Path, twin: Path) -> str:
    with pytest.raises(ImageError) as caught:
        read(path, twin)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def twin(image):
    return Path(shutil.copy(image, image.with_name("b.tif")))


@pytest.mark.parametrize("name", ["x.tif", "x.vrt", "x.png", "x.jp2", "x.xml"])
@pytest.mark.parametrize(
    "text",
    [
        DESCRIPTION,
        "<GDAL_WMS><Service name='TMS'><ServerUrl>{0}</ServerUrl></Service></GDAL_WMS>",
        "{0}",
        "GTIFF_DIR:1:a.tif",
    ],
    ids=["VRT", "WMS", "address", "directory"],
)
def test_a_description_of_an_image_is_none(tmp_path, listener, twin, name, text):
    path = tmp_path / name
    path.write_text(text.format(f"/vsicurl/{listener.address}a.tif"))
    assert "not an image in a known format" in refused(path, twin)
    assert not listener.calls()


@pytest.mark.parametrize(
    "name",
    ["/vsicurl/{0}a.tif", "{0}a.tif", "zip+{0}a.zip!a.tif", "GTIFF_DIR:1:{1}", "/vsizip/{1}/a.tif",
     "/vsisubfile/0_100,{1}", "s3://bucket/a.tif"],
)  # fmt: skip
def test_what_is_no_file_is_no_image(listener, twin, name):
    path = Path(name.format(listener.address, twin))
    assert f"{path}: no such image" in refused(path, twin)
    assert not listener.calls()


@pytest.mark.parametrize(
    "name",
    ["GTIFF_DIR:1:a.tif", "http:a.tif", "a!b.tif", "a?b#c.tif", "a%20b.tif", "a\nb.tif",
     "é {0}.tif", "s3:a.tif", "DERIVED_SUBDATASET:LOGAMPLITUDE:a.tif"],
)  # fmt: skip
def test_any_name_of_a_file_is_that_file(tmp_path, monkeypatch, twin, name):
    monkeypatch.chdir(tmp_path)
    shutil.copy(twin, name)
    assert np.array_equal(window(Path(name))[0], window(twin)[0])
    read(Path(name), twin)


@pytest.mark.parametrize(
    "address", ["/vsicurl/{0}o.tif", "{0}o.tif", "/vsicurl_streaming/{0}o.tif", "other.vrt"]
)
@pytest.mark.parametrize("where", ["file", "xml", "XML"])
def test_overviews_in_another_file_are_refused(tmp_path, listener, image, twin, address, where):
    other = address.format(listener.address)
    if where == "file":
        with rasterio.open(image, "r+") as file:
            file.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=other)
    else:
        text = f'<Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{other}</MDI></Metadata>'
        if where == "XML":
            text = text.replace("domain", "Domain").replace("OVERVIEWS", "overvie&#87;s")
        (tmp_path / "a.tif.aux.xml").write_text(f"<PAMDataset>{text}</PAMDataset>")
    assert "name another file that holds its overviews" in refused(image, twin)
    assert not listener.calls()


@pytest.mark.parametrize(
    "name", ["a.tif.ovr", "a.tif.msk", "a.tif.OVR", "a.ovr", "a.tif.msk.ovr", "a.tif.ovr.ovr"]
)
def test_a_description_beside_an_image_is_refused(tmp_path, listener, image, twin, name):
    path = tmp_path / name
    path.write_text(DESCRIPTION.format(f"/vsicurl/{listener.address}m.tif"))
    assert f"{path}: GDAL reads it with a.tif; expected a TIFF" in refused(image, twin)
    assert not listener.calls()


def test_a_mask_whose_overviews_are_elsewhere_is_refused(tmp_path, listener, image, twin):
    mask = tmp_path / "a.tif.msk"
    shutil.copy(twin, mask)
    with rasterio.open(mask, "r+") as file:
        file.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=f"{listener.address}o.tif")
    assert f"{mask}: its metadata name another file" in refused(image, twin)
    assert not listener.calls()


def test_files_of_erdas_are_not_followed(tmp_path, image, twin):
    (tmp_path / "a.aux").write_bytes(b"EHFA_HEADER_TAG\0" + bytes(100))
    assert "a.aux: GDAL reads it, and files that it names" in refused(image, twin)
    (tmp_path / "a.aux").write_text("\\relax")  # LaTeX's
    read(image, twin)


def test_broken_xml_beside_an_image_is_refused(tmp_path, image, twin):
    (tmp_path / "a.tif.aux.xml").write_text("<PAMDataset>")
    assert "a.tif.aux.xml: GDAL reads it with a.tif, and it is no XML" in refused(image, twin)


def test_what_belongs_to_an_image_is_read(tmp_path, image, twin):
    with rasterio.Env(TIFF_USE_OVR="YES"), rasterio.open(image, "r+") as file:
        file.build_overviews([2, 4])
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK="NO"), rasterio.open(image, "r+") as file:
        file.write_mask(np.arange(SIZE * SIZE).reshape(SIZE, SIZE) % 2 == 0)
    (tmp_path / "a.tif.aux.xml").write_text(
        '<PAMDataset><Metadata><MDI key="a">b</MDI></Metadata></PAMDataset>'
    )
    assert {"a.tif.ovr", "a.tif.msk"} <= {each.name for each in tmp_path.iterdir()}
    known = window(image)[1]
    assert known.sum() == SIZE * SIZE // 2
    read(image, twin)


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("options", [{"compress": "deflate"}, {}])
def test_a_block_larger_than_memory_is_refused_unread(tmp_path, twin, image, options, beside):
    """GDAL would take 4 GB for one of its bands."""
    path = tmp_path / ("a.tif.ovr" if beside else "x.tif")
    with rasterio.open(
        path, "w", driver="GTiff", height=70_000, width=70_000, count=3, dtype="uint8",
        photometric="RGB", tiled=True, blockxsize=65_536, blockysize=65_536, SPARSE_OK=True,
        BIGTIFF="YES", **options,
    ):  # fmt: skip
        pass
    assert path.stat().st_size < 1000
    message = refused(image if beside else path, twin)
    assert f"{path}: stored in blocks of 65536x65536 pixels, each 12288 MiB unpacked" in message
    assert "gdal_translate -co TILED=YES" in message


def test_a_scene_that_cannot_be_is_refused_by_its_header(tmp_path, twin):
    path = tmp_path / "x.tif"
    with rasterio.open(
        path, "w", driver="GTiff", height=10**6, width=10**6, count=3, dtype="uint8",
        photometric="RGB", tiled=True, blockxsize=4096, blockysize=4096, SPARSE_OK=True,
        BIGTIFF="YES",
    ):  # fmt: skip
        pass
    message = refused(path, twin)
    assert (
        f"1000000x1000000 pixels (height x width), expected at most {MOST_PIXELS_A_SIDE}" in message
    )


def test_sixty_thousand_bands_are_refused(tmp_path, twin):
    path = tmp_path / "x.tif"
    with rasterio.open(
        path, "w", driver="GTiff", height=8, width=8, count=65_535, dtype="uint8", SPARSE_OK=True
    ):
        pass
    assert f"{path}: 65535 band(s)" in refused(path, twin)


def test_a_crs_whose_name_is_not_utf8_is_one_line(tmp_path, write_raster, twin):
    path = write_raster(tmp_path / "x.tif", np.zeros((8, 8, 3), np.uint8), crs="EPSG:4326")
    content = path.read_bytes()
    of_code, of_user = (struct.pack("<4H", 2048, 0, 1, code) for code in (4326, 32767))
    assert of_code in content
    assert b"WGS 84|" in content
    content = content.replace(of_code, of_user).replace(b"WGS 84|", b"\xd6GS 84|")
    path.write_bytes(content)
    assert f"{path}: cannot be opened as a raster ('utf-8' codec" in refused(path, twin)


def test_a_directory_outside_of_the_file_is_refused(tmp_path, image, twin):
    content = bytearray(image.read_bytes())
    content[4:8] = b"\xf0\xff\xff\xff"
    image.write_bytes(content)
    assert f"{image}: a TIFF that is truncated or corrupted" in refused(image, twin)


def test_a_mask_in_the_file_with_a_block_larger_than_memory_is_refused(tmp_path, image, twin):
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK="YES"), rasterio.open(image, "r+") as file:
        file.write_mask(np.arange(SIZE * SIZE).reshape(SIZE, SIZE) % 2 == 0)
    content = bytearray(image.read_bytes())
    for tag in (322, 323):  # the last of each: the mask's
        at = content.rindex(struct.pack("<HHI", tag, 3, 1))
        struct.pack_into("<HHII", content, at, tag, 4, 1, 1 << 20)
    image.write_bytes(content)
    assert "stored in blocks of 1048576x1048576 pixels" in refused(image, twin)


def test_directories_in_a_circle_are_refused(tmp_path, image, twin):
    content = bytearray(image.read_bytes())
    (at,) = struct.unpack_from("<I", content, 4)
    (tags,) = struct.unpack_from("<H", content, at)
    struct.pack_into("<I", content, at + 2 + 12 * tags, at)
    image.write_bytes(content)
    assert "a TIFF with over 256 images in it" in refused(image, twin)


def test_a_block_where_no_file_reaches_says_nothing_itself(tmp_path, write_raster, twin, capfd):
    path = write_raster(
        tmp_path / "x.tif", np.zeros((8, 8, 3), np.uint8), BIGTIFF="YES", tiled=False
    )
    content = bytearray(path.read_bytes())
    at = content.index(struct.pack("<HH", 273, 16))
    struct.pack_into("<HHQQ", content, at, 273, 16, 1, (1 << 63) + 8)
    path.write_bytes(content)
    assert "blocks of it lie where no file reaches" in refused(path, twin)
    assert capfd.readouterr() == ("", "")


def test_a_mask_in_the_file_and_one_beside_it_are_refused(tmp_path, image, twin):
    """Old: what the one in the file hides was known."""
    halves = np.arange(SIZE * SIZE).reshape(SIZE, SIZE) % 2 == 0
    for path, inside in ((image, "YES"), (twin, "NO")):
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=inside), rasterio.open(path, "r+") as file:
            file.write_mask(halves)
    read(image, twin)  # one each
    beside = Path(shutil.copy(tmp_path / "b.tif.msk", tmp_path / "a.tif.MSK"))
    assert refused(image, twin).startswith(
        f"{image}: it has a mask in it and {beside.name} beside it"
    )
