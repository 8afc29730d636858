"""What is known, against a reference that is written anew here."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin

from runtime.errors import ConfigError, ImageError
from runtime.source.pair import open_pair

UTM = "EPSG:32614"
PLACE = from_origin(500_000, 3_300_000, 0.5, 0.5)
KINDS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
SIZE = (48, 80)
BLOCK = 16


def opened(pre, post, **options):
    with open_pair(pre, post, **options) as pair:
        return pair.read(0, 0, pair.height, pair.width)


def full(kind: str) -> float:
    return 1.0 if kind.startswith("float") else float(np.iinfo(kind).max)


def write(path: Path, bands: np.ndarray, alpha: bool = False, **options) -> Path:
    """[N,H,W]; the last band is labelled alpha if asked. Blocks of SPARSE are not written."""
    mask, skip = options.pop("mask", None), options.pop("skip", None)
    profile = {
        "driver": "GTiff", "height": bands.shape[1], "width": bands.shape[2],
        "count": len(bands), "dtype": bands.dtype, "crs": UTM, "transform": PLACE,
        "tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "photometric": "RGB",
        "SPARSE_OK": True, **options,
    }  # fmt: skip
    if alpha:
        profile["alpha"] = "YES"
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", **profile) as file,
    ):
        for _, window in file.block_windows(1):
            if skip is None or not skip[window.row_off // BLOCK, window.col_off // BLOCK]:
                rows, columns = window.toslices()
                file.write(bands[:, rows, columns], window=window)
        if mask is not None:
            file.write_mask(mask)
    return path


def picture(kind: str, seed: int = 0) -> np.ndarray:
    """[3,H,W] with a few values only, so that nodata are met by chance."""
    random = np.random.default_rng(seed)
    return random.choice(np.array([0, 1, 5, 9, 100]), (3, *SIZE)).astype(kind)


@st.composite
def rasters(draw):
    """What a file holds and declares, and where that says it is known."""
    kind = draw(st.sampled_from(KINDS))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = random.choice(np.array([0, 1, 5, 9, 100]), (3, *SIZE)).astype(kind)
    black = random.random(SIZE) < 0.2
    values[:, black] = 0
    known = np.ones(SIZE, bool)
    options: dict = {}
    if kind.startswith("float") and draw(st.booleans()):
        holes = random.random((3, *SIZE)) < 0.05
        values[holes] = random.choice([np.nan, np.inf, -np.inf], holes.sum())
        known &= np.isfinite(values).all(0)
    nodata = draw(st.sampled_from([None, 0, 5, 100, -9999, 70000, "nan"]))
    if nodata == "nan":
        options["nodata"] = np.nan if kind.startswith("float") else None
    elif nodata is not None:
        floating = kind.startswith("float")
        if floating or np.iinfo(kind).min <= nodata <= np.iinfo(kind).max:
            options["nodata"] = nodata
            known &= ~(values == nodata).all(0)
    asked = draw(st.sampled_from([None, 1, 9]))
    if asked is not None:
        known &= ~(values == asked).all(0)
    bands, alpha = values, draw(st.booleans())
    if alpha:
        opaque = full(kind)
        levels = np.array([0, opaque / 2, opaque], kind)
        band = random.choice(levels, SIZE, p=[0.2, 0.1, 0.7])
        bands = np.concatenate([values, band[None]])
        known &= band == levels[2]
    if draw(st.booleans()):
        options["mask"] = random.random(SIZE) < 0.8
        known &= options["mask"]
    if draw(st.booleans()):
        options["skip"] = random.random((SIZE[0] // BLOCK, SIZE[1] // BLOCK)) < 0.2
        known &= ~options["skip"].repeat(BLOCK, 0).repeat(BLOCK, 1)
    options["interleave"] = draw(st.sampled_from(["pixel", "band"]))
    options["compress"] = draw(st.sampled_from([None, "deflate", "lzw"]))
    return values, bands, alpha, options, asked, known


def shifted(known: np.ndarray, x: float, y: float) -> np.ndarray:
    """Where all that bilinear resampling mixes is known; x, y: pixels to the right and down."""
    height, width = known.shape
    found = np.zeros_like(known)
    for row in range(height):
        for column in range(width):
            v, u = row - y, column - x
            if not (-0.5 <= v < height - 0.5 and -0.5 <= u < width - 0.5):
                continue
            near = [
                known[r, c]
                for r in {int(np.floor(v)), int(np.ceil(v))}
                for c in {int(np.floor(u)), int(np.ceil(u))}
                if 0 <= r < height and 0 <= c < width
            ]
            found[row, column] = all(near)
    return found


SHIFTS = [(0, 0), (3, 2), (2.5, -1.25), (-20.75, 9.5)]


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(raster=rasters(), shift=st.sampled_from(SHIFTS))
def test_known_is_what_every_mask_says(tmp_path, raster, shift):
    values, bands, alpha, options, asked, known = raster
    x, y = shift
    place = from_origin(500_000 + x / 2, 3_300_000 - y / 2, 0.5, 0.5)
    post = write(tmp_path / "post.tif", bands, alpha, transform=place, **options)
    pre = write(tmp_path / "pre.tif", np.full((3, *SIZE), 7, np.uint8))
    scale = None if values.dtype == np.uint8 else (-1e5, 1e5)
    nodata = (None, asked) if asked is not None else ()
    with open_pair(pre, post, align=shift != (0, 0), scale=scale, nodata=nodata) as pair:
        whole = pair.read(0, 0, *SIZE)
        part = pair.read(5, 11, 30, 52)
    expected = shifted(known, x, y)
    found = np.ones(SIZE, bool) if whole[2] is None else whole[2]
    np.testing.assert_array_equal(found, expected)
    found = np.ones((30, 52), bool) if part[2] is None else part[2]
    np.testing.assert_array_equal(found, expected[5:35, 11:63])
    np.testing.assert_array_equal(part[1][found], whole[1][5:35, 11:63][found])
    if x == int(x) and y == int(y) and values.dtype == np.uint8:
        inside = np.zeros(SIZE, bool)
        inside[y:, x:] = True
        expected_pixels = np.roll(values, (y, x), (1, 2))
        np.testing.assert_array_equal(
            whole[1][expected & inside], np.moveaxis(expected_pixels, 0, 2)[expected & inside]
        )


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("kind", KINDS[1:])
def test_the_map_of_other_kinds_is_that_of_8_bits(tmp_path, kind, alpha, align):
    """Old: alpha was compared with 255 in every kind, and 100 % of it was nodata."""
    factor = {"int8": 0.5, "float32": 1 / 256, "float64": 1 / 256}.get(kind, 100)
    random = np.random.default_rng(1)
    pre = random.integers(0, 120, (3, *SIZE)) * 2
    post = random.integers(0, 120, (3, *SIZE)) * 2
    seen = random.random(SIZE) < 0.9
    place = from_origin(500_001, 3_299_999, 0.5, 0.5) if align else PLACE
    found = {}
    for each, by in (("uint8", 1), (kind, factor)):
        opaque = full(each)
        bands = [(image * by).astype(each) for image in (pre, post)]
        if alpha:
            band = np.where(seen, opaque, 0).astype(each)[None]
            bands = [np.concatenate([image, band]) for image in bands]
        paths = [
            write(tmp_path / f"{name}-{each}.tif", image, alpha, transform=where)
            for name, image, where in zip(("pre", "post"), bands, (PLACE, place), strict=True)
        ]
        scale = None if each == "uint8" else (0, 255 * by)
        one, two, known = opened(*paths, align=align, scale=scale)
        found[each] = one, two, np.ones(SIZE, bool) if known is None else known
    for ours, theirs in zip(found[kind], found["uint8"], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert found[kind][2].mean() > 0.5


def test_of_one_band_nodata_is_a_colour_unless_no_colour_has_it(tmp_path):
    """In 8 bits one band of 0 is blue water; -9999 with --scale 0 100 is a hole."""
    values = np.full((3, *SIZE), 50, "int16")
    values[0, 3, 4] = -9999
    values[:, 5, 6] = -9999
    water = np.full((3, *SIZE), 50, np.uint8)
    water[0, 3, 4] = 0
    water[:, 5, 6] = 0
    one = write(tmp_path / "one.tif", values, nodata=-9999)
    two = write(tmp_path / "two.tif", water, nodata=0)
    both = [np.argwhere(~opened(each, each, scale=(0, 100))[2]).tolist() for each in (one, two)]
    assert both == [[[3, 4], [5, 6]], [[5, 6]]]


def test_a_mask_beside_the_file_and_nodata_count_both(tmp_path):
    values = picture("uint8")
    values[:, 0, :7] = 0
    path = write(tmp_path / "a.tif", values, nodata=0)
    mask = np.random.default_rng(2).random(SIZE) < 0.5
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as file:
        file.write_mask(mask)
    assert (tmp_path / "a.tif.msk").exists()
    expected = mask & ~(values == 0).all(0)
    np.testing.assert_array_equal(opened(path, path)[2], expected)


def test_nodata_values_of_gdal_are_one_colour(tmp_path):
    values = picture("uint8")
    path = write(tmp_path / "a.tif", values)
    with rasterio.open(path, "r+") as file:
        file.update_tags(NODATA_VALUES="1 5 9")
    expected = ~((values[0] == 1) & (values[1] == 5) & (values[2] == 9))
    np.testing.assert_array_equal(opened(path, path)[2], expected)


def near_infrared(path: Path) -> Path:
    """Four bands whose last is labelled alpha, as TIFF libraries do by default."""
    bands = np.random.default_rng(3).integers(1, 255, (4, *SIZE), np.uint8)
    write(path, bands, alpha=True)
    with rasterio.open(path) as file:
        assert file.colorinterp[3] == ColorInterp.alpha
    return path


def test_near_infrared_labelled_alpha_is_told_and_bands_can_be_named(tmp_path):
    """Old: everything nodata, exit 0."""
    path = near_infrared(tmp_path / "nir.tif")
    with pytest.raises(ImageError, match=r"nir.tif: band 4 is labelled alpha, .* --bands R G B"):
        opened(path, path)
    with rasterio.open(path) as file:
        bands = file.read()
    pixels, _, known = opened(path, path, bands=(4, 3, 1))
    np.testing.assert_array_equal(pixels, np.moveaxis(bands[[3, 2, 0]], 0, 2))
    assert known is None
    with open_pair(path, path, bands=(1, 2, 3)) as pair:
        assert pair.read(0, 0, *SIZE)[2] is None
        assert "band 4 is labelled alpha and is none" in pair.pre.seen.notes(path, None)[0]


def test_a_true_alpha_band_counts_with_bands_named(tmp_path):
    bands = np.random.default_rng(4).integers(1, 255, (5, *SIZE), np.uint8)
    bands[4] = 255 * (bands[4] > 99)
    path = write(tmp_path / "a.tif", bands, photometric="MINISBLACK")
    with rasterio.open(path, "r+") as file:
        file.colorinterp = (*file.colorinterp[:4], ColorInterp.alpha)
    with pytest.raises(ImageError, match=r"5 band\(s\); .*--bands R G B"):
        opened(path, path)
    pixels, _, known = opened(path, path, bands=(3, 2, 1))
    np.testing.assert_array_equal(pixels, np.moveaxis(bands[2::-1], 0, 2))
    np.testing.assert_array_equal(known, bands[4] == 255)
    with pytest.raises(ImageError, match=r"5 band\(s\), and --bands names band 6"):
        opened(path, path, bands=(1, 2, 6))


@pytest.mark.parametrize(
    ("photometric", "count", "message"),
    [
        ("CMYK", 4, "CMYK"),
        ("CIELAB", 3, "CIELAB"),
        ("MINISBLACK", 1, r"1 band\(s\); expected three"),
        ("PALETTE", 1, "palette"),
    ],
)
def test_other_colours_are_named(tmp_path, photometric, count, message):
    bands = np.random.default_rng(5).integers(0, 255, (count, *SIZE), np.uint8)
    path = tmp_path / "a.tif"
    if photometric == "PALETTE":
        write(path, bands, photometric="MINISBLACK")
        with rasterio.open(
            path, "w", driver="GTiff", height=SIZE[0], width=SIZE[1], count=1, dtype="uint8",
            photometric="PALETTE",
        ) as file:  # fmt: skip
            file.write_colormap(1, {i: (i, i, 255 - i, 255) for i in range(256)})
            file.write(bands)
    else:
        write(path, bands, photometric=photometric)
    with pytest.raises(ImageError, match=message):
        opened(path, path)


@pytest.mark.parametrize(
    ("code", "name"), [(0, "MINISWHITE"), (4, "MASK"), (5, "SEPARATED"), (9, "ICCLAB")]
)
def test_other_colours_that_gdal_does_not_tell_of_are_named(tmp_path, code, name):
    """Old: three bands of any of them were red, green and blue."""
    path = write(tmp_path / "a.tif", picture("uint8"), photometric="MINISBLACK")
    assert opened(path, path)[2] is None
    content = bytearray(path.read_bytes())
    struct.pack_into("<H", content, content.index(struct.pack("<HHI", 262, 3, 1)) + 8, code)
    path.write_bytes(content)
    with pytest.raises(ImageError, match=f"the colours of its 3 band.s. are {name}; expected red"):
        opened(path, path)


def test_what_no_image_has_is_refused(tmp_path):
    from runtime.options import MapOptions

    for wrong in ({"bands": (1, 1, 2)}, {"bands": (0, 1, 2)}, {"scale": (1.0, 2.0, 3.0)}):
        with pytest.raises(ConfigError):
            MapOptions(**wrong)
