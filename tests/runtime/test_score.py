import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from runtime.damage import IGNORE, NODATA
from runtime.score import Counts, Tally


def counted(prediction, target, building=None, target_building=None) -> Counts:
    """Counts of one row; buildings are where damage is not 0 unless told."""
    prediction, target = np.array([prediction], np.uint8), np.array([target], np.uint8)
    counts = Counts()
    counts.add(
        prediction if building is None else np.array([building]),
        prediction,
        target if target_building is None else np.array([target_building]),
        target,
    )
    return counts


def harmonic(*f1s):
    return 4 / sum(1 / (f1 + 1e-6) for f1 in f1s)


def test_a_perfect_map_scores_one():
    counts = counted([0, 1, 2, 3, 4], [0, 1, 2, 3, 4])
    assert counts.localization_f1 == 1
    assert counts.class_f1 == (1, 1, 1, 1)
    assert counts.damage_f1 == pytest.approx(1, abs=2e-6)
    assert counts.score == pytest.approx(1, abs=2e-6)


def test_a_case_computed_by_hand():
    #                 no-damage      minor     major  destroyed   background
    counts = counted([1, 1, 1, 2, 0, 2, 2, 1, 3, 3, 4, 4, 4, 3, 0, 1, 0],
                     [1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 4, 4, 4, 0, 0])  # fmt: skip
    # Found 13 of 15 building pixels, and one that is none.
    assert counts.localization.tolist() == [13, 1, 2]
    assert counts.localization_f1 == pytest.approx(26 / 29)
    # A false building on background costs localization, not damage.
    expected = (6 / 9, 4 / 6, 4 / 5, 6 / 8)
    assert counts.class_f1 == pytest.approx(expected)
    assert counts.damage_f1 == pytest.approx(harmonic(*expected))
    assert counts.score == pytest.approx(0.3 * 26 / 29 + 0.7 * harmonic(*expected))


def test_precision_and_recall_of_the_case_computed_by_hand():
    counts = counted([1, 1, 1, 2, 0, 2, 2, 1, 3, 3, 4, 4, 4, 3, 0, 1, 0],
                     [1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 4, 4, 4, 0, 0])  # fmt: skip
    found = counts.as_dict()
    assert (found["localization_precision"], found["localization_recall"]) == (13 / 14, 13 / 15)
    # The false no-damage pixel on background is no damage pixel at all: 3 of 4, not of 5.
    assert [*found["class_precision"].values()] == [3 / 4, 2 / 3, 2 / 3, 1]
    assert [*found["class_recall"].values()] == [3 / 5, 2 / 3, 1, 3 / 5]


def test_a_tally_tells_truth_from_prediction():
    confusion = np.array([[0, 0, 0], [2, 5, 1], [4, 3, 0]])
    one, two = (Tally.of_class(confusion, value) for value in (1, 2))
    assert one == Tally(true_positive=5, false_positive=3, false_negative=3)
    assert two == Tally(true_positive=0, false_positive=1, false_negative=7)
    assert (one.actual, one.precision, one.recall, one.f1) == (8, 5 / 8, 5 / 8, 5 / 8)
    assert (two.actual, two.precision, two.recall, two.f1) == (7, 0, 0, 0)


@given(hits=st.integers(1, 10**12), extra=st.integers(0, 10**12), missed=st.integers(0, 10**12))
def test_f1_is_the_harmonic_mean_of_precision_and_recall(hits, extra, missed):
    tally = Tally(hits, extra, missed)
    assert tally.precision == hits / (hits + extra)
    assert tally.recall == hits / (hits + missed)
    assert tally.f1 == pytest.approx(2 / (1 / tally.precision + 1 / tally.recall))


def test_a_class_that_no_target_has_scores_zero():
    counts = counted([1, 2, 3], [1, 2, 3])
    assert counts.class_f1 == (1, 1, 1, 0)
    assert counts.damage_f1 == pytest.approx(harmonic(1, 1, 1, 0))
    assert counts.damage_f1 < 1e-5


def test_a_class_never_hit_scores_zero():
    counts = counted([1, 2, 3, 3], [1, 2, 3, 4])
    assert counts.class_f1 == pytest.approx((1, 1, 2 / 3, 0))


def test_nothing_counted_scores_zero():
    counts = Counts()
    assert (counts.localization_f1, counts.class_f1) == (0, (0, 0, 0, 0))
    assert counts.damage_f1 == pytest.approx(1e-6)
    assert counts.score == pytest.approx(0, abs=1e-6)


def test_unclassified_buildings_count_for_localization_alone():
    judged = counted([1, 2, 3, 4], [1, 2, 3, 4])
    more = counted([1, 2, 3, 4, 4, 0], [1, 2, 3, 4, IGNORE, IGNORE])
    assert more.localization.tolist() == [5, 0, 1]
    np.testing.assert_array_equal(more.confusion, judged.confusion)
    # The same with a building target of its own, where such a building is 1.
    other = counted([1, 2], [1, IGNORE], target_building=[1, 1])
    assert other.localization.tolist() == [2, 0, 0]


