"""A checkpoint's evaluation: official, by building, by disaster, as text and as JSON."""

from __future__ import annotations

import functools
import json
import operator
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from runtime.damage import CLASS_NAMES
from runtime.errors import DataError, ToolkitError
from runtime.score import Counts
from train.checkpoint import load_checkpoint
from train.evaluate import (
    Evaluation,
    evaluate,
    labelled_tiles,
    main,
    parser,
    report,
    score_tiles,
    summary,
)
from train.footprint_score import FootprintCounts
from train.inference import predict_maps
from train.model import DualHRNet
from train.xbd import Tile, find_tiles

CLASSES = list(CLASS_NAMES[1:])


@pytest.fixture(scope="module")
def network(small_checkpoint: Path) -> DualHRNet:
    return load_checkpoint(small_checkpoint).network()


@pytest.fixture(scope="module")
def tiles(synthetic: Path) -> list[Tile]:
    return find_tiles(synthetic, "train")


@pytest.fixture(scope="module")
def disasters(network: DualHRNet, tiles: list[Tile]) -> dict[str, Evaluation]:
    return evaluate(network, tiles)


@pytest.fixture(scope="module")
def whole(disasters: dict[str, Evaluation]) -> Evaluation:
    return functools.reduce(operator.add, disasters.values())


def test_every_tile_counts_once_and_for_its_disaster(network, tiles, disasters, whole) -> None:
    assert whole.tiles == len(tiles)
    assert len(disasters) > 1
    assert list(disasters) == sorted({tile.disaster for tile in tiles})
    for name, found in disasters.items():
        pixels, footprints = Counts(), FootprintCounts()
        for tile in (each for each in tiles if each.disaster == name):
            damage, _, _ = predict_maps(network, *tile.images())
            pixels.add(damage, damage, *tile.targets(96, 96))
            footprints.add(damage, tile.buildings[1])
        assert found.pixels.as_dict() == pixels.as_dict()
        assert found.footprints.as_dict() == footprints.as_dict()


def test_the_official_score_is_that_of_the_training_loop(network, tiles, whole) -> None:
    counts = score_tiles(network, tiles)
    assert counts.as_dict() == whole.pixels.as_dict()
    assert min(counts.localization) > 0  # the network is no trivial case
    assert np.count_nonzero(counts.confusion[1:]) > 10


def test_a_tile_is_inferred_once(network, tiles) -> None:
    passes = []
    handle = network.register_forward_hook(lambda *_: passes.append(1))
    evaluate(network, tiles[:3])
    handle.remove()
    assert len(passes) == 3


def test_a_higher_threshold_finds_fewer_buildings(network, tiles, whole) -> None:
    strict = functools.reduce(operator.add, evaluate(network, tiles, 0.9).values())
    found = [each.pixels.localization[:2].sum() for each in (strict, whole)]
    assert found[0] < found[1]


def test_absent_classes_are_those_that_no_target_pixel_has(tiles, disasters) -> None:
    for name, found in disasters.items():
        mine = [tile.targets(96, 96)[1] for tile in tiles if tile.disaster == name]
        present = set(np.unique(np.stack(mine)).tolist())
        assert found.absent == tuple(CLASS_NAMES[v] for v in (1, 2, 3, 4) if v not in present)
    assert any(found.absent for found in disasters.values())


def test_the_summary_begins_with_the_headline() -> None:
    counts = Counts(np.array([6, 2, 2]), np.diag([0, 4, 3, 2, 1]))
    headline, *classes = summary(counts).splitlines()
    assert headline == ("score 0.9250 = 0.3 x localization F1 0.7500 + 0.7 x damage F1 1.0000")
    assert [line.split() for line in classes] == [[name, "F1", "1.0000"] for name in CLASSES]


def blocks(text: str) -> list[list[list[str]]]:
    """Tables of the report: lines of cells, which are two spaces apart."""
    return [
        [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in block.split("\n")]
        for block in text.split("\n\n")
    ]


def test_the_report_holds_the_figures_of_the_evaluation(whole, disasters) -> None:
    headline, pixels, confusion, buildings, building_confusion, by_disaster = blocks(
        report(whole, disasters)
    )
    counts, footprints = whole.pixels, whole.footprints
    assert headline == [[summary(counts).splitlines()[0]]]
    for table, detection, classes in (
        (pixels, counts.localization_tally, counts.class_tallies),
        (buildings, footprints.detection_tally, footprints.class_tallies),
    ):
        assert table[0][1:] == ["precision", "recall", "F1", "in truth"]
        assert [row[0] for row in table[2:]] == CLASSES
        for row, tally in zip(table[1:], (detection, *classes), strict=True):
            figures = (tally.precision, tally.recall, tally.f1)
            assert row[1:] == [*(f"{each:.4f}" for each in figures), str(tally.actual)]
    assert confusion[0][1:] == building_confusion[0][1:] == ["missed", *CLASSES]
    assert [row[0] for row in confusion[1:]] == CLASSES
    assert [row[0] for row in building_confusion[1:]] == ["false alarm", *CLASSES]
    assert [list(map(int, row[1:])) for row in confusion[1:]] == counts.confusion[1:].tolist()
    found = [list(map(int, row[1:])) for row in building_confusion[1:]]
    assert found == footprints.confusion.tolist()
    for row, (name, each) in zip(by_disaster[1:], disasters.items(), strict=False):
        assert row[:3] == [name, str(each.tiles), f"{each.pixels.score:.4f}"]
        assert row[4] == f"{each.pixels.damage_f1:.4f}"
        assert {n for n, cell in zip(CLASSES, row[5:], strict=True) if cell == "-"} == set(
            each.absent
        )
    assert "official damage F1" in by_disaster[-1][0]


