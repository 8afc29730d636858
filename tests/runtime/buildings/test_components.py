import time
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from runtime.buildings import find_buildings as find_both
from runtime.buildings.finding import buildings
from runtime.buildings.outlines import corners_of, outlines
from runtime.damage import NODATA
from runtime.scene.strip import Strip

find_buildings = partial(find_both, raw_outlines=True)


def damage_of(picture: str) -> np.ndarray:
    """A damage map drawn with digits; '.' is background and 'x' NODATA."""
    values = {".": 0, "x": NODATA, **{str(n): n for n in range(5)}}
    return np.array([[values[each] for each in row] for row in picture.split()], np.uint8)


def cut(damage, confidence, heights):
    """The maps as strips of these heights in turn, from the top."""
    top = 0
    while top < len(damage):
        for height in heights:
            rows = slice(top, top + height)
            if top < len(damage):
                yield Strip(top, damage[rows], confidence[rows])
            top += height


def corners(ring):
    """A ring's corners from its smallest one on: two rings are equal if these are."""
    points = [tuple(each) for each in ring.tolist()]
    first = points.index(min(points))
    return tuple(points[first:] + points[:first])


def content(building):
    """Everything a building holds, in a form that can be compared."""
    exterior, *holes = (corners(ring) for ring in building.rings)
    return (
        exterior,
        tuple(sorted(holes)),
        building.damage_class,
        building.confidence,
        building.area_px,
        tuple(building.shares.items()),
    )


def same(found, expected):
    return sorted(map(content, found)) == sorted(map(content, expected))


def confidence_for(damage, seed=0):
    return np.random.default_rng(seed).integers(0, 256, damage.shape, dtype=np.uint8)


maps = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=16),
    elements=st.sampled_from([0, 0, 1, 2, 3, 4, NODATA]), fill=st.nothing(),
)  # fmt: skip
filled = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=16),
    elements=st.sampled_from([0, 1, 1, 1, 4, 4]), fill=st.nothing(),
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(
    damage=maps | filled,
    heights=st.lists(st.integers(1, 6), min_size=1, max_size=5),
    seed=st.integers(0, 2**32 - 1),
    min_area=st.integers(1, 5),
)
def test_strips_give_the_buildings_of_the_whole_map(by_contours, damage, heights, seed, min_area):
    confidence = confidence_for(damage, seed)
    found = buildings(cut(damage, confidence, heights), min_area)
    assert same(found, by_contours(damage, confidence, min_area))


@pytest.mark.parametrize("heights", [[1], [2], [3], [7, 1], [100]])
@pytest.mark.parametrize(
    "picture",
    [
        "1.1.1.1 1.1.1.1 1111111",  # joined at the last row
        "1111111 1.1.1.1 1.1.1.1",  # parts at the last row
        "11111 ....1 11111 1.... 11111 ....1 11111",  # a snake
        "11111 1...1 1.4.1 1...1 11111",  # a building in a courtyard
        "11111 1.1.1 11111 1.1.1 11111",  # courtyards that close across borders
        "1111 1.11 11.1 1111",  # two courtyards that touch in a corner
        "11.. 11.. ..22 ..22",  # two buildings that touch in a corner
        "111 1.1 .11 111",  # a courtyard open at a corner only
        ".1. 1.1 .1.",
        "11x11 xxxxx 11x11",
        "3333 3333 3333",
    ],
)
def test_shapes_that_cross_borders(by_contours, picture, heights):
    damage = damage_of(picture)
    confidence = confidence_for(damage)
    found = buildings(cut(damage, confidence, heights))
    assert same(found, by_contours(damage, confidence))


@pytest.mark.parametrize("density", [0.4, 0.55, 0.6, 0.75])
def test_large_ragged_components_are_joined(by_contours, density):
    rng = np.random.default_rng(1)
    damage = (rng.random((150, 160)) < density).astype(np.uint8) * 2
    confidence = confidence_for(damage)
    found = buildings(cut(damage, confidence, [32, 1, 17]))
    assert same(found, by_contours(damage, confidence))


@settings(max_examples=200, deadline=None)
@given(damage=maps | filled, seed=st.integers(0, 2**32 - 1))
def test_the_buildings_of_whole_maps_come_in_reading_order(by_contours, damage, seed):
    confidence = confidence_for(damage, seed)
    found = find_buildings(damage, confidence)
    assert [content(each) for each in found] == [
        content(each) for each in by_contours(damage, confidence)
    ]


@settings(max_examples=200, deadline=None)
@given(mask=filled)
def test_outlines_are_those_of_opencv(contours, mask):
    from cv2 import connectedComponents

    count, labels = connectedComponents(np.pad((mask > 0).astype(np.uint8), 1), connectivity=4)
    found = outlines(corners_of(labels, 0))
    assert sorted(found) == list(range(1, count))
    for label, outline in found.items():
        expected = contours((labels[1:-1, 1:-1] == label).astype(np.uint8))
        assert corners(outline[0]) == corners(expected[0])
        assert sorted(map(corners, outline[1:])) == sorted(map(corners, expected[1:]))


def test_a_building_comes_with_its_last_row_and_not_with_the_scene():
    damage = damage_of("1.2. 1... 1.3. ....")
    strips = list(cut(damage, confidence_for(damage), [1]))
    taken = []

    def watched():
        for strip in strips:
            taken.append(strip.top)
            yield strip

    stream = buildings(watched())
    assert (next(stream).damage_class, taken) == (2, [0, 1])
    assert {each.damage_class for each in (next(stream), next(stream))} == {1, 3}
    assert taken == [0, 1, 2, 3]


def test_no_strip_and_empty_strips_have_no_building():
    assert list(buildings([])) == []
    nothing = np.zeros((4, 5), np.uint8)
    assert list(buildings(cut(nothing, nothing, [2]))) == []


def test_strips_with_a_gap_are_refused():
    row = np.ones((1, 3), np.uint8)
    with pytest.raises(ValueError, match="rows from 2, 3 columns; expected rows from 1"):
        list(buildings([Strip(0, row, row), Strip(2, row, row)]))


def test_one_building_as_large_as_the_scene_is_held_as_its_outline():
    strip = np.full((10, 20_000), 4, np.uint8)
    (building,) = buildings(Strip(10 * i, strip, strip) for i in range(100))
    assert building.area_px == 1000 * 20_000
    assert corners(building.rings[0]) == ((0, 0), (20_000, 0), (20_000, 1000), (0, 1000))


@pytest.mark.slow
def test_a_large_town_takes_seconds(capsys):
    side, rng = 8192, np.random.default_rng(0)
    damage = np.zeros((side, side), np.uint8)
    for y in range(0, side - 57, 57):
        for x in range(0, side - 57, 57):
            height, width = rng.integers(8, 50, 2)
            damage[y + 3 : y + 3 + height, x + 3 : x + 3 + width] = rng.integers(1, 5)
    confidence = np.full_like(damage, 200)
    expected = (side // 57) ** 2
    begin = time.perf_counter()
    count = sum(1 for _ in buildings(cut(damage, confidence, [512])))
    seconds = time.perf_counter() - begin
    with capsys.disabled():
        print(f"\n{count} buildings of {side}x{side} pixels: {seconds:.1f} s")
    assert expected * 0.99 <= count <= expected
