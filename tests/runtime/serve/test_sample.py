"""A sample by the API, beside the same that is drawn and checked by `runtime.counts` itself."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from runtime.corrections import Corrections
from runtime.counts import ESTIMATE, SAMPLE, Sample, draw, estimate

CLASSES = ("no-damage", "destroyed", "not-a-building", "minor-damage")


@pytest.fixture
def maps(finished):
    folder = finished.places.maps / finished.id
    yield folder
    for name in (SAMPLE, ESTIMATE, "corrections.gpkg", *map(str, folder.glob("sample-*"))):
        (folder / name).unlink(missing_ok=True)
    finished.service.forget(finished.id)


@pytest.fixture
def ask(finished, maps):
    """Status and answer of a request about the finished map."""

    def call(method, path, json=None):
        url = f"/api/jobs/{finished.id}{path}"
        answer = finished.client.request(method, url, **({} if json is None else {"json": json}))
        return answer.status_code, answer.json()

    return call


def answer_of(row, turn):
    if row["kind"] == "building":
        return {"class": CLASSES[turn % 4], "who": "A"}
    return {"missed": {"destroyed": 1} if turn % 5 == 0 else {}, "who": "A"}


def test_a_sample_is_drawn_checked_and_estimated_as_by_the_command(finished, maps, ask, tmp_path):
    beside = shutil.copytree(maps, tmp_path / "beside")
    status, drawn = ask("POST", "/sample", {"n": 20, "seed": 5})
    assert (status, drawn["checked"], drawn["of"]) == (201, 0, len(drawn["rows"]))
    other = draw(beside, 20, seed=5)
    assert [(each["row"], each["kind"], each["building"]) for each in drawn["rows"]] == [
        (each.id, each.kind, each.building) for each in other.rows
    ]
    assert ask("GET", "/summary")[1]["sample"] is True

    for turn, row in enumerate(drawn["rows"]):
        said = answer_of(row, turn)
        status, told = ask("PUT", f"/sample/{row['row']}", said)
        assert status == 200, told
        assert told["row"] == row["row"]
        if row["kind"] == "building":
            assert told["true_class"] == said["class"]
            other.check(row["row"], said["class"])
            Corrections(beside).set(row["building"], said["class"], "A")
        elif said["missed"]:
            assert (told["true_class"], told["missed"]["destroyed"]) == (None, 1)
            other.check(row["row"], None, said["missed"])
        else:
            assert (told["true_class"], told["missed"]) == ("nothing-missed", {})
            other.check(row["row"], "nothing-missed")
        if turn == 0:
            status, refused = ask("POST", "/estimate")
            assert status == 400
            assert "rows are not checked" in refused["error"]
    assert ask("GET", "/sample")[1]["checked"] == drawn["of"]

    status, content = ask("POST", "/estimate")
    assert status == 200
    assert content == estimate(beside) == json.loads((maps / ESTIMATE).read_text())
    assert ask("GET", "/summary")[1]["estimate"] == content


def test_rows_lie_where_the_map_and_the_file_say(maps, ask):
    _, drawn = ask("POST", "/sample", {"n": 20})
    rows = {each.id: each for each in Sample(maps).rows}
    for each in drawn["rows"]:
        ring = np.array(each["ring"])
        if each["kind"] == "building":
            building = Corrections(maps).building(each["building"])
            assert np.allclose(ring, building.ring)
            assert "class" not in each  # whoever checks does not see what the map says
            continue
        left, top, right, bottom = rows[each["row"]].corners
        assert (*ring.min(axis=0), *ring.max(axis=0)) == (left, top, right, bottom)
        assert each["centre"] == [(left + right) / 2, (top + bottom) / 2]


def test_without_a_sample_there_is_none(ask):
    assert ask("GET", "/sample")[0] == 404
    assert ask("POST", "/estimate")[0] == 404
    assert ask("PUT", "/sample/1", {"class": "destroyed", "who": "A"})[0] == 404
    assert ask("GET", "/summary")[1]["sample"] is False


def test_what_is_checked_is_not_drawn_over(maps, ask):
    _, first = ask("POST", "/sample", {"n": 20})
    status, again = ask("POST", "/sample", {"n": 20, "seed": 3})  # nobody has looked yet
    assert status == 201
    row = again["rows"][0]["row"]
    assert again["id"] != first["id"]
    said = {"class": "destroyed", "who": "A"}
    status, refused = ask("PUT", f"/sample/{row}", {**said, "sample": first["id"]})
    assert (status, Corrections(maps).all()) == (409, [])
    assert "another sample was drawn meanwhile" in refused["error"]
    assert ask("PUT", f"/sample/{row}", {**said, "sample": again["id"]})[0] == 200
    status, refused = ask("POST", "/sample", {"n": 20})
    assert status == 409
    assert "is there already, and may be checked" in refused["error"]
    assert ask("GET", "/sample")[1]["checked"] == 1


def test_a_checked_building_is_corrected_and_both_are_taken_back(maps, ask):
    _, drawn = ask("POST", "/sample", {"n": 20})
    mapped = {each.id: each.damage_class for each in Corrections(maps).buildings()}
    row = next(each for each in drawn["rows"] if mapped[each["building"]] == "no-damage")
    ask("PUT", f"/sample/{row['row']}", {"class": "destroyed", "who": "Ana"})
    [kept] = Corrections(maps).all()
    assert (kept.building, kept.new_class, kept.who) == (row["building"], "destroyed", "Ana")
    assert Sample(maps).rows[row["row"] - 1].true_class == "destroyed"
    _, told = ask("PUT", f"/sample/{row['row']}", {"who": "Ana"})
    assert told["true_class"] is None
    assert Corrections(maps).all() == []
    assert ask("GET", "/sample")[1]["checked"] == 0


def test_whether_the_class_was_in_sight_is_kept_and_told(maps, ask):
    _, drawn = ask("POST", "/sample", {"n": 20})
    rows = [each for each in drawn["rows"] if each["kind"] == "building"]
    assert {each["class_seen"] for each in drawn["rows"]} == {None}
    for row, seen in zip(rows, (False, True, None), strict=False):
        said = {"class": "destroyed", "who": "A", "class_seen": seen}
        status, told = ask("PUT", f"/sample/{row['row']}", said)
        assert (status, told["class_seen"]) == (200, seen)
    url = f"/buildings/{rows[3]['building']}/correction"  # shows what there is to be corrected
    assert ask("PUT", url, {"class": "destroyed", "who": "A"})[0] == 200
    kept = [row.class_seen for row in Sample(maps).rows[:4]]
    told = [each["class_seen"] for each in ask("GET", "/sample")[1]["rows"][:5]]
    assert (kept, told) == ([False, True, None, None], [False, True, None, True, None])
    ask("PUT", f"/sample/{rows[1]['row']}", {"who": "A"})
    assert Sample(maps).rows[1].class_seen is None
    assert ask("PUT", f"/sample/{rows[0]['row']}", {"who": "A", "class_seen": "no!"})[0] == 422


def test_a_row_that_corrections_contradict_is_not_checked_until_they_agree(maps, ask):
    _, drawn = ask("POST", "/sample", {"n": 20})
    building, cell = drawn["rows"][0], drawn["rows"][-1]
    Sample(maps).check(building["row"], "destroyed")  # in QGIS
    Corrections(maps).set(building["building"], "no-damage", "A")
    ask("PUT", f"/sample/{cell['row']}", {"missed": {}, "who": "A"})
    x, y = cell["ring"][0]
    ring = [[x + 2, y + 2], [x + 8, y + 2], [x + 8, y + 8], [x + 2, y + 8]]
    ask("POST", "/drawn", {"ring": ring, "class": "destroyed", "who": "A"})
    _, told = ask("GET", "/sample")
    assert told["checked"] == 0
    assert "make them agree" in told["rows"][0]["conflict"]
    assert "missed-are-drawn" in told["rows"][-1]["conflict"]
    assert told["rows"][-1]["drawn"] == {"destroyed": 1}
    ask("PUT", f"/sample/{building['row']}", {"class": "no-damage", "who": "A"})
    _, row = ask("PUT", f"/sample/{cell['row']}", {"class": "missed-are-drawn", "who": "A"})
    assert (row["missed"], row["conflict"]) == ({"destroyed": 1}, None)
    assert ask("GET", "/sample")[1]["checked"] == 2


@pytest.mark.parametrize(
    "body",
    [
        {"n": 19},
        {"n": -1},
        {"n": 10**9},
        {"n": "many"},
        {"n": 20, "seed": -1},
        {"n": 20, "more": 1},
    ],
)
def test_a_draw_that_cannot_be_meant_is_refused(maps, ask, body):
    status, refused = ask("POST", "/sample", body)
    assert status in (400, 422)
    assert list(refused) == ["error"]
    assert not (maps / SAMPLE).exists()


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("building", {"class": "nothing-missed", "who": "A"}),
        ("building", {"class": "destroyed", "missed": {"destroyed": 1}, "who": "A"}),
        ("building", {"class": "burnt", "who": "A"}),
        ("building", {"class": "destroyed"}),
        ("building", {"class": "destroyed", "who": "a\0b"}),
        ("cell", {"class": "destroyed", "who": "A"}),
        ("cell", {"class": "nothing-missed", "missed": {"destroyed": 1}, "who": "A"}),
        ("cell", {"missed": {"destroyed": -1}, "who": "A"}),
        ("cell", {"missed": {"destroyed": 0.5}, "who": "A"}),
        ("cell", {"missed": {"not-a-building": 1}, "who": "A"}),
    ],
)
def test_an_answer_that_cannot_be_meant_is_refused_and_nothing_kept(maps, ask, kind, body):
    _, drawn = ask("POST", "/sample", {"n": 20})
    row = next(each["row"] for each in drawn["rows"] if each["kind"] == kind)
    status, refused = ask("PUT", f"/sample/{row}", body)
    assert status in (400, 422), refused
    assert list(refused) == ["error"]
    assert ask("GET", "/sample")[1]["checked"] == 0
    assert Corrections(maps).all() == []
    assert ask("PUT", "/sample/9999", {"class": "destroyed", "who": "A"})[0] == 404


def test_an_estimate_of_another_map_is_not_this_ones(maps, ask):
    content = {
        "classes": {}, "level": 0.95, "method": "stratified", "checked": 9, "date": "2026-12-01",
        "corrections": 0, "map_sha256": Corrections(maps).map.sha256,
    }  # fmt: skip
    (maps / ESTIMATE).write_text(json.dumps(content))
    assert ask("GET", "/summary")[1]["estimate"] == content
    (maps / ESTIMATE).write_text(json.dumps({**content, "map_sha256": "of another"}))
    assert ask("GET", "/summary")[1]["estimate"] is None
    del content["level"]
    for broken, why in ((json.dumps(content), "level is missing"), ("[]", "is no estimate"),
                        ("{", "cannot be read")):  # fmt: skip
        (maps / ESTIMATE).write_text(broken)
        status, refused = ask("GET", "/summary")
        assert status == 400
        assert f"estimate.json: {why}" in refused["error"]
        assert "make it again with dual-hrnet counts estimate" in refused["error"]


def test_of_a_map_without_a_building_the_ground_is_checked(server, draw):
    pre, post = draw(128, 160)
    pre[:] = 10
    with server.working():
        id = server.begin(pre, post)
        assert server.ended(id)["state"] == "done", server.job(id)
    path = f"/api/jobs/{id}"
    assert server.client.get(f"{path}/buildings").json()["total"] == 0
    drawn = server.client.post(f"{path}/sample", json={"n": 20})
    assert drawn.status_code == 201, drawn.text
    rows = drawn.json()["rows"]
    assert {each["kind"] for each in rows} == {"cell"}
    for each in rows:
        said = {"missed": {}, "who": "A", "class_seen": False}
        assert server.client.put(f"{path}/sample/{each['row']}", json=said).status_code == 200
    content = server.client.post(f"{path}/estimate").json()
    assert (content["checked"], content["cells"]) == (0, len(rows))
    assert content["classes"]["destroyed"]["estimate"] == 0 < content["missed"]["high"]
