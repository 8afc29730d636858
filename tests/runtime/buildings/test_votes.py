from functools import partial
from math import isnan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from shapely.geometry import box, shape
from shapely.ops import unary_union
from shapely.validation import explain_validity

from runtime.buildings import find_buildings as find_both
from runtime.buildings.votes import judge, judge_each
from runtime.damage import NODATA
from runtime.output.geojson import feature

find_buildings = partial(find_both, raw_outlines=True)


def damage_of(picture: str) -> np.ndarray:
    """A damage map drawn with digits; '.' is background and 'x' NODATA."""
    rows = picture.split()
    values = {".": 0, "x": NODATA, **{str(n): n for n in range(5)}}
    return np.array([[values[each] for each in row] for row in rows], np.uint8)


def polygon(building):
    return shape(feature(building)["geometry"])


def flat(damage, value=255):
    return np.full_like(damage, value)


def test_one_pixel_is_a_unit_square():
    damage = damage_of("... .4. ...")
    (building,) = find_buildings(damage, flat(damage))
    assert polygon(building).equals(box(1, 1, 2, 2))
    assert len(building.rings[0]) == 4


def test_a_rectangle_has_four_corners():
    damage = np.zeros((20, 30), np.uint8)
    damage[5:15, 10:30] = 1
    (building,) = find_buildings(damage, flat(damage))
    assert polygon(building).equals(box(10, 5, 30, 15))
    assert [len(ring) for ring in building.rings] == [4]


def test_a_courtyard_is_a_hole():
    damage = damage_of("1111 1..1 1.11 1111")
    (building,) = find_buildings(damage, flat(damage))
    assert [len(ring) for ring in building.rings] == [4, 6]
    assert polygon(building).area == building.area_px == 13


def test_buildings_that_touch_at_a_corner_are_two():
    damage = damage_of("11.. 11.. ..11 ..11")
    assert [each.area_px for each in find_buildings(damage, flat(damage))] == [4, 4]


def test_a_building_inside_a_courtyard_is_its_own():
    damage = damage_of("11111 1...1 1.4.1 1...1 11111")
    outer, inner = find_buildings(damage, flat(damage))
    assert (outer.damage, inner.damage) == ("no-damage", "destroyed")
    assert not polygon(outer).intersects(polygon(inner))


def test_nodata_and_background_are_no_buildings():
    damage = damage_of("xx.. x..1 xxx1")
    (building,) = find_buildings(damage, flat(damage))
    assert building.area_px == 2
    assert find_buildings(damage_of("... ..."), damage_of("... ...")) == []
    assert find_buildings(damage_of("xxx xxx"), damage_of("xxx xxx")) == []


def test_the_surer_pixels_outvote_the_more():
    damage = damage_of("1112")
    confidence = np.array([[60, 70, 50, 200]], np.uint8)
    (building,) = find_buildings(damage, confidence)
    assert (building.damage, building.damage_class) == ("minor-damage", 2)
    assert building.confidence == pytest.approx(200 / 255)
    assert building.shares == {
        "no-damage": 0.75,
        "minor-damage": 0.25,
        "major-damage": 0.0,
        "destroyed": 0.0,
    }
    confidence[0, 0] = 90
    (building,) = find_buildings(damage, confidence)
    assert building.damage_class == 1
    assert building.confidence == pytest.approx((90 + 70 + 50) / 3 / 255)


def test_a_tie_goes_to_the_more_severe_class_that_is_there():
    damage = damage_of("13")
    assert find_buildings(damage, flat(damage, 9))[0].damage_class == 3
    (building,) = find_buildings(damage, flat(damage, 0))
    assert (building.damage_class, building.confidence) == (3, 0.0)


def test_small_buildings_can_be_left_out():
    damage = damage_of("1.22.333")
    found = find_buildings(damage, flat(damage), min_area=2)
    assert [each.area_px for each in found] == [2, 3]


@settings(max_examples=150, deadline=None)
@given(
    damage=hnp.arrays(
        np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=14),
        elements=st.sampled_from([0, 0, 1, 2, 3, 4, NODATA]), fill=st.nothing(),
    ),
    seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_polygons_are_valid_and_cover_exactly_their_pixels(damage, seed):
    confidence = np.random.default_rng(seed).integers(0, 256, damage.shape, dtype=np.uint8)
    buildings = find_buildings(damage, confidence)
    pixels = [box(x, y, x + 1, y + 1) for y, x in np.argwhere((damage > 0) & (damage < 5))]
    assert sum(each.area_px for each in buildings) == len(pixels)
    for building in buildings:
        outline = polygon(building)
        assert outline.is_valid, explain_validity(outline)
        assert outline.area == building.area_px
        assert outline.exterior.is_ccw
        assert not any(ring.is_ccw for ring in outline.interiors)
        steps = [np.diff(np.vstack([ring, ring[:1]]), axis=0) for ring in building.rings]
        assert all(((each != 0).sum(axis=1) == 1).all() for each in steps)
        assert sum(building.shares.values()) == pytest.approx(1)
        assert 0 <= building.confidence <= 1
    together = unary_union([polygon(each) for each in buildings])
    assert together.symmetric_difference(unary_union(pixels)).area == 0


@pytest.mark.parametrize("density", [0.45, 0.6, 0.75, 0.95])
def test_large_ragged_components_are_valid(density):
    damage = (np.random.default_rng(1).random((120, 120)) < density).astype(np.uint8)
    for building in find_buildings(damage, flat(damage)):
        outline = polygon(building)
        assert outline.is_valid
        assert outline.area == building.area_px


def test_thousands_of_buildings_are_all_found():
    damage = np.zeros((1024, 1024), np.uint8)
    rng = np.random.default_rng(0)
    for y in range(1, 1003, 22):
        for x in range(1, 1003, 22):
            damage[y : y + rng.integers(5, 20), x : x + rng.integers(5, 20)] = 1 + x % 4
    buildings = find_buildings(damage, flat(damage))
    assert len(buildings) == len(range(1, 1003, 22)) ** 2
    assert sum(each.area_px for each in buildings) == np.count_nonzero(damage)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=4, max_size=4)))
def test_many_are_judged_as_one_is(rows):
    # Votes of the same height, with and without pixels, among them.
    pixels = np.array([[number for number, _ in row] for row in rows], np.int64).reshape(-1, 4)
    votes = np.array([[n * mean for n, mean in row] for row in rows], np.int64).reshape(-1, 4)
    classes, means = judge_each(pixels, votes)
    for row, (found, mean) in enumerate(zip(classes.tolist(), means.tolist(), strict=True)):
        if pixels[row].any():
            assert (found, mean) == judge(pixels[row].tolist(), votes[row].tolist())
        else:
            assert found == NODATA
            assert isnan(mean)
