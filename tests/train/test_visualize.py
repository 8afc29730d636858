"""Panels: what each column shows, what the legend names, and the files of the command."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from runtime.damage import CLASS_COLOURS, IGNORE, NODATA
from runtime.errors import ToolkitError
from runtime.output.overlay import NODATA_COLOUR, overlay
from runtime.source.picture import read_image
from train.checkpoint import load_checkpoint
from train.inference import predict_maps
from train.panels import UNCLASSIFIED_COLOUR, panel
from train.visualize import main, parser, spread
from train.xbd import find_tiles

REPOSITORY = Path(__file__).parents[2]
HEIGHT, WIDTH = 320, 288


@pytest.fixture
def images() -> tuple[np.ndarray, np.ndarray]:
    """Noise without the colours of the classes, so that a column can be found by its pixels."""
    random = np.random.default_rng(0)
    pre, post = random.integers(60, 120, (2, HEIGHT, WIDTH, 3), np.uint8)
    return pre, post


def column(picture: np.ndarray, index: int) -> np.ndarray:
    """One of the four columns of a HEIGHT x WIDTH tile: they lie at even distances."""
    line = WIDTH // 24
    x = line // 3 + index * (WIDTH + line // 3)
    return picture[2 * line : 2 * line + HEIGHT, x : x + WIDTH]


def legend(picture: np.ndarray) -> set[tuple[int, ...]]:
    """Colours of which the strip below the columns holds a whole swatch."""
    line = WIDTH // 24
    strip = picture[2 * line + HEIGHT :]
    colours, counts = np.unique(strip.reshape(-1, 3), axis=0, return_counts=True)
    return {tuple(c.tolist()) for c, n in zip(colours, counts, strict=True) if n >= line**2}


def squares(last: int) -> np.ndarray:
    damage = np.zeros((HEIGHT, WIDTH), np.uint8)
    for index, value in enumerate((1, 2, 3, 4, last)):
        damage[40 * index : 40 * index + 30, 50:90] = value
    return damage


def test_the_columns_are_the_images_and_the_two_maps_on_the_image_after(images) -> None:
    pre, post = images
    truth, prediction = squares(0), np.flipud(squares(0)).copy()
    picture = panel(pre, post, truth, prediction)
    assert picture.dtype == np.uint8
    assert picture.shape[1] > 4 * WIDTH
    expected = (pre, post, overlay(post, truth), overlay(post, prediction))
    for index, each in enumerate(expected):
        np.testing.assert_array_equal(column(picture, index), each)


def test_an_unclassified_footprint_is_not_drawn_as_not_computed(images) -> None:
    pre, post = images
    truth = squares(IGNORE)
    drawn = column(panel(pre, post, truth, squares(0)), 2)
    unclassified = truth == IGNORE
    np.testing.assert_array_equal(drawn[~unclassified], overlay(post, squares(0))[~unclassified])
    assert not (drawn == NODATA_COLOUR).all(-1).any()
    outline = (drawn == UNCLASSIFIED_COLOUR).all(-1)
    rows, columns = np.nonzero(unclassified)
    expected = np.zeros_like(unclassified)
    expected[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
    expected[rows.min() + 1 : rows.max(), columns.min() + 1 : columns.max()] = False
    np.testing.assert_array_equal(outline, expected)
    inside = (rows.min() + 5, columns.min() + 5)
    blend = 0.6 * post[inside] + 0.4 * np.array(UNCLASSIFIED_COLOUR)
    assert np.abs(drawn[inside] - blend).max() <= 1


@pytest.mark.parametrize("truth", [0, IGNORE])
@pytest.mark.parametrize("prediction", [0, NODATA])
def test_the_legend_names_what_occurs(images, truth: int, prediction: int) -> None:
    found = legend(panel(*images, squares(truth), squares(prediction)))
    assert set(CLASS_COLOURS[1:]) <= found
    assert (UNCLASSIFIED_COLOUR in found) == (truth == IGNORE)
    assert (NODATA_COLOUR in found) == (prediction == NODATA)


@pytest.mark.parametrize("size", [(32, 32), (96, 96), (256, 512), (64, 255), (1024, 1024)])
def test_the_writing_fits_tiles_of_any_size(size: tuple[int, int]) -> None:
    pre = np.zeros((*size, 3), np.uint8)
    picture = panel(pre, pre, np.full(size, IGNORE, np.uint8), np.full(size, NODATA, np.uint8))
    line = (size[1] if size[1] >= 256 else size[1] * -(-256 // size[1])) // 24
    for strip in (picture[: 2 * line], picture[-2 * line :]):
        ink = (strip != strip[0, 0]).any(-1)
        assert 0.01 < ink.mean() < 0.5
        # Nothing reaches the edges, so nothing is cut off.
        assert not ink[[0, -1]].any()
        assert not ink[:, -line // 3 :].any()


def test_a_small_tile_is_enlarged_pixel_by_pixel() -> None:
    random = np.random.default_rng(0)
    pre, post = random.integers(0, 255, (2, 96, 96, 3), np.uint8)
    none = np.zeros((96, 96), np.uint8)
    picture = panel(pre, post, none, none)
    line = 288 // 24
    shown = picture[2 * line : 2 * line + 288, line // 3 : line // 3 + 288]
    np.testing.assert_array_equal(shown, np.kron(pre, np.ones((3, 3, 1), np.uint8)))


def test_inputs_are_not_changed(images) -> None:
    given = (*images, squares(IGNORE), squares(NODATA))
    copies = [each.copy() for each in given]
    panel(*given)
    for each, copy in zip(given, copies, strict=True):
        np.testing.assert_array_equal(each, copy)


@pytest.mark.parametrize(("count", "limit"), [(5, 2), (7, 7), (7, 9), (9, 1), (800, 30)])
def test_a_limited_choice_is_spread_over_the_split(count: int, limit: int) -> None:
    chosen = spread(list(range(count)), limit)
    assert len(chosen) == min(count, limit)
    gaps = np.diff([*chosen, count])
    assert chosen[0] == 0
    assert gaps.max() - gaps.min() <= 1
    assert spread(list(range(count)), None) == list(range(count))


def test_the_command_draws_a_panel_a_tile(
    command: Callable, small_checkpoint: Path, synthetic: Path, tmp_path: Path
) -> None:
    out = tmp_path / "pictures"
    line = ("--checkpoint", small_checkpoint, "--data", synthetic, "--split", "train")
    result = command("train.visualize", *line, "--limit", 3, "--threshold", 0.7, "--out", out)
    assert result.returncode == 0, result.stderr
    tiles = spread(find_tiles(synthetic, "train"), 3)
    assert sorted(path.name for path in out.iterdir()) == [f"{tile.name}.png" for tile in tiles]
    network = load_checkpoint(small_checkpoint).network()
    for tile in tiles:
        pre, post = tile.images()
        damage, _, _ = predict_maps(network, pre, post, 0.7)
        expected = panel(pre, post, tile.targets(96, 96)[1], damage)
        np.testing.assert_array_equal(read_image(out / f"{tile.name}.png"), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--limit", "0"), "--limit 0: expected at least 1"),
        (("--out", __file__), "is a file; expected a folder"),
        (("--split", "new"), "new: has no labels to compare with"),
        (("--threshold", "0"), "--threshold 0.0: expected between 0 and 1"),
    ],
)
def test_what_cannot_work_is_said_and_leaves_nothing(
    synthetic: Path, small_checkpoint: Path, tmp_path: Path, arguments: tuple[str, str], message
) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    (data / "new").mkdir(parents=True)
    (data / "test").symlink_to(synthetic / "test")
    (data / "new" / "images").symlink_to(synthetic / "test" / "images")
    line = ["--checkpoint", small_checkpoint, "--data", data, "--out", out, *arguments]
    with pytest.raises(ToolkitError, match=re.escape(message)):
        main(parser().parse_args([str(each) for each in line]))
    assert not out.exists()


@pytest.mark.parametrize("module", ["evaluate", "visualize"])
def test_help_imports_nothing_heavy(module: str) -> None:
    code = f"""
import sys
from train import {module}
{module}.parser().format_help()
print(sorted({{"numpy", "cv2", "torch", "tqdm"}} & set(sys.modules)))
"""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert result.stdout.strip() == "[]", result.stderr
