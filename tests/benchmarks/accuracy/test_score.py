"""An engine's figures, against counts in plain Python and the official formulas."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict

import cv2
import numpy as np
import pytest

from benchmarks.accuracy.confidence import BINS
from benchmarks.accuracy.score import Scored, TileErrors, score_engine
from runtime.damage import CLASS_NAMES
from runtime.engine import load_engine
from train.xbd import find_tiles

STEP, HALF = 60, 128  # what the tiny engine divides the post image's red by; where it sees one


def buildings(path) -> list[tuple[int, set[tuple[int, int]]]]:
    """Class and pixels (x, y) of the upright rectangles of a tiny label."""
    found = []
    for feature in json.loads(path.read_text())["features"]["xy"]:
        x0, y0, _, _, x1, y1 = map(int, re.findall(r"\d+", feature["wkt"])[:6])
        name = feature["properties"].get("subtype")
        value = CLASS_NAMES.index(name) if name in CLASS_NAMES else 255
        found.append((value, {(x, y) for x in range(x0, x1 + 1) for y in range(y0, y1 + 1)}))
    return found


def predicted(tile) -> dict[tuple[int, int], tuple[int, int]]:
    """Class and confidence of every pixel (x, y), pixel by pixel."""
    pre, post = (cv2.imread(str(path))[..., 2] for path in (tile.pre, tile.post))
    return {
        (x, y): (max(1, int(post[y, x]) // STEP) if pre[y, x] >= HALF else 0, int(post[y, x]))
        for y in range(pre.shape[0])
        for x in range(pre.shape[1])
    }


@pytest.fixture(scope="module")
def tiles(tiny_data) -> list:
    return find_tiles(tiny_data, "test")


@pytest.fixture(scope="module")
def scored(engines, tiles) -> Scored:
    with load_engine(engines[0]) as engine:
        return score_engine(engine, tiles)


@pytest.fixture(scope="module")
def figures(scored) -> dict:
    return json.loads(json.dumps(scored.as_dict()))


def test_buildings_are_counted_one_by_one(figures, tiles):
    confusion = np.zeros((5, 5), int)
    found = missed = alarms = 0
    for tile in tiles:
        classes = {at: value for at, (value, _) in predicted(tile).items()}
        seen = {at for at, value in classes.items() if value}
        covered = set()
        for value, pixels in buildings(tile.post_label):
            covered |= pixels
            votes = Counter(classes[at] for at in pixels)
            winner = max(votes, key=lambda each: (votes[each], each))
            found, missed = found + (winner > 0), missed + (winner == 0)
            if value != 255:
                confusion[value, winner] += 1
        groups = []
        while seen:
            group, edge = set(), [seen.pop()]
            while edge:
                x, y = edge.pop()
                group.add((x, y))
                beside = {(x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)} & seen
                edge += beside
                seen -= beside
            groups.append(group)
        for group in (each for each in groups if not each & covered):
            votes = Counter(classes[at] for at in group)
            confusion[0, max(votes, key=lambda each: (votes[each], each))] += 1
            alarms += 1
    assert (found, alarms) == (8, 2)
    assert figures["buildings"]["confusion"] == confusion.tolist()
    f1 = figures["buildings"]["f1"]
    assert f1["detection"] == pytest.approx(2 * found / (2 * found + alarms + missed))
    for value in (1, 2, 3, 4):
        hits = confusion[value, value]
        total = confusion[value].sum() + confusion[:, value].sum()
        assert f1[CLASS_NAMES[value]] == pytest.approx(2 * hits / total)


def test_wrong_pixels_are_those_whose_class_is_not_the_truth(figures, tiles):
    expected = []
    for tile in tiles:
        truth = {at: value for value, pixels in buildings(tile.post_label) for at in pixels}
        classes = predicted(tile)
        judged = [at for at in classes if truth.get(at) != 255]
        wrong = sum(classes[at][0] != truth.get(at, 0) for at in judged)
        expected.append({"name": tile.name, "wrong": wrong, "pixels": len(judged)})
    assert figures["tiles"] == expected
    assert {tile["pixels"] == 64 * 64 for tile in expected} == {True, False}


def test_confidence_is_over_judged_building_pixels(figures, tiles):
    bins = defaultdict(list)
    for tile in tiles:
        classes = predicted(tile)
        for truth, pixels in buildings(tile.post_label):
            for value, confidence in (classes[at] for at in pixels if truth != 255):
                place = next(b for b in range(BINS) if confidence * BINS <= (b + 1) * 255)
                bins[place].append((confidence / 255, value == truth))
    total = sum(map(len, bins.values()))
    gaps = [abs(sum(c for c, _ in each) - sum(r for _, r in each)) for each in bins.values()]
    found = figures["confidence"]
    assert found["pixels"] == total
    assert found["ece"] == pytest.approx(sum(gaps) / total)
    assert [each["count"] for each in found["bins"]] == [len(bins[b]) for b in sorted(bins)]


def test_every_disaster_has_its_figures_and_what_it_lacks(figures, tiles):
    assert list(figures["disasters"]) == ["synthetic-a", "synthetic-b"]
    for tile, found in zip(tiles, figures["disasters"].values(), strict=True):
        there = {at for _, pixels in buildings(tile.pre_label) for at in pixels}
        seen = {at for at, (value, _) in predicted(tile).items() if value}
        hits = 2 * len(there & seen)
        assert found["localization_f1"] == pytest.approx(hits / (len(there) + len(seen)))
        present = {value for value, _ in buildings(tile.post_label)}
        absent = [CLASS_NAMES[value] for value in (1, 2, 3, 4) if value not in present]
        assert (found["absent"], found["tiles"]) == (absent, 1)
    assert figures["disasters"]["synthetic-b"]["absent"] == ["minor-damage"]
    assert (figures["absent"], figures["windows"]) == ([], 1)


def test_the_worst_tiles_come_first(scored):
    shares = [each.share for each in scored.worst(2)]
    assert shares == sorted((each.share for each in scored.tiles), reverse=True)
    assert [each.name for each in scored.worst(1)] == ["synthetic-b_00000002"]


def test_a_tile_that_nobody_judged_has_no_errors():
    unjudged = np.full((4, 4), 255, np.uint8)
    assert TileErrors.of("a", np.ones((4, 4), np.uint8), unjudged) == TileErrors("a", 0, 0)
    assert TileErrors("a", 0, 0).share == 0


def test_a_real_tile_by_windows_has_the_official_score(engines, xbd_sample):
    tile = next(t for t in find_tiles(xbd_sample, "train") if t.name == "joplin-tornado_00000000")
    with load_engine(engines[0]) as engine:
        scored = score_engine(engine, [tile])
    counts = scored.whole.pixels
    pre, post = (each[..., 0].astype(int) for each in tile.images())
    prediction = np.where(pre >= HALF, np.maximum(post // STEP, 1), 0)
    masks = [np.zeros(pre.shape, np.uint8) for _ in range(2)]
    for mask, path in zip(masks, tile.labels, strict=True):
        for feature in json.loads(path.read_text())["features"]["xy"]:
            exterior = feature["wkt"].partition("((")[2].partition(")")[0]
            points = [tuple(map(float, each.split())) for each in exterior.split(",")]
            name = feature["properties"].get("subtype", "no-damage")
            value = CLASS_NAMES.index(name) if name in CLASS_NAMES else 255
            cv2.fillPoly(mask, [np.rint(points).astype(np.int32)], value)
    there, damage = masks[0] > 0, masks[1]

    def f1(true, found):
        hits = np.sum(true & found)
        return 2 * hits / (np.sum(true) + np.sum(found)) if hits else 0.0

    # As the challenge computes it: damage only where the truth has one.
    judged = (damage > 0) & (damage < 5)
    truth, answer = damage[judged], prediction[judged]
    classes = [f1(truth == value, answer == value) for value in (1, 2, 3, 4)]
    harmonic = 4 / sum(1 / (each + 1e-6) for each in classes)
    assert scored.windows == (1024 // 64) ** 2
    assert judged.sum() > 10_000
    assert min(classes) > 0
    assert counts.class_f1 == pytest.approx(tuple(classes), abs=1e-12)
    assert counts.score == pytest.approx(0.3 * f1(there, prediction > 0) + 0.7 * harmonic, abs=1e-9)
