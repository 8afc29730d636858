"""The score by building, against a count that draws every footprint on a tile of its own."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.damage import BACKGROUND, IGNORE, NODATA
from train.footprint_score import FootprintCounts, rasterise_alone
from train.xbd import Footprint, find_tiles, rasterise

HEIGHT, WIDTH = 20, 28


def box(x0: float, y0: float, x1: float, y1: float, damage: int | None) -> Footprint:
    return Footprint("a", shapely.box(x0, y0, x1, y1), damage)


def counted(prediction: np.ndarray, *footprints: Footprint) -> FootprintCounts:
    counts = FootprintCounts()
    counts.add(prediction, footprints)
    return counts


def cells(confusion: np.ndarray) -> dict[tuple[int, int], int]:
    return {(int(t), int(p)): int(confusion[t, p]) for t, p in np.argwhere(confusion)}


def test_a_footprint_has_the_class_of_most_of_its_pixels() -> None:
    prediction = np.zeros((HEIGHT, WIDTH), np.uint8)
    prediction[2:6, 2:6] = 3
    prediction[2, 2:6] = 1  # 4 of 16 pixels
    counts = counted(prediction, box(2, 2, 5, 5, 4))
    assert cells(counts.confusion) == {(4, 3): 1}
    assert counts.detection.tolist() == [1, 0, 0]


def test_a_footprint_that_is_mostly_background_is_missed() -> None:
    prediction = np.zeros((HEIGHT, WIDTH), np.uint8)
    prediction[2:6, 2:4] = 2
    prediction[2:6, 4] = 1
    # 7 pixels of background, 6 of one class, 3 of another: more is building than not,
    # but nothing is more frequent than background.
    prediction[2:4, 2] = 0
    prediction[5, 4] = 0
    counts = counted(prediction, box(2, 2, 5, 5, 1))
    assert cells(counts.confusion) == {(1, 0): 1}
    assert counts.detection.tolist() == [0, 0, 1]


@pytest.mark.parametrize("values", [(0, 1), (1, 2), (0, 4), (3, 4), (0, 2)])
@pytest.mark.parametrize("turned", [False, True])
def test_a_tie_goes_to_the_more_severe_class(values: tuple[int, int], turned: bool) -> None:
    prediction = np.zeros((HEIGHT, WIDTH), np.uint8)
    prediction[4:8, 4:6], prediction[4:8, 6:8] = values[::-1] if turned else values
    counts = counted(prediction, box(4, 4, 7, 7, 1))
    assert cells(counts.confusion) == {(1, max(values)): 1}


def test_buildings_where_nothing_is_labelled_are_false_alarms() -> None:
    prediction = np.zeros((HEIGHT, WIDTH), np.uint8)
    prediction[0:3, 0:3] = 2
    prediction[10, 10] = 4  # one pixel is enough
    prediction[3, 3] = 1  # touches the first by a corner only: a building of its own
    prediction[12:18, 2:8] = 1
    prediction[12:15, 2:8] = 3  # as many pixels: the more severe
    counts = counted(prediction)
    assert cells(counts.confusion) == {(0, 1): 1, (0, 2): 1, (0, 3): 1, (0, 4): 1}
    assert counts.detection.tolist() == [0, 4, 0]


def test_a_group_that_shares_one_pixel_with_a_footprint_is_no_false_alarm() -> None:
    prediction = np.zeros((HEIGHT, WIDTH), np.uint8)
    prediction[2:6, 5:12] = 2
    counts = counted(prediction, box(2, 2, 5, 5, 1))
    assert counts.detection.tolist() == [0, 0, 1]  # missed, yet not invented
    apart = counted(prediction, box(1, 2, 4, 5, 1))
    assert apart.detection.tolist() == [0, 1, 1]


def test_unclassified_footprints_count_for_detection_alone() -> None:
    prediction = np.zeros((HEIGHT, WIDTH), np.uint8)
    prediction[2:6, 2:6] = 3
    counts = counted(prediction, box(2, 2, 5, 5, IGNORE), box(10, 10, 14, 14, IGNORE))
    assert counts.detection.tolist() == [1, 0, 1]
    assert not counts.confusion.any()


def test_what_was_not_computed_finds_nothing() -> None:
    prediction = np.full((HEIGHT, WIDTH), NODATA, np.uint8)
    counts = counted(prediction, box(2, 2, 5, 5, 4))
    assert counts.detection.tolist() == [0, 0, 1]
    assert cells(counts.confusion) == {(4, 0): 1}


@pytest.mark.parametrize("at", [(40, 2), (2, 40), (-30, 2), (2, -30), (28, 3), (3, 20)])
def test_a_footprint_outside_the_tile_counts_for_nothing(at: tuple[int, int]) -> None:
    x, y = at
    prediction = np.zeros((HEIGHT, WIDTH), np.uint8)
    assert not counted(prediction, box(x, y, x + 6, y + 6, 4)).detection.any()


def test_figures_of_a_case_computed_by_hand() -> None:
    counts = FootprintCounts(
        detection=np.array([7, 2, 3]),
        confusion=np.array(
            [[0, 2, 0, 0, 0], [1, 3, 0, 0, 1], [0, 0, 0, 0, 0], [0, 1, 0, 0, 0], [2, 0, 0, 0, 1]]
        ),
    )
    figures = json.loads(json.dumps(counts.as_dict()))
    assert figures["precision"]["detection"] == pytest.approx(7 / 9)
    assert figures["recall"]["detection"] == pytest.approx(7 / 10)
    assert figures["f1"]["detection"] == pytest.approx(2 * 7 / (2 * 7 + 2 + 3))
    # Two false alarms and one building of another class are no true "no-damage".
    assert figures["precision"]["no-damage"] == pytest.approx(3 / 6)
    assert figures["recall"]["no-damage"] == pytest.approx(3 / 5)
    assert figures["precision"]["destroyed"] == pytest.approx(1 / 2)
    assert figures["recall"]["destroyed"] == pytest.approx(1 / 3)
    assert figures["f1"]["major-damage"] == 0
    assert figures["counts"]["minor-damage"] == {
        "true_positive": 0, "false_positive": 0, "false_negative": 0,
    }  # fmt: skip


# Halves are where rounding could go another way on a shifted polygon.
_x, _y = (st.integers(-12, 2 * side + 12).map(lambda n: n / 2) for side in (WIDTH, HEIGHT))


@st.composite
def footprint(draw: st.DrawFn) -> Footprint:
    corners = draw(st.lists(st.tuples(_x, _y), min_size=3, max_size=6, unique=True))
    shape = shapely.Polygon(corners)
    if draw(st.booleans()):
        shape = shapely.MultiPolygon([shape, shapely.box(3.5, 2.5, 5.5, 8.5)])
    return Footprint("a", shape, draw(st.sampled_from([1, 2, 3, 4, IGNORE])))


@st.composite
def damage_map(draw: st.DrawFn) -> np.ndarray:
    """A few rectangles on background, so that groups of many shapes occur."""
    prediction = np.zeros((HEIGHT, WIDTH), np.uint8)
    for _ in range(draw(st.integers(0, 8))):
        top, left = draw(st.integers(0, HEIGHT - 1)), draw(st.integers(0, WIDTH - 1))
        height, width = draw(st.integers(1, 8)), draw(st.integers(1, 8))
        value = draw(st.sampled_from([0, 1, 2, 3, 4, NODATA]))
        prediction[top : top + height, left : left + width] = value
    return prediction


def groups(prediction: np.ndarray) -> list[set[tuple[int, int]]]:
    """4-connected building pixels, by flood fill."""
    left = {(int(r), int(c)) for r, c in np.argwhere((prediction > 0) & (prediction < 5))}
    found = []
    while left:
        group, edge = set(), [left.pop()]
        while edge:
            row, column = edge.pop()
            group.add((row, column))
            beside = {(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)}
            edge += beside & left
            left -= beside
        found.append(group)
    return found


def winner(values: list[int]) -> int:
    votes = Counter(BACKGROUND if value == NODATA else value for value in values)
    return max(votes, key=lambda value: (votes[value], value))


def reference(prediction: np.ndarray, footprints: list[Footprint]) -> FootprintCounts:
    """The definition, every footprint drawn alone on a whole tile."""
    counts, covered = FootprintCounts(), set()
    for each in footprints:
        mask = rasterise([each], HEIGHT, WIDTH, lambda _: 1) > 0
        covered |= {(int(r), int(c)) for r, c in np.argwhere(mask)}
        if not mask.any():
            continue
        value = winner(prediction[mask].tolist())
        counts.detection[0 if value else 2] += 1
        if each.damage != IGNORE:
            counts.confusion[each.damage, value] += 1
    for group in groups(prediction):
        if not group & covered:
            counts.detection[1] += 1
            counts.confusion[0, winner([int(prediction[at]) for at in group])] += 1
    return counts


def same(one: FootprintCounts, other: FootprintCounts) -> bool:
    return np.array_equal(one.detection, other.detection) and np.array_equal(
        one.confusion, other.confusion
    )


@settings(max_examples=150, deadline=None)
@given(tiles=st.lists(st.tuples(damage_map(), st.lists(footprint(), max_size=4)), max_size=3))
def test_it_is_its_definition_footprint_by_footprint(tiles) -> None:
    whole, parts, expected = FootprintCounts(), FootprintCounts(), FootprintCounts()
    for prediction, footprints in tiles:
        whole.add(prediction, footprints)
        parts = parts + counted(prediction, *footprints)
        expected = expected + reference(prediction, footprints)
    assert same(whole, expected)
    assert same(parts, expected)


@settings(max_examples=300, deadline=None)
@given(footprint=footprint())
def test_a_footprint_alone_has_the_pixels_it_has_on_the_whole_tile(footprint: Footprint) -> None:
    window, mask = rasterise_alone(footprint, HEIGHT, WIDTH)
    whole = np.zeros((HEIGHT, WIDTH), bool)
    whole[window] = mask
    assert np.array_equal(whole, rasterise([footprint], HEIGHT, WIDTH, lambda _: 1) > 0)


def test_the_truth_itself_finds_every_building_of_a_real_tile(xbd_sample: Path) -> None:
    tile = next(t for t in find_tiles(xbd_sample, "train") if t.name == "joplin-tornado_00000000")
    footprints = tile.buildings[1]
    truth = tile.targets(1024, 1024)[1]
    counts = counted(np.where(truth == IGNORE, 1, truth).astype(np.uint8), *footprints)
    assert counts.detection.tolist() == [len(footprints), 0, 0]
    labelled = Counter(each.damage for each in footprints)
    assert cells(counts.confusion) == {(v, v): labelled[v] for v in (1, 2, 3, 4)}
    for each in footprints:
        window, mask = rasterise_alone(each, 1024, 1024)
        alone = rasterise([each], 1024, 1024, lambda _: 1) > 0
        assert np.array_equal(alone[window], mask)
        assert mask.sum() == alone.sum()
