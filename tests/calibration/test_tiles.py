"""The choice of tiles: everything there is gets seen, whatever order the tiles come in."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration.candidates import PER_DISASTER, candidates
from calibration.statistics import looks
from calibration.tiles import choose, describe_choice, select
from runtime.damage import CLASS_NAMES
from runtime.errors import CalibrationError, DataError, ImageError
from train.xbd import Tile, find_tiles

SIDE = 32
RING = "POLYGON ((2 2, 9 2, 9 9, 2 9, 2 2))"


@pytest.fixture
def data(tmp_path: Path) -> Callable[..., Path]:
    """Tiles of given disaster, grey level before and after, and damage (None: no label)."""

    def write(*tiles: tuple[str, int, int, tuple[str, ...] | None]) -> Path:
        for kind in ("images", "labels"):
            (tmp_path / "train" / kind).mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(0)
        for number, (disaster, before, after, damage) in enumerate(tiles):
            for when, level in (("pre", before), ("post", after)):
                stem = f"{disaster}_{number:08d}_{when}_disaster"
                image = (level + noise.integers(-5, 6, (SIDE, SIDE, 3))).clip(0, 255)
                cv2.imwrite(
                    str(tmp_path / "train" / "images" / f"{stem}.png"), image.astype(np.uint8)
                )
                if damage is None:
                    continue
                features = [
                    {
                        "properties": {"uid": str(i)} | ({"subtype": d} if when == "post" else {}),
                        "wkt": RING,
                    }
                    for i, d in enumerate(damage)
                ]
                label = {"features": {"xy": features, "lng_lat": []}, "metadata": {}}
                (tmp_path / "train" / "labels" / f"{stem}.json").write_text(json.dumps(label))
        return tmp_path

    return write


def _tiles(root: Path) -> list[Tile]:
    return find_tiles(root, "train", labelled=False)


def _damage(tiles: list[Tile]) -> set[str]:
    return {CLASS_NAMES[b.damage] for t in tiles for b in t.buildings[1] if b.damage != 255}


def test_every_disaster_is_chosen_before_any_comes_twice(data: Callable) -> None:
    root = data(*[(name, 100, 100, None) for name in ("a-flood",) * 9 + ("b-fire", "c-wind")])
    assert {t.disaster for t in choose(_tiles(root), 3)} == {"a-flood", "b-fire", "c-wind"}


def test_every_damage_class_is_chosen_however_rare(data: Callable) -> None:
    plain = [("a-flood", 100, 100, ("no-damage",))] * (3 * PER_DISASTER)
    # Not at an end or a middle, which are looked at anyway.
    rare = [("minor-damage",), ("major-damage", "no-damage"), ("destroyed", "un-classified")]
    for place, damage in zip((5, 16, 25), rare, strict=True):
        plain[place] = ("a-flood", 100, 100, damage)
    tiles = _tiles(data(*plain))
    assert _damage(choose(tiles, 4)) == set(CLASS_NAMES[1:])


def test_few_tiles_show_as_many_classes_as_they_can(data: Callable) -> None:
    root = data(
        ("a-flood", 100, 100, ("no-damage",)),
        ("a-flood", 100, 100, ("no-damage", "minor-damage", "destroyed")),
        ("b-fire", 100, 100, ()),
        ("b-fire", 100, 100, ("major-damage",)),
    )
    assert _damage(choose(_tiles(root), 2)) == set(CLASS_NAMES[1:])


def test_the_choice_does_not_depend_on_the_order_of_the_tiles(synthetic: Path) -> None:
    tiles = find_tiles(synthetic, "train")
    expected = choose(tiles, 5)
    for seed in range(4):
        shuffled = random.Random(seed).sample(tiles, len(tiles))
        assert choose(shuffled, 5) == expected


def test_the_darkest_and_brightest_images_are_chosen(data: Callable) -> None:
    levels = [(100 + i, 120 + i) for i in range(12)]
    levels[2], levels[4], levels[6], levels[9] = (8, 120), (240, 120), (110, 6), (110, 245)
    tiles = _tiles(data(*[("a-flood", before, after, None) for before, after in levels]))
    chosen = {t.name for t in choose(tiles, 5)}
    assert {tiles[i].name for i in (2, 4, 6, 9)} <= chosen


def test_what_is_left_is_filled_with_what_looks_different(data: Callable) -> None:
    extremes = [("a-flood", 20, 20, None), ("a-flood", 220, 220, None)]
    alike = [("a-flood", 21 + i % 2, 21, None) for i in range(8)]
    middle = ("a-flood", 120, 120, None)
    tiles = _tiles(data(*extremes, *alike, middle))
    assert tiles[-1] in choose(tiles, 4)


def test_turns_are_taken_by_disaster_and_by_worst_damage(data: Callable) -> None:
    root = data(
        *[("a-flood", 100, 100, ("no-damage",))] * 8,
        *[("a-flood", 100, 100, ("destroyed",))] * 2,
        *[("b-fire", 100, 100, ())] * 10,
    )
    chosen = select(_tiles(root), 10)
    assert sum(c.tile.disaster == "a-flood" for c in chosen) == 5
    assert sum(c.candidate.stratum == ("a-flood", 4) for c in chosen) == 2


def test_all_tiles_come_when_more_are_asked_for(data: Callable) -> None:
    tiles = _tiles(data(*[("a-flood", 100, 100, None)] * 30, ("b-fire", 1, 1, ("destroyed",))))
    for count in (29, 31, 99):
        names = [t.name for t in choose(tiles, count)]
        assert len(names) == len(set(names)) == min(count, 31)


def test_few_images_of_many_are_read(data: Callable) -> None:
    tiles = _tiles(data(*[("a-flood", 100, 100, None)] * 60))
    considered = candidates(tiles, 2)
    assert len(considered) == PER_DISASTER
    names = [c.tile.name for c in considered]
    assert {tiles[0].name, tiles[-1].name} <= set(names)
    numbers = np.array([int(name[-8:]) for name in names])
    assert np.diff(numbers).max() < 60 / 6  # spread


def test_every_choice_says_why(data: Callable) -> None:
    root = data(
        ("a-flood", 100, 100, ("no-damage", "destroyed")),
        ("b-fire", 10, 20, ()),
        ("b-fire", 90, 90, None),
        ("b-fire", 240, 90, None),
    )
    choices = select(_tiles(root), 4)
    lines = {line.split(":")[0]: line for line in describe_choice(choices)}
    assert set(lines) == {t.name for t in _tiles(root)}
    first = lines["a-flood_00000000"]
    assert "first of a-flood, first with no-damage, destroyed" in first
    assert "first of b-fire" in "".join(lines.values())
    assert "brightest pre image" in lines["b-fire_00000003"]
    assert "brightness 0.04 before, 0.08 after" in lines["b-fire_00000001"]


def test_looks_of_a_plain_colour_are_what_they_are() -> None:
    found = looks(np.full((64, 64, 3), (255, 51, 0), np.uint8))
    expected = [(1 + 0.2 + 0) / 3, 0, 1, 1]
    assert found.vector() == pytest.approx(expected, abs=1e-6)
    halves = np.zeros((64, 64, 3), np.uint8)
    halves[:32] = 255
    assert looks(halves).contrast == pytest.approx(0.5)


def test_a_tile_that_cannot_be_read_is_named_in_one_line(data: Callable) -> None:
    root = data(("a-flood", 100, 100, ("no-damage",)))
    tiles = _tiles(root)
    tiles[0].post.write_bytes(tiles[0].post.read_bytes()[:200])
    with pytest.raises(ImageError, match=tiles[0].post.name) as caught:
        choose(tiles, 1)
    assert "\n" not in str(caught.value)
    tiles[0].post_label.write_text("{}")
    with pytest.raises(DataError, match=tiles[0].post_label.name):
        choose(tiles, 1)


def test_no_tiles_asked_for_is_refused(synthetic: Path) -> None:
    with pytest.raises(CalibrationError, match="0 calibration tiles asked for"):
        choose(find_tiles(synthetic, "train"), 0)


def test_real_tiles_show_every_disaster_and_class(xbd_sample: Path) -> None:
    tiles = find_tiles(xbd_sample, "train")
    chosen = choose(tiles, 3)
    assert {t.disaster for t in chosen} == {t.disaster for t in tiles}
    assert _damage(chosen) == set(CLASS_NAMES[1:])


def test_real_tiles_without_labels_are_chosen_by_their_looks(xbd_sample: Path) -> None:
    tiles = find_tiles(xbd_sample, "unlabelled", labelled=False)
    chosen = choose(tiles, 5)
    assert {t.disaster for t in chosen} == {t.disaster for t in tiles}
