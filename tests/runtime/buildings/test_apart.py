"""Buildings told apart and straightened, held to Shapely and to the map's pixels."""

from functools import partial
from itertools import pairwise

import cv2
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.buildings import find_buildings
from runtime.buildings.finding import Maps, buildings
from runtime.buildings.necks import separate
from runtime.buildings.regular import TOLERANCE
from runtime.damage import NODATA
from runtime.scene.strip import Strip

find_exact = partial(find_buildings, raw_outlines=True)


def polygons(found):
    return np.array([shapely.Polygon(each.rings[0], each.rings[1:]) for each in found], object)


def town(seed, height=70, width=60, rough=0.3, nodata=True):
    """Turned houses, some of which touch, as soft and ragged as a network's; uint8 [H,W] maps."""
    rng = np.random.default_rng(seed)
    soft = np.zeros((height, width), np.float32)
    for _ in range(rng.integers(1, 9)):
        centre = rng.uniform(0, (width, height)).tolist()
        box = cv2.boxPoints((centre, rng.uniform(3, 22, 2).tolist(), rng.uniform(0, 90)))
        cv2.fillPoly(soft, [np.round(box).astype(np.int32)], 1.0)
    soft = cv2.GaussianBlur(soft, (0, 0), 1.0)
    noise = cv2.GaussianBlur(rng.normal(size=soft.shape).astype(np.float32), (0, 0), 1.0)
    damage = (soft + rough * noise > 0.5).astype(np.uint8)
    damage *= rng.integers(1, 5, damage.shape, dtype=np.uint8)
    if nodata:
        damage[rng.integers(height) :, rng.integers(width) :] = NODATA
    return damage, rng.integers(0, 256, damage.shape, dtype=np.uint8)


def streamed(damage, confidence, heights, min_area):
    """The buildings of strips, of maps of which no more can be read than was handed on."""
    done = 0

    def strips():
        nonlocal done
        while done < len(damage):
            for height in heights:
                if done < len(damage):
                    top, done = done, min(done + height, len(damage))
                    yield Strip(top, damage[top:done], confidence[top:done])

    def read(name, top, left, height, width):
        assert top >= 0
        assert left >= 0
        assert left + width <= damage.shape[1]
        assert top + height <= done
        whole = {"damage": damage, "confidence": confidence}[name]
        return whole[top : top + height, left : left + width]

    return list(buildings(strips(), min_area, Maps(*damage.shape, read)))


def content(each):
    rings = tuple(tuple(map(tuple, ring.tolist())) for ring in each.rings)
    return rings, each.damage_class, each.confidence, each.area_px, each.cut, *each.shares.values()


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    heights=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    min_area=st.integers(1, 30),
)
def test_buildings_are_the_same_whatever_the_strips(seed, heights, min_area):
    maps = town(seed)
    found = streamed(*maps, heights, min_area)
    expected = find_buildings(*maps, min_area)
    assert sorted(map(content, found)) == sorted(map(content, expected))


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rough=st.sampled_from([0.0, 0.3, 1.0]))
def test_outlines_are_valid_apart_and_near_the_exact_ones(seed, rough):
    damage, confidence = town(seed, rough=rough)
    found, exact = find_buildings(damage, confidence), find_exact(damage, confidence)
    shapes, whole = polygons(found), shapely.union_all(polygons(exact))
    assert shapely.is_valid(shapes).all()
    first, second = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    pairs = first < second
    shared = shapely.intersection(shapes[first[pairs]], shapes[second[pairs]])
    assert shapely.area(shared).max(initial=0) < 1e-9
    together = shapely.union_all(shapes)
    if not whole.is_empty:
        apart = shapely.hausdorff_distance(whole.boundary, together.boundary, densify=0.01)
        assert apart <= TOLERANCE
    assert len(shapely.get_rings(together)) == len(shapely.get_rings(whole))  # with their holes
    assert sum(each.area_px for each in found) == sum(each.area_px for each in exact)
    scene = shapely.box(0, 0, *damage.shape[::-1])
    assert shapely.covers(scene, shapes).all()
    for each, shape in zip(found, shapes, strict=True):
        assert shape.area == pytest.approx(each.area_px, rel=0.05)
        assert each.rings[0][0].tolist() == min(each.rings[0].tolist(), key=lambda p: p[::-1])
        assert shapely.LinearRing(each.rings[0]).is_ccw
        assert not any(shapely.LinearRing(ring).is_ccw for ring in each.rings[1:])


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), min_area=st.integers(1, 60))
def test_every_pixel_of_a_component_is_in_one_connected_part(seed, min_area):
    damage, _ = town(seed, nodata=False)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        (damage > 0).astype(np.uint8), connectivity=4
    )
    for label in range(1, count):
        x, y, width, height = stats[label, :4].tolist()
        mask = (labels[y : y + height, x : x + width] == label).astype(np.uint8)
        parts, number = separate(mask, min_area)
        assert ((parts > 0) == (mask > 0)).all()
        assert sorted(np.unique(parts[mask > 0]).tolist()) == list(range(1, number + 1))
        for part in range(1, number + 1):
            here = (parts == part).astype(np.uint8)
            assert cv2.connectedComponents(here, connectivity=4)[0] == 2
            assert number == 1 or here.sum() >= min_area
        # It depends on these pixels alone, and not on where they lie in a box.
        wider, again = separate(np.pad(mask, 3), min_area)
        assert again == number
        assert (wider[3:-3, 3:-3] == parts).all()


