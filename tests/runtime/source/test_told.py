"""What is told of images: nothing is known, a border of one value, scales that do not fit."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
from PIL import Image

from runtime import predict
from runtime.errors import ConfigError, ImageError
from runtime.source.pair import open_pair
from runtime.source.seen import Seen

UTM = "EPSG:32614"
EXPECTED = "; expected an image that shows the ground"


def place(x: float = 0.0, y: float = 0.0) -> rasterio.Affine:
    return rasterio.Affine(0.5, 0, 500_000 + x, 0, -0.5, 3_300_000 + y)


@pytest.fixture
def refused(mapped, tmp_path):
    """The one line of a pair that cannot be mapped, which leaves nothing behind."""

    def call(pre, post, **options) -> str:
        with pytest.raises(ImageError) as caught:
            mapped(pre, post, **options)
        assert not (tmp_path / "out").exists()
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return call


def told(summary: dict, words: str) -> list[str]:
    """The notes with these words: flat ground has others, too."""
    return [note for note in summary["notes"] if words in note]


def with_alpha(image: np.ndarray, alpha: int) -> np.ndarray:
    return np.dstack([image, np.full(image.shape[:2], alpha, image.dtype)])


def test_an_alpha_that_shows_nothing_is_named(scene, write_raster, refused):
    pre, post, first, _ = scene(64, 96)
    write_raster(pre, with_alpha(first, 0), alpha="YES")
    assert refused(pre, post) == (
        f"{pre}: not one pixel is known: its alpha, band 4, is nowhere 255, which is opaque in "
        f"uint8{EXPECTED}"
    )


def test_an_alpha_of_8_bits_in_16_is_named(scene, write_raster, refused):
    pre, post, first, second = scene(64, 96)
    deep = with_alpha(first.astype(np.uint16), 255)
    write_raster(pre, deep, alpha="YES")
    write_raster(post, second)
    line = refused(pre, post, scale=(0, 255))
    assert f"{pre}: not one pixel is known: its alpha, band 4, is nowhere 65535" in line


def test_nodata_that_is_everything_is_named(scene, write_raster, refused):
    pre, post, _, second = scene(64, 96)
    write_raster(post, second * 0, nodata=0)
    line = refused(pre, post)
    assert line == f"{post}: not one pixel is known: every pixel of it is its nodata, 0{EXPECTED}"


def test_what_nodata_asks_for_is_named(scene, write_raster, refused):
    pre, post, _, second = scene(64, 96)
    write_raster(post, second * 0 + 9)
    line = refused(pre, post, nodata=(None, 9.0))
    assert (
        line
        == f"{post}: not one pixel is known: every pixel of it is what --nodata says, 9{EXPECTED}"
    )


def test_nodata_that_no_pixel_can_have_is_refused(scene, mapped):
    pre, post, *_ = scene(64, 96)
    with pytest.raises(ConfigError, match=r"--nodata -9999: no pixel of .*pre.tif can have it"):
        mapped(pre, post, nodata=(-9999.0,))


def test_blocks_of_which_none_was_written_are_named(scene, refused):
    pre, post, *_ = scene(64, 96)
    with rasterio.open(
        post, "w", driver="GTiff", height=64, width=96, count=3, dtype="uint8", crs=UTM,
        transform=place(), SPARSE_OK=True,
    ):  # fmt: skip
        pass
    line = refused(pre, post)
    assert line == f"{post}: not one pixel is known: none of its blocks was ever written{EXPECTED}"


def test_masks_that_leave_nothing_together_are_listed(scene, write_raster, refused):
    pre, post, first, _ = scene(64, 96)
    first[first == 0] = 1
    first[:, :50] = 0
    image = with_alpha(first, 255)
    image[:, 50:, 3] = 0
    write_raster(pre, image, alpha="YES", nodata=0)
    line = refused(pre, post)
    assert "its masks (its nodata, 0, alpha in band 4) leave nothing together" in line


def test_two_images_that_show_no_pixel_in_common_are_named(scene, write_raster, refused):
    pre, post, first, second = scene(64, 96)
    first[first == 0] = second[second == 0] = 1
    first[:, :50], second[:, 40:] = 0, 0
    for path, image in ((pre, first), (post, second)):
        write_raster(path, image, nodata=0)
    assert f"{post} and {pre} have no pixel that is known in both" in refused(pre, post)


def test_alignment_onto_ground_that_it_does_not_show_is_named(scene, write_raster, refused):
    """Its bounds overlap, its turned image does not."""
    pre, post, first, second = scene(64, 96)
    write_raster(pre, first[:32, :32])
    turned = rasterio.Affine(0.5, 0.5, 499_999, -0.5, 0.5, 3_300_028)
    write_raster(post, second[:40, :90], transform=turned)
    line = refused(pre, post, align=True)
    assert f"{post}: not one pixel is known: it shows none of the ground of the first" in line


def test_predict_exits_with_an_error(scene, write_raster, engine_folder, tmp_path, python):
    pre, post, _, second = scene(64, 96)
    write_raster(post, second * 0, nodata=0)
    result = python(
        "-m", "runtime.predict", "--engine", engine_folder, pre, post, "--out", tmp_path / "out"
    )
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        f"error: {post}: not one pixel is known: every pixel of it is its nodata, 0{EXPECTED}"
    ]


def collared(image: np.ndarray, value: int) -> np.ndarray:
    """A disc of ground in a collar, and a pond of the same value inside."""
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    image = np.where(image == value, value + 1, image).astype(image.dtype)
    away = (rows - image.shape[0] / 2) ** 2 + (columns - image.shape[1] / 2) ** 2
    image[(away > 900) | (away < 16)] = value
    return image


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("picture", [False, True])
def test_a_collar_of_one_value_is_told_and_nodata_takes_it_away(
    scene, write_raster, mapped, tmp_path, value, picture, capsys
):
    """Old: 89 % of the map was "no damage" without a word."""
    pre, post, first, second = scene(100, 170)
    first = collared(first % 200, value)
    if picture:
        pre, post = tmp_path / "pre.png", tmp_path / "post.png"
        Image.fromarray(first).save(pre)
        Image.fromarray(second).save(post)
    else:
        write_raster(pre, first)
    summary, out = mapped(pre, post)
    ground = (first != value).any(2)
    rows, columns = np.mgrid[:100, :170]
    collar = ~ground & ((rows - 50) ** 2 + (columns - 85) ** 2 > 400)
    (note,) = told(summary, "at its border")
    assert note == (
        f"{collar.mean():.0%} of {pre} is exactly {value}, {value}, {value} at its border; "
        f"if that is no data: --nodata {value}"
    )
    assert note in capsys.readouterr().err
    assert note in json.loads((out / "summary.json").read_text())["notes"]
    summary, _ = mapped(pre, post, nodata=(float(value), None))
    assert summary["notes"] == []
    assert summary["nodata_px"] == (~ground).sum()


def test_a_collar_is_found_through_what_is_declared(scene, write_raster, mapped):
    pre, post, first, _ = scene(100, 170)
    first = collared(first % 200, 0)
    first[:5] = 7  # declared, all around
    first[-5:] = first[:, :5] = first[:, -5:] = 7
    write_raster(pre, first, nodata=7)
    (note,) = told(mapped(pre, post)[0], "at its border")
    assert "is exactly 0, 0, 0 at its border" in note


def test_a_large_image_is_seen_reduced():
    seen = Seen(5000, 4000)
    values = np.full((3, 5000, 4000), 50, np.uint8)
    values[:, :2500] = 0
    known = np.ones((5000, 4000), bool)
    known[4000:] = False
    for top in range(0, 5000, 700):
        for left in range(0, 4000, 900):
            there = slice(top, top + 700), slice(left, left + 900)
            seen.add(top, left, values[:, there[0], there[1]], known[there])
    (note,) = seen.notes("a", None)
    assert note.startswith("50% of a is exactly 0, 0, 0")


def deep(image: np.ndarray, low: int, by: int) -> np.ndarray:
    return (image.astype(np.uint16) * by + low).astype(np.uint16)


def test_a_scale_is_proposed_for_each_image_and_taken_for_each(
    scene, write_raster, mapped, reference
):
    pre, post, first, second = scene(64, 96)
    write_raster(pre, deep(first, 100, 7))
    write_raster(post, deep(second, 1000, 40))
    with pytest.raises(ImageError) as caught:
        mapped(pre, post)
    lows = [np.percentile(deep(*each), (2, 98)) for each in ((first, 100, 7), (second, 1000, 40))]
    numbers = " --scale ".join(f"{low:.6g} {high:.6g}" for low, high in lows)
    line = str(caught.value)
    assert line.startswith(f"{pre}: uint16; {post}: uint16; expected uint8; ")
    assert f"for example --scale {numbers} (each image's" in line
    scale = (100, 100 + 7 * 255, 1000, 1000 + 40 * 255)
    summary, out = mapped(pre, post, scale=scale)
    with rasterio.open(out / "damage.tif") as file:
        np.testing.assert_array_equal(file.read(1), reference(first, second)[0])
    assert summary["notes"] == []


def test_a_scale_that_does_not_fit_an_image_is_told(scene, write_raster, mapped, capsys):
    """Old: the second image was white, and mapped."""
    pre, post, first, second = scene(64, 96)
    write_raster(pre, deep(first, 100, 7))
    write_raster(post, deep(second, 1000, 40))
    summary, _ = mapped(pre, post, scale=(100, 100 + 7 * 255))
    beyond = (deep(second, 1000, 40) > 100 + 7 * 255).any(2).mean()
    (note,) = told(summary, "--scale 100")
    assert note.startswith(f"{beyond:.0%} of {post} lies outside of --scale 100 1885")
    assert note in capsys.readouterr().err
    assert summary["clipped"] == [0.0, round(float(beyond), 4)]


def test_a_proposal_is_made_of_what_is_known_in_the_bands_that_are_asked_for(
    tmp_path, write_raster, draw
):
    image = np.dstack([deep(draw(64, 96)[0], 100, 7), np.full((64, 96), 60_000, np.uint16)])
    image[:, :30] = 65_535
    path = write_raster(tmp_path / "a.tif", image, nodata=65_535, photometric="MINISBLACK")
    values = image[:, 30:, :3]
    low, high = np.percentile(values, (2, 98))
    with (
        pytest.raises(
            ImageError, match=f"--scale {low:.6g} {high:.6g} --scale {low:.6g} {high:.6g}"
        ),
        open_pair(path, path, bands=(3, 1, 2)),
    ):
        pass


@pytest.mark.parametrize("bits", [1, 2, 4, 7])
def test_few_bits_need_a_scale(scene, write_raster, refused, mapped, reference, bits):
    """Old: 15 of 15 was taken as 15 of 255, nearly black, exit 0."""
    pre, post, first, second = scene(64, 96)
    most = (1 << bits) - 1
    few = (first // 16 * most // 15).astype(np.uint8)
    write_raster(pre, few, nbits=bits)
    assert refused(pre, post).startswith(
        f"{pre}: uint8 of {bits} bits; expected uint8; --scale LO HI"
    )
    _, out = mapped(pre, post, scale=(0, most))
    full = np.rint(few * (255 / most)).astype(np.uint8)
    with rasterio.open(out / "damage.tif") as file:
        np.testing.assert_array_equal(file.read(1), reference(full, second)[0])


def test_one_value_gives_no_proposal(tmp_path, write_raster):
    path = write_raster(tmp_path / "a.tif", np.full((64, 96, 3), 2, np.uint16))
    empty = write_raster(tmp_path / "b.tif", np.full((64, 96, 3), 2, np.uint16), nodata=2)
    with pytest.raises(ImageError) as caught, open_pair(path, empty):
        pass
    line = str(caught.value)
    assert "--scale 2 2" not in line
    assert f"{path}: all its known pixels are 2, so no scale can be proposed" in line
    assert f"{empty}: not one of its pixels is known" in line


def test_the_command_line_takes_them(scene, write_raster, engine_folder, tmp_path, capsys):
    pre, post, first, second = scene(64, 96)
    write_raster(pre, deep(first, 100, 7), nodata=100)
    write_raster(post, deep(second, 0, 40))

    def run(*options):
        line = ["--engine", engine_folder, pre, post, "--out", tmp_path / "out", *options]
        return predict.main(predict.parser().parse_args([str(each) for each in line]))

    scales = ("--scale", 100, 1885, "--scale", 0, 10200)
    assert run(*scales, "--bands", 3, 2, 1, "--nodata", "none", "--nodata", 0) == 0
    options = json.loads((tmp_path / "out" / "summary.json").read_text())["identity"]["options"]
    assert options["scale"] == [100, 1885, 0, 10200]
    assert options["bands"] == [3, 2, 1]
    assert options["nodata"] == [None, 0]
    with pytest.raises(ConfigError, match="--scale has 6 numbers; expected LO HI"):
        run(*scales, "--scale", 1, 2)
    for wrong in (("--scale", 1, 2, 3), ("--scale", "nan", 2), ("--nodata", "black")):
        with pytest.raises(SystemExit):
            run(*wrong)


def test_images_may_come_behind_options(scene, engine_folder, tmp_path):
    pre, post, *_ = scene(64, 96)
    line = ["--engine", engine_folder, "--scale", 0, 1, "--nodata", 7, pre, post, "--out", tmp_path]
    args = predict.parser().parse_args([str(each) for each in line])
    assert (args.pre, args.post) == (pre, post)
