import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import rasterize
from shapely.geometry import MultiPolygon, Polygon, box

from runtime.buildings import spans as module
from runtime.buildings.spans import edges_of, spans_of

HEIGHT, WIDTH = 30, 40


def masks(shapes):
    """Each shape's pixels, bool [N,HEIGHT,WIDTH]."""
    array = np.empty(len(shapes), object)
    array[:] = shapes
    spans = spans_of(array, HEIGHT, WIDTH)
    bounds = pairwise(np.searchsorted(spans.owner, np.arange(len(shapes) + 1)))
    return np.array([spans[a:b].mask(0, 0, HEIGHT, WIDTH) for a, b in bounds])


# No centre of a pixel lies on such a coordinate's edges, where every rasteriser has its own rule.
odd = st.floats(-8, 48, allow_nan=False).map(lambda value: value + 0.0123)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(st.tuples(odd, odd), min_size=3, max_size=8), min_size=1, max_size=5))
def test_pixels_are_those_whose_centre_is_inside(rings):
    shapes = [Polygon(ring).buffer(0) for ring in rings]
    x, y = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    for shape, mask in zip(shapes, masks(shapes), strict=True):
        clear = shapely.distance(shapely.boundary(shape), shapely.points(x, y)) > 1e-9
        clear |= shape.is_empty
        assert (mask == shapely.contains_xy(shape, x, y))[clear].all()


def test_they_are_those_that_gdal_burns():
    rng = np.random.default_rng(0)
    shapes = [Polygon(rng.uniform(-5, 45, (7, 2))) for _ in range(200)]
    for shape, mask in zip(shapes, masks(shapes), strict=True):
        assert (mask == rasterize([shape], out_shape=(HEIGHT, WIDTH), dtype="uint8")).all()


def test_neighbours_share_no_pixel_and_leave_none():
    # Their edges run through centres, at any slope.
    rng = np.random.default_rng(1)
    points = shapely.multipoints(rng.integers(-20, 120, (80, 2)) / 2)
    cells = shapely.get_parts(shapely.delaunay_triangles(points))
    whole = masks([shapely.union_all(cells)])[0]
    assert (masks(list(cells)).sum(axis=0)[whole] == 1).all()


@pytest.mark.parametrize(
    ("shape", "pixels"),
    [
        (box(1, 1, 4, 3), 6),
        (box(1, 1, 9, 9).difference(box(3, 3, 5, 6)), 58),
        (MultiPolygon([box(0, 0, 2, 2), box(5, 0, 7, 2)]), 8),
        (MultiPolygon([box(0, 0, 4, 2), box(2, 0, 7, 2)]), 14),  # parts over each other
        (box(-99, -99, 99, 99), HEIGHT * WIDTH),
        (box(0.1, 0.1, 0.4, 0.4), 0),
        (box(90, 3, 95, 9), 0),
        (Polygon(), 0),
        (None, 0),
    ],
)
def test_shapes_in_whole_pixels(shape, pixels):
    before, mask, after = masks([box(0, 0, 1, 1), shape, box(0, 0, 1, 2)])
    assert mask.sum() == pixels
    assert (before.sum(), after.sum()) == (1, 2)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.lists(st.tuples(odd, odd), min_size=3, max_size=9), min_size=1, max_size=9),
    st.integers(1, 300),
)
def test_in_bands_the_spans_are_the_same(rings, crossings):
    shapes = np.array([None, *(Polygon(ring) for ring in rings), None, box(2, 2, 9, 9)], object)
    expected = spans_of(shapes, HEIGHT, WIDTH)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MOST_CROSSINGS", crossings)
        bands = list(edges_of(shapes, HEIGHT, WIDTH).bands())
    for index in range(len(shapes)):
        parts = [band[slice(*np.searchsorted(band.owner, (index, index + 1)))] for band in bands]
        here = expected[slice(*np.searchsorted(expected.owner, (index, index + 1)))]
        for name in ("owner", "row", "begin", "end"):
            found = [getattr(part, name) for part in parts]
            assert np.concatenate([*found, []]).tolist() == getattr(here, name).tolist()


