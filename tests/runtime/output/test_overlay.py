import numpy as np
import pytest

from runtime.damage import CLASS_COLOURS, NODATA
from runtime.output.overlay import NODATA_COLOUR, colour_map, overlay, with_legend

GROUND = np.full((256, 320, 3), 90, np.uint8)


def test_each_class_has_its_colour():
    damage = np.array([[0, 1, 2, 3, 4, NODATA, 77]], np.uint8)
    expected = [*CLASS_COLOURS, NODATA_COLOUR, NODATA_COLOUR]
    np.testing.assert_array_equal(colour_map(damage)[0], expected)


def test_ground_without_buildings_is_left_as_it_is():
    damage = np.zeros(GROUND.shape[:2], np.uint8)
    np.testing.assert_array_equal(overlay(GROUND, damage), GROUND)


@pytest.mark.parametrize("value", [1, 2, 3, 4])
def test_a_building_is_outlined_in_full_colour_and_tinted_inside(value):
    damage = np.zeros(GROUND.shape[:2], np.uint8)
    damage[20:60, 100:150] = value
    picture = overlay(GROUND, damage)
    for at in ((20, 100), (59, 149), (20, 120), (40, 100)):
        np.testing.assert_array_equal(picture[at], CLASS_COLOURS[value])
    inside = picture[40, 120].astype(int)
    assert (np.abs(inside - 90) < np.abs(np.array(CLASS_COLOURS[value]) - 90)).all()
    assert (inside != 90).any()
    outside = damage == 0
    np.testing.assert_array_equal(picture[outside], GROUND[outside])


def test_nodata_looks_like_no_class():
    damage = np.full(GROUND.shape[:2], NODATA, np.uint8)
    picture = overlay(GROUND, damage).astype(int)
    assert (picture[..., 0] > picture[..., 1] + 50).all()
    assert (picture[..., 2] > picture[..., 1] + 50).all()
    assert (picture == NODATA_COLOUR).all(axis=-1).mean() > 0.1


def test_the_legend_lies_below_the_picture_and_names_nodata_only_where_it_occurs():
    damage = np.zeros(GROUND.shape[:2], np.uint8)
    picture = with_legend(GROUND, damage)
    np.testing.assert_array_equal(picture[:256], GROUND)
    strip = picture[256:].reshape(-1, 3).tolist()
    for colour in CLASS_COLOURS[1:]:
        assert list(colour) in strip
    assert list(NODATA_COLOUR) not in strip
    damage[0, -40:] = NODATA
    assert list(NODATA_COLOUR) in with_legend(GROUND, damage)[256:].reshape(-1, 3).tolist()


@pytest.mark.parametrize(("width", "rows"), [(20, 0), (130, 4), (300, 2), (1024, 1)])
def test_the_legend_wraps_to_the_width(width, rows):
    ground = np.full((64, width, 3), 90, np.uint8)
    picture = with_legend(ground, np.zeros((64, width), np.uint8))
    assert picture.shape[1] == width
    assert picture.shape[0] - 64 == (rows * 18 + 12 if rows else 0)


def test_inputs_are_not_changed():
    ground, damage = GROUND.copy(), np.full(GROUND.shape[:2], 4, np.uint8)
    overlay(ground, damage)
    np.testing.assert_array_equal(ground, GROUND)
    assert (damage == 4).all()
