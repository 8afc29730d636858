import json
import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from shapely.geometry import mapping, shape

from runtime.buildings import find_buildings as find_both
from runtime.output.geojson import feature, members, values, write_in_pixels

find_buildings = partial(find_both, raw_outlines=True)

DAMAGE = np.array([[1, 1, 1, 1], [1, 0, 4, 1], [1, 1, 1, 1], [0, 0, 0, 0]], np.uint8)


def flat(damage, value=255):
    return np.full_like(damage, value)


def test_geojson_says_that_it_is_in_pixels(tmp_path):
    write_in_pixels(find_buildings(DAMAGE, flat(DAMAGE, 204)), tmp_path / "a.geojson")
    content = json.loads((tmp_path / "a.geojson").read_text())
    assert content["type"] == "FeatureCollection"
    assert content["coordinate_space"] == "pixel"
    assert "top left corner" in content["coordinate_note"]
    # RFC 7946, 7.1: the members that define other objects are not for this one.
    assert not {"coordinates", "geometries", "geometry", "properties"} & set(content)
    (only,) = content["features"]
    assert only["properties"]["damage"] == "no-damage"
    assert only["properties"]["confidence"] == 0.8
    assert only["properties"]["area_px"] == 11
    for ring in only["geometry"]["coordinates"]:
        assert ring[0] == ring[-1]
        assert len(ring) >= 4
    assert shape(only["geometry"]).area == 11
    assert mapping(shape(only["geometry"]))["type"] == "Polygon"


def test_no_building_is_an_empty_collection(tmp_path):
    write_in_pixels([], tmp_path / "a.geojson")
    assert json.loads((tmp_path / "a.geojson").read_text())["features"] == []


def test_a_failure_while_streaming_leaves_no_geojson(tmp_path):
    def found():
        yield from find_buildings(DAMAGE, flat(DAMAGE))
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_in_pixels(found(), tmp_path / "a.geojson")
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=100, deadline=None)
@given(damage=hnp.arrays(np.uint8, (9, 11), elements=st.sampled_from([0, 1, 1, 4])))
def test_the_corners_are_in_the_order_of_earlier_versions(damage):
    """From the corner after the top left one, counter-clockwise, and holes from below."""
    for building in find_buildings(damage, flat(damage)):
        exterior, *holes = feature(building)["geometry"]["coordinates"]
        for ring in (exterior, *holes):
            assert min(ring, key=lambda point: point[::-1]) == ring[-2]
        ends = [ring[-2][::-1] for ring in holes]
        assert ends == sorted(ends, reverse=True)


columns = st.one_of(
    st.lists(st.floats()).map(lambda each: np.array(each, np.float64)),
    st.lists(st.integers(-(2**63), 2**63 - 1)).map(lambda each: np.array(each, np.int64)),
    st.lists(st.booleans()).map(lambda each: np.array(each, bool)),
    st.lists(st.none() | st.text()).map(lambda each: np.array([*each, None], object)[:-1]),
)


@given(columns, st.data())
def test_a_column_becomes_the_json_of_its_values(column, data):
    mask = data.draw(st.lists(st.booleans(), min_size=len(column), max_size=len(column)))
    for one in (column, np.ma.MaskedArray(column, np.array(mask, bool))):
        plain = [
            None if isinstance(each, float) and not math.isfinite(each) else each
            for each in one.tolist()
        ]
        assert values(one) == [json.dumps(each) for each in plain]


@given(st.lists(st.text(), unique=True))
def test_members_are_a_template_for_any_name(names):
    numbers = range(len(names))
    text = "{" + members(names) % tuple(map(str, numbers)) + "}"
    assert json.loads(text) == dict(zip(names, numbers, strict=True))
