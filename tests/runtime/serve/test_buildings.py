import json
import sqlite3
from collections import Counter

import numpy as np
import pytest
from shapely.geometry import Polygon, box

from runtime.corrections import Corrections


@pytest.fixture
def path(finished):
    yield f"/api/jobs/{finished.id}"
    for each in Corrections(finished.places.maps / finished.id).all():
        Corrections(finished.places.maps / finished.id).remove(each.id)


@pytest.fixture(scope="module")
def features(finished):
    """Of the map's own GeoJSON, which is in pixels."""
    content = json.loads((finished.places.maps / finished.id / "buildings.geojson").read_text())
    return content["features"]


def page(finished, path, **query):
    answer = finished.client.get(f"{path}/buildings", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_pages_are_all_buildings_each_once(finished, path, features):
    found = []
    while len(found) < len(features):
        some = page(finished, path, sort="id", offset=len(found), limit=7)
        assert some["total"] == len(features)
        found += some["buildings"]
    assert [each["id"] for each in found] == list(range(len(features)))
    for each, feature in zip(found, features, strict=True):
        assert each["class"] == feature["properties"]["damage"]
        assert each["confidence"] == feature["properties"]["confidence"]
        assert Polygon(each["ring"]).equals(Polygon(feature["geometry"]["coordinates"][0]))
        assert each["corrected"] is None


def test_the_least_certain_come_first(finished, path, features):
    found = page(finished, path, limit=1000)["buildings"]
    certain = sorted(each["properties"]["confidence"] for each in features)
    assert [each["confidence"] for each in found] == certain


def test_within_a_box_are_those_whose_bounds_touch_it(finished, path, features):
    random = np.random.default_rng(1)
    shapes = [Polygon(each["geometry"]["coordinates"][0]).envelope for each in features]
    for _ in range(10):
        left, top = random.uniform(0, 500), random.uniform(0, 280)
        here = box(left, top, left + 60, top + 40)
        found = page(
            finished, path, min_x=left, min_y=top, max_x=left + 60, max_y=top + 40, limit=1000
        )
        expected = {number for number, each in enumerate(shapes) if each.intersects(here)}
        assert {each["id"] for each in found["buildings"]} == expected
        assert found["total"] == len(expected)


def test_of_a_class_are_those_that_are_now_of_it(finished, path, features):
    classes = Counter(each["properties"]["damage"] for each in features)
    for name, count in classes.items():
        assert page(finished, path, **{"class": name})["total"] == count
    put = finished.client.put(
        f"{path}/buildings/0/correction", json={"class": "not-a-building", "who": "A"}
    )
    assert put.json()["corrected"] == "not-a-building"
    was = features[0]["properties"]["damage"]
    assert page(finished, path, **{"class": was})["total"] == classes[was] - 1
    [only] = page(finished, path, **{"class": "not-a-building"})["buildings"]
    assert (only["id"], only["class"]) == (0, was)


def test_a_correction_is_kept_counted_and_taken_back(finished, path, features):
    was = features[3]["properties"]["damage"]
    new = "destroyed" if was != "destroyed" else "no-damage"
    url = f"{path}/buildings/3/correction"
    for _ in range(2):  # again is the same
        answer = finished.client.put(url, json={"class": new, "who": "A. Mapper"})
        assert (answer.json()["class"], answer.json()["corrected"]) == (was, new)
    told = finished.client.get(f"{path}/summary").json()
    assert told["corrected"][new] == told["mapped"][new] + 1
    assert told["corrected"][was] == told["mapped"][was] - 1
    assert finished.client.get(path).json()["corrected"] == 1
    [kept] = Corrections(finished.places.maps / finished.id).all()
    assert (kept.building, kept.new_class, kept.who) == (3, new, "A. Mapper")
    assert finished.client.delete(url).json()["corrected"] is None
    assert finished.client.get(path).json()["corrected"] == 0


def test_a_correction_made_elsewhere_is_seen(finished, path, features):
    assert page(finished, path, sort="id", limit=5)["buildings"][4]["corrected"] is None
    Corrections(finished.places.maps / finished.id).set(4, "minor-damage", "in QGIS")
    assert page(finished, path, sort="id", limit=5)["buildings"][4]["corrected"] == "minor-damage"


def test_a_correction_in_a_write_ahead_log_is_seen(finished, path):
    """As QGIS leaves it while it has the file open."""
    Corrections(finished.places.maps / finished.id).set(1, "minor-damage", "A")
    assert page(finished, path, sort="id", limit=2)["buildings"][1]["corrected"] == "minor-damage"
    file = finished.places.maps / finished.id / "corrections.gpkg"
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("PRAGMA journal_mode = WAL")
    other.execute("UPDATE corrections SET new_class = 'destroyed' WHERE building = 1")
    assert page(finished, path, sort="id", limit=2)["buildings"][1]["corrected"] == "destroyed"
    other.execute("PRAGMA journal_mode = DELETE")
    other.close()


def test_a_drawn_building_is_added_and_erased(finished, path):
    ring = [[10, 10], [30, 10], [30, 25], [10, 25]]
    drawn = finished.client.post(
        f"{path}/drawn", json={"ring": ring, "class": "destroyed", "who": "A"}
    )
    assert drawn.status_code == 201
    assert Polygon(drawn.json()["ring"]).equals(Polygon(ring))
    assert finished.client.get(f"{path}/drawn").json() == [drawn.json()]
    told = finished.client.get(f"{path}/summary").json()
    assert told["corrected"]["destroyed"] == told["mapped"]["destroyed"] + 1
    url = f"{path}/drawn/{drawn.json()['id']}"
    assert finished.client.delete(url).status_code == 204
    assert finished.client.delete(url).status_code == 404
    assert finished.client.get(f"{path}/drawn").json() == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"class": "burnt", "who": "A"}, 422),
        ({"class": "destroyed", "who": ""}, 422),
        ({"class": "destroyed", "who": "a\0b"}, 400),
        ({"class": "destroyed", "who": "a" * 201}, 422),
        ({"class": "destroyed"}, 422),
        ({"class": "destroyed", "who": "A", "more": 1}, 422),
        ([], 422),
    ],
)
def test_a_correction_that_cannot_be_meant_is_refused_and_nothing_kept(
    finished, path, body, status
):
    answer = finished.client.put(f"{path}/buildings/0/correction", json=body)
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    assert Corrections(finished.places.maps / finished.id).all() == []


