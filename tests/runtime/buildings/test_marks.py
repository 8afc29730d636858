import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from runtime.buildings import find_buildings
from runtime.buildings.components import components
from runtime.buildings.marks import BORDER, CONTACT, NOT_COMPUTED
from runtime.damage import NODATA
from runtime.scene.strip import Strip

maps = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
    elements=st.sampled_from([0, 0, 0, 1, 4, NODATA]), fill=st.nothing(),
)  # fmt: skip


def by_the_whole_map(damage):
    """(area, first pixel, marks) of each component, pixel by pixel."""
    mask = ((damage > 0) & (damage < 5)).astype(np.uint8)
    count, labels = cv2.connectedComponents(mask, connectivity=4)
    height, width = damage.shape
    found = []
    for label in range(1, count):
        marks = 0
        pixels = np.argwhere(labels == label)
        for y, x in pixels.tolist():
            for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)):
                inside = 0 <= y + dy < height and 0 <= x + dx < width
                if dy and dx:
                    if inside and labels[y + dy, x + dx] not in (0, label):
                        marks |= CONTACT
                elif not inside:
                    marks |= BORDER
                elif damage[y + dy, x + dx] == NODATA:
                    marks |= NOT_COMPUTED
        found.append((len(pixels), tuple(pixels[0].tolist()), marks))
    return sorted(found)


@settings(max_examples=300, deadline=None)
@given(damage=maps, heights=st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_marks_are_those_of_the_whole_map_whatever_the_strips(damage, heights):
    strips, top = [], 0
    while top < len(damage):
        for height in heights:
            rows = damage[top : top + height]
            strips.append(Strip(min(top, len(damage)), rows, rows))
            top += height
            if top >= len(damage):
                break
    found = [
        (each.area, tuple(each.rings[0][0, ::-1].tolist()), each.marks)
        for each in components(strips)
    ]
    assert sorted(found) == by_the_whole_map(damage)


@pytest.mark.parametrize(
    ("picture", "cuts"),
    [
        ("..... .111. .....", [""]),
        ("111.. ..... .....", ["border"]),
        ("..... .11x. .....", ["not computed"]),
        ("..... ..11x ..11.", ["border and not computed"]),
        ("x.... .11.. .....", [""]),  # a corner of it alone
    ],
)
def test_a_building_says_what_cuts_it(picture, cuts):
    values = {".": 0, "x": NODATA, "1": 1}
    damage = np.array([[values[each] for each in row] for row in picture.split()], np.uint8)
    assert [each.cut for each in find_buildings(damage, damage)] == cuts