def test_the_columns_of_a_table_are_aligned(whole, disasters) -> None:
    for block in report(whole, disasters).split("\n\n")[1:5]:
        assert len({len(line) for line in block.split("\n")}) == 1


def test_a_class_that_the_truth_does_not_hold_has_no_figures() -> None:
    counts = Counts(np.array([4, 0, 0]), np.diag([0, 4, 0, 0, 0]))
    footprints = FootprintCounts(np.array([1, 0, 0]), np.diag([0, 1, 0, 0, 0]))
    one = Evaluation(1, counts, footprints)
    _, pixels, _, buildings, _, by_disaster = blocks(report(one, {"town-flood": one}))
    for table, actual in ((pixels, "4"), (buildings, "1")):
        assert table[2] == ["no-damage", "1.0000", "1.0000", "1.0000", actual]
        assert table[5] == ["destroyed", "-", "-", "-", "0"]
    # The official damage F1 of a perfect map is 0 where three classes are absent.
    assert by_disaster[1] == [
        "town-flood", "1", "0.3000", "1.0000", "0.0000", "1.0000", "-", "-", "-",
    ]  # fmt: skip


def test_the_command_prints_and_writes_what_it_found(
    command: Callable, small_checkpoint, synthetic, tmp_path, network
) -> None:
    out = tmp_path / "figures" / "test.json"
    line = ("--checkpoint", small_checkpoint, "--data", synthetic, "--threshold", 0.6)
    result = command("train.evaluate", *line, "--json", "--out", out)
    assert result.returncode == 0, result.stderr
    record = json.loads(result.stdout)
    assert record == json.loads(out.read_text())
    disasters = evaluate(network, find_tiles(synthetic, "test"), 0.6)
    expected = functools.reduce(operator.add, disasters.values())
    assert {**record, **expected.as_dict()} == record
    assert record["disasters"] == {name: each.as_dict() for name, each in disasters.items()}
    assert (record["split"], record["threshold"], record["tiles"]) == ("test", 0.6, 2)
    text = command("train.evaluate", *line)
    assert text.stdout == report(expected, disasters) + "\n"


def test_a_split_without_labels_names_those_that_have_some(synthetic: Path, tmp_path: Path) -> None:
    (tmp_path / "hold").symlink_to(synthetic / "test")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "images").symlink_to(synthetic / "test" / "images")
    with pytest.raises(DataError, match=r"new: has no labels .* \(found here: hold\)"):
        labelled_tiles(tmp_path, "new")
    assert labelled_tiles(tmp_path, "hold") == find_tiles(tmp_path, "hold")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--split", "tier3"), "tier3/images: no such folder"),
        (("--threshold", "1"), "--threshold 1.0: expected between 0 and 1"),
        (("--device", "tpu"), "device 'tpu': expected auto, cpu or cuda"),
        (("--out", "."), "is a folder, expected a file's name"),
    ],
)
def test_what_cannot_work_is_said_before_anything_slow(
    small_checkpoint: Path, synthetic: Path, arguments: tuple[str, str], message: str
) -> None:
    line = ["--checkpoint", str(small_checkpoint), "--data", str(synthetic), *arguments]
    with pytest.raises((ToolkitError, OSError), match=re.escape(message)):
        main(parser().parse_args(line))


def test_a_gpu_that_is_absent_is_an_error(small_checkpoint, synthetic, error_line) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    line = ("--checkpoint", small_checkpoint, "--data", synthetic, "--device", "cuda")
    assert "PyTorch sees no GPU here" in error_line("train.evaluate", *line)


@pytest.mark.gpu
def test_the_gpu_gives_the_score_of_the_processor(small_checkpoint, tiles, whole) -> None:
    network = load_checkpoint(small_checkpoint).network().to("cuda")
    found = functools.reduce(operator.add, evaluate(network, tiles).values())
    assert found.pixels.score == pytest.approx(whole.pixels.score, abs=0.01)


def test_an_error_begins_its_line_where_stderr_is_no_terminal(
    small_checkpoint, synthetic, tmp_path, command
) -> None:
    shutil.copytree(synthetic, tmp_path / "data")
    label = next((tmp_path / "data" / "test" / "labels").glob("*_post_disaster.json"))
    label.write_text("{}")
    result = command(
        "train.evaluate", "--checkpoint", small_checkpoint, "--data", tmp_path / "data"
    )
    assert result.returncode == 1
    assert result.stderr.startswith(f"error: {label}: ")
    assert len(result.stderr.splitlines()) == 1


def test_a_place_that_cannot_be_written_is_found_first(
    small_checkpoint, synthetic, error_line
) -> None:
    given = ("--checkpoint", small_checkpoint, "--data", synthetic)
    for module in ("train.evaluate", "calibration"):
        line = error_line(module, *given, "--out", "/proc/x/y.json")
        assert "/proc/x/y.json: nothing can be written in /proc" in line


def test_labels_whose_footprints_lie_outside_are_noted(small_checkpoint, tile_set, command) -> None:
    far = "POLYGON ((900000 0, 900001 1, 900002 2, 900000 0))"
    root = tile_set([("a", far, "destroyed")])
    result = command(
        "train.evaluate", "--checkpoint", small_checkpoint, "--data", root, "--split", "train",
        "--json",
    )  # fmt: skip
    (label,) = (root / "train" / "labels").glob("*_pre_disaster.json")
    assert "1 of 1 tiles with a label whose footprints all lie outside" in result.stderr
    assert f"first {label};" in result.stderr
    assert json.loads(result.stdout)["outside"] == [str(label)]