@pytest.mark.parametrize(
    "ring",
    [
        [[0, 0], [1, 1]],
        [[0, 0], [5, 5], [5, 0], [0, 5]],
        [[-50, 0], [5, 0], [5, 5]],
        [[0, 0], [1e9, 0], [5, 5]],
        [[0, 0], [None, 0], [5, 5]],
        [[0], [1, 0], [5, 5]],
        [[3, 3]] * 4,
    ],
)
def test_a_ring_that_is_no_polygon_within_the_map_is_refused(finished, path, ring):
    answer = finished.client.post(
        f"{path}/drawn", json={"ring": ring, "class": "destroyed", "who": "A"}
    )
    assert answer.status_code in (400, 422), answer.text
    assert finished.client.get(f"{path}/drawn").json() == []


@pytest.mark.parametrize("number", [10**6, 2**53, 2**64, -1, "x"])
def test_a_building_that_is_not_there_is_none(finished, path, number):
    body = {"class": "destroyed", "who": "A"}
    answer = finished.client.put(f"{path}/buildings/{number}/correction", json=body)
    assert answer.status_code in (404, 422)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "offset=-1",
        "sort=area",
        "min_x=1",
        "min_x=nan&min_y=1&max_x=2&max_y=2",
    ],
)
def test_a_page_that_cannot_be_meant_is_refused(finished, path, query):
    assert finished.client.get(f"{path}/buildings?{query}").status_code in (400, 422)


def test_a_building_that_was_found_right_is_no_correction(finished, path):
    first = page(finished, path, sort="id", limit=1)["buildings"][0]
    url = f"{path}/buildings/{first['id']}/correction"
    put = finished.client.put(url, json={"class": first["class"], "who": "somebody"})
    assert put.json()["corrected"] == first["class"]
    assert finished.client.get(path).json()["corrected"] == 0
    assert finished.client.get(f"{path}/summary").json()["corrections"] == 0
