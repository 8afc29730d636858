"""What an engine is asked again on a device, and what is told of another answer."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from runtime import load_engine
from runtime.damage import CLASS_NAMES
from runtime.doctor.self_test import EXAMPLE
from runtime.known_answer import KEY, UnknownAnswerError, compared, known_pair, recorded


def answering(damage):
    return lambda pre, post: (damage, damage, damage)


def test_the_example_engine_sees_what_its_labels_say():
    """The truth behind the record: the polygons that the scene was drawn from."""
    label = json.loads((EXAMPLE.parent / "label.json").read_text())
    truth = np.zeros((384, 384), np.uint8)
    for feature in label["features"]["xy"]:
        kind = feature["properties"]["subtype"]
        corners = feature["wkt"].removeprefix("POLYGON ((").removesuffix("))").split(", ")
        points = np.array([each.split(" ") for each in corners], float).round().astype(np.int32)
        cv2.fillPoly(truth, [points], CLASS_NAMES.index(kind))
    with load_engine(EXAMPLE) as engine:
        pre, post = known_pair(256, 256)
        damage = engine.predict(pre, post).damage
    truth = truth[:256, :256]
    found, there = damage > 0, truth > 0
    assert 2 * (found & there).sum() / (found.sum() + there.sum()) > 0.85  # F1 of buildings
    assert (damage == truth).mean() > 0.9
    record = engine.manifest.verification[KEY]
    assert record["counts"] == np.bincount(damage.ravel(), minlength=5).tolist()


def test_the_same_answer_is_the_same():
    damage = np.random.default_rng(0).integers(0, 5, (96, 160), np.uint8)
    record = recorded(answering(damage), 96, 160)
    assert json.loads(json.dumps(record)) == record
    assert compared(answering(damage), record, 96, 160).agreement == 1.0


@pytest.mark.parametrize(("changed", "same"), [(20, True), (400, False)])
def test_a_few_pixels_may_differ_and_no_more(changed, same):
    rng = np.random.default_rng(1)
    damage = rng.integers(1, 5, (64, 64), np.uint8)
    record = recorded(answering(damage), 64, 64)
    other = damage.copy()
    places = rng.choice(64 * 64, changed, replace=False)
    other.ravel()[places] = other.ravel()[places] % 4 + 1
    found = compared(answering(other), record, 64, 64)
    assert found.agreement == pytest.approx(1 - changed / 4096)
    assert found.same == same


def test_an_empty_town_is_not_the_answer_of_an_engine_that_saw_buildings():
    damage = np.zeros((64, 64), np.uint8)
    damage[:4, :4] = 3
    record = recorded(answering(damage), 64, 64)
    found = compared(answering(np.zeros_like(damage)), record, 64, 64)
    assert (found.agreement, found.same) == (0.0, False)
    assert compared(answering(damage * 0), recorded(answering(damage * 0), 64, 64), 64, 64).same


@pytest.mark.parametrize(
    ("record", "what"),
    [
        (None, "records no answer"),
        ({"pair": "ab" * 32, "damage": ""}, "another pair"),
        ({"damage": "eJw"}, "another pair"),
    ],
)
def test_what_cannot_be_compared_is_never_the_same(record, what):
    with pytest.raises(UnknownAnswerError, match=what):
        compared(answering(np.zeros((32, 32), np.uint8)), record, 32, 32)


@pytest.mark.parametrize("damage", ["", "!", "eJw", 7, "eJxjAAAAAQAB"])
def test_a_record_that_is_damaged_is_never_the_same(damage):
    record = recorded(answering(np.zeros((32, 32), np.uint8)), 32, 32) | {"damage": damage}
    with pytest.raises(UnknownAnswerError, match="cannot be read"):
        compared(answering(np.zeros((32, 32), np.uint8)), record, 32, 32)


def test_the_pair_has_any_size(tmp_path: Path):
    for size in ((32, 48), (1024, 480)):
        pre, post = known_pair(*size)
        assert pre.shape == post.shape == (*size, 3)
        assert pre.dtype == np.uint8
        assert not np.array_equal(pre, post)