def test_damage_is_gated_by_the_predicted_buildings():
    counts = counted([1, 2, 3, 4], [1, 2, 3, 4], building=[True, False, True, False])
    assert counts.localization.tolist() == [2, 0, 2]
    assert counts.class_f1 == (1, 0, 1, 0)
    assert counts.confusion[2].tolist() == [1, 0, 0, 0, 0]


def test_what_was_not_computed_is_neither_building_nor_damage():
    counts = counted([NODATA, NODATA, 1], [1, 0, 1])
    assert counts.localization.tolist() == [1, 0, 1]
    assert counts.confusion[1].tolist() == [1, 1, 0, 0, 0]


def test_confusion_has_targets_in_rows():
    counts = counted([4, 4, 1, 0, 3], [1, 1, 4, 4, 0])
    assert counts.confusion[1, 4] == 2
    assert counts.confusion[4, 1] == 1
    assert counts.confusion[4, 0] == 1
    assert counts.confusion.sum() == 4
    assert counts.confusion.dtype == np.int64


def reference(tiles):
    """The definition, one pixel after the other, without a confusion matrix."""
    names = ("tp", "fp", "fn")
    local = dict.fromkeys(names, 0)
    classes = {each: dict.fromkeys(names, 0) for each in (1, 2, 3, 4)}
    for tile in tiles:
        for building, damage, there, truth in zip(*(each.flat for each in tile), strict=True):
            found, real = bool(building), there > 0
            local["tp"] += found and real
            local["fp"] += found and not real
            local["fn"] += real and not found
            if truth in (0, IGNORE):
                continue
            predicted = damage if found else 0
            for each, sums in classes.items():
                sums["tp"] += predicted == each and truth == each
                sums["fp"] += predicted == each and truth != each
                sums["fn"] += predicted != each and truth == each

    def f1(sums):
        if sums["tp"] == 0:
            return 0.0
        precision = sums["tp"] / (sums["tp"] + sums["fp"])
        recall = sums["tp"] / (sums["tp"] + sums["fn"])
        return 2 * precision * recall / (precision + recall)

    damage_f1 = harmonic(*(f1(sums) for sums in classes.values()))
    return f1(local), damage_f1, 0.3 * f1(local) + 0.7 * damage_f1


def maps(values):
    return hnp.arrays(np.uint8, (2, 3, 5), elements=st.sampled_from(values), fill=st.nothing())


tile = st.tuples(
    maps([0, 1]).map(lambda each: each.astype(bool)),
    maps([0, 1, 2, 3, 4]),
    maps([0, 1]),
    maps([0, 1, 2, 3, 4, IGNORE]),
)


@settings(max_examples=100, deadline=None)
@given(tiles=st.lists(tile, max_size=3))
def test_the_score_is_its_definition_pixel_by_pixel(tiles):
    whole, parts = Counts(), Counts()
    for each in tiles:
        whole.add(*each)
        part = Counts()
        part.add(*each)
        parts = parts + part
    expected = reference(tiles)
    assert (whole.localization_f1, whole.damage_f1, whole.score) == pytest.approx(expected)
    assert whole.as_dict() == parts.as_dict()


def test_a_sum_leaves_its_parts_alone():
    one, two = counted([1], [1]), counted([2], [2])
    both = one + two
    both.add([1], [1], [1], [1])
    assert one.confusion.sum() == two.confusion.sum() == 1
    assert both.confusion.sum() == 3


def test_as_dict_is_json_with_names():
    content = json.loads(json.dumps(counted([1, 4, 4], [1, 4, 3]).as_dict()))
    assert content["class_f1"]["destroyed"] == pytest.approx(2 / 3)
    assert content["counts"]["destroyed"] == {
        "true_positive": 1,
        "false_positive": 1,
        "false_negative": 0,
    }
    assert content["counts"]["localization"]["true_positive"] == 3
    assert content["confusion"][3] == [0, 0, 0, 0, 1]
    assert content["score"] == pytest.approx(
        0.3 * content["localization_f1"] + 0.7 * content["damage_f1"]
    )


@pytest.mark.parametrize("position", range(4))
@pytest.mark.parametrize("value", [5, 254, -1])
def test_a_value_outside_the_scale_is_refused(position, value):
    arrays = [np.array([1]) for _ in range(4)]
    arrays[position] = np.array([value])
    with pytest.raises(ValueError, match=f"holds {value}; expected 0..4 or 255"):
        Counts().add(*arrays)


def test_probabilities_and_shapes_that_differ_are_refused():
    one = np.array([1])
    with pytest.raises(ValueError, match="prediction_building must be bool or whole numbers"):
        Counts().add(np.array([0.7]), one, one, one)
    with pytest.raises(ValueError, match="one shape"):
        Counts().add(one, one, one, np.array([1, 1]))