def row_of_houses(neck):
    damage = np.zeros((20, 70), np.uint8)
    for x in range(4, 60, 16):
        damage[4:16, x : x + 12] = 1 + (x // 16) % 4
    damage[10 - neck // 2 : 10 - neck // 2 + neck, 4:64] = np.maximum(
        damage[10 - neck // 2 : 10 - neck // 2 + neck, 4:64], 1
    )
    return damage, np.full_like(damage, 200)


@pytest.mark.parametrize("neck", [1, 2, 4, 6])
def test_a_row_of_houses_joined_by_narrow_necks_is_several(neck):
    found = find_buildings(*row_of_houses(neck))
    assert len(find_exact(*row_of_houses(neck))) == 1
    assert [each.damage_class for each in found] == [1, 2, 3, 4]  # each has its own vote
    shapes = polygons(found)
    for one, other in pairwise(shapes):
        wall = shapely.intersection(one, other)
        assert wall.length >= neck - 0.01  # shared, not merely near
        assert set(map(tuple, shapely.get_coordinates(wall).tolist())) <= set(
            map(tuple, shapely.get_coordinates(one).tolist())
        )


@pytest.mark.parametrize(
    "boxes",
    [
        [(5, 5, 20, 90)],  # a long hall
        [(5, 5, 45, 17), (33, 5, 45, 60)],  # an L
        [(5, 5, 17, 60), (5, 25, 50, 37)],  # a T
        [(5, 5, 17, 50), (5, 38, 50, 50), (38, 5, 50, 50)],  # a U
        [(5, 25, 60, 37), (25, 5, 37, 60)],  # a cross
    ],
)
@pytest.mark.parametrize("angle", [0, 20, 45])
def test_a_hall_and_wings_as_wide_as_each_other_are_one_building(boxes, angle):
    mask = np.zeros((120, 120), np.uint8)
    turn = cv2.getRotationMatrix2D((32, 32), angle, 1.0)
    for top, left, bottom, right in boxes:
        corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], float)
        moved = corners @ turn[:, :2].T + turn[:, 2] + 20
        cv2.fillPoly(mask, [np.round(moved).astype(np.int32)], 1)
    assert len(find_buildings(mask, mask)) == 1


@pytest.mark.parametrize("angle", [10, 25, 40, 70])
def test_a_turned_house_has_four_right_angles_and_its_area(angle):
    mask = np.zeros((60, 60), np.uint8)
    box = cv2.boxPoints(((30.2, 29.7), (30.0, 18.0), angle))
    rows, columns = np.mgrid[:60, :60] + 0.5
    inside = shapely.contains_xy(shapely.Polygon(box), columns, rows)
    mask[inside] = 1
    (house,) = find_buildings(mask, mask)
    (exact,) = find_exact(mask, mask)
    assert len(house.rings[0]) == 4 < len(exact.rings[0])
    sides = np.roll(house.rings[0], -1, axis=0) - house.rings[0]
    sides /= np.hypot(*sides.T)[:, np.newaxis]
    assert np.abs((sides * np.roll(sides, -1, axis=0)).sum(axis=1)).max() < 0.005
    (shape,) = polygons([house])
    assert shape.area == pytest.approx(mask.sum(), rel=0.01)
    assert shapely.hausdorff_distance(shape, shapely.Polygon(box)) < 1.0


def test_a_rectangle_and_a_courtyard_keep_their_edges():
    mask = np.zeros((30, 40), np.uint8)
    mask[3:27, 5:35] = 1
    mask[10:20, 12:20] = 0
    (house,) = find_buildings(mask, mask)
    (exact,) = find_exact(mask, mask)
    assert polygons([house])[0].equals(polygons([exact])[0])


def test_a_small_part_is_joined_and_not_lost():
    damage, confidence = row_of_houses(2)
    damage[4:16, 56:64] = 0  # the last house is smaller
    damage[9:11, 56:64] = 1
    damage[6:14, 57:64] = 4
    assert len(find_buildings(damage, confidence)) == 4
    found = find_buildings(damage, confidence, min_area=120)
    assert len(found) == 3
    assert sum(each.area_px for each in found) == np.count_nonzero(damage)


def test_parts_of_a_building_that_is_cut_are_cut_where_they_are():
    damage, confidence = row_of_houses(2)
    damage = damage[:, 6:]
    damage[4:16, 58:] = NODATA
    assert [each.cut for each in find_buildings(damage, confidence[:, 6:])] == [
        "border", "", "", "not computed",
    ]  # fmt: skip


def test_a_component_in_an_enormous_box_stays_whole_and_exact():
    damage = np.zeros((2100, 2100), np.uint8)
    damage[np.arange(2100), np.arange(2100)] = 1
    damage[np.arange(2099), np.arange(1, 2100)] = 1
    (found,) = find_buildings(damage, damage)
    (exact,) = find_exact(damage, damage)
    assert (found.rings[0] == exact.rings[0]).all()