rings = st.lists(st.lists(st.tuples(odd, odd), min_size=3, max_size=7), min_size=1, max_size=4)


@settings(max_examples=200, deadline=None)
@given(rings, rings, st.integers(1, 50))
def test_merged_and_cut_they_are_the_same_pixels_each_once(first, second, most):
    shapes = np.empty(3, object)
    shapes[:] = [MultiPolygon([Polygon(ring) for ring in each]) for each in (first, second, first)]
    area = MultiPolygon([Polygon(ring) for ring in second])
    before, inside = masks(shapes), masks([area])[0]
    spans = spans_of(shapes, HEIGHT, WIDTH).merged()
    within = spans.within(spans_of(np.array([area], object), HEIGHT, WIDTH).merged())
    for found, expected in ((spans, before), (within, before & inside)):
        counted = np.zeros(before.shape, int)
        for chunk in found.chunks(most, 9):
            owner, row, column = chunk.pixels()
            assert len(owner) <= max(most, WIDTH)
            assert len(chunk.row) <= 9
            np.add.at(counted, (owner, row, column), 1)
        assert (counted == expected).all()


@settings(max_examples=100, deadline=None)
@given(rings, rings)
def test_coordinates_may_be_those_of_another_crs(first, second):
    several = [MultiPolygon([Polygon(ring) for ring in each]) for each in (first, second)]
    shapes = np.empty(9, object)
    shapes[:] = [
        Polygon(first[0]), None, box(3, 3, 30, 25).difference(box(5, 5, 9.1, 9.2)), several[0],
        Polygon(), several[1].buffer(0), box(400, 0, 410, 9), box(1, 2, 9, 9), several[1],
    ]  # fmt: skip
    placed = shapely.transform(shapes, lambda points: points * (0.5, -0.5) + (4e5, 5e6))
    points = shapely.get_coordinates(shapes)
    for chosen in (slice(None), slice(0, 3)):  # the second: polygons alone
        here = points[: shapely.get_num_coordinates(shapes[chosen]).sum()]
        found = edges_of(placed[chosen], HEIGHT, WIDTH, here).between(0, HEIGHT)
        expected = spans_of(shapes[chosen], HEIGHT, WIDTH)
        for name in ("owner", "row", "begin", "end"):
            assert getattr(found, name).tolist() == getattr(expected, name).tolist()


def test_the_mask_of_a_part_of_the_scene_is_that_part_of_the_mask():
    spans = spans_of(np.array([Polygon([(-9, 2), (35, 5.2), (20, 28)])]), HEIGHT, WIDTH)
    whole = spans.mask(0, 0, HEIGHT, WIDTH)
    for top, left, height, width in ((0, 0, 7, 9), (3, 11, 20, 20), (25, 30, 5, 10)):
        part = spans.mask(top, left, height, width)
        assert (part == whole[top : top + height, left : left + width]).all()


def test_a_zigzag_takes_memory_by_its_corners_not_by_the_rows_it_crosses():
    x = np.linspace(10.1, 9_990.1, 2_000)
    y = np.where(np.arange(2_000) % 2, 9_999.0, 1.0)
    zigzag = np.array([Polygon([*zip(x, y, strict=True), (9_990.1, 9_999.5), (10.1, 9_999.5)])])
    tracemalloc.start()
    bands = edges_of(zigzag, 10_000, 10_000).bands()
    area = sum(int((band.end - band.begin).sum()) for band in bands)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert area == pytest.approx(shapely.area(shapely.make_valid(zigzag[0])), rel=1e-3)
    assert peak < 200 << 20


@pytest.mark.parametrize("far", [box(1e5, 1e5, 2e5, 2e5), box(-9e9, 0, -1, 9e9)])
def test_footprints_beside_the_scene_cost_nothing(far):
    edges = edges_of(np.array([far] * 100, object), 10**5, 10**5)
    assert not len(edges.owner)
