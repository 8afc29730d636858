import hashlib
import io
import json
import urllib.parse
import zipfile

import numpy as np
import pytest
from PIL import Image

from runtime.damage import CLASS_COLOURS, DAMAGE_CLASSES, NODATA
from runtime.options import MapOptions


def path_of(server, rest=""):
    return f"/api/jobs/{server.id}{rest}"


def tile(server, layer, z, x, y, id=None):
    answer = server.client.get(f"/api/jobs/{id or server.id}/tiles/{layer}/{z}/{x}/{y}.png")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGBA"))


def whole(server, layer, z, id=None):
    """The map of a zoom, put together of its tiles as a page does."""
    about = server.client.get(f"/api/jobs/{id or server.id}/map").json()
    shrink = 2 ** (about["max_zoom"] - z)
    height, width = (-(-about[side] // shrink) for side in ("height", "width"))
    rows = [
        np.hstack([tile(server, layer, z, x, y, id) for x in range(-(-width // 256))])
        for y in range(-(-height // 256))
    ]
    found = np.vstack(rows)
    assert not found[height:].any()
    assert not found[:, width:].any()
    return found[:height, :width]


def test_a_map_is_told(finished):
    about = finished.client.get(path_of(finished, "/map")).json()
    assert (about["width"], about["height"], about["tile"], about["max_zoom"]) == (530, 300, 256, 2)
    assert about["layers"] == ["before", "after", "damage", "confidence", "quality"]
    assert about["placed"] is False
    colours = ["#{:02x}{:02x}{:02x}".format(*CLASS_COLOURS[each]) for each in DAMAGE_CLASSES]
    assert [each["colour"] for each in about["legend"]][:4] == colours
    assert about["legend"][0]["class"] == "no-damage"


def test_at_full_zoom_damage_and_confidence_are_the_network_s_own(finished, reference):
    """Each pixel against NumPy: the engine's answer for a pixel depends on that pixel alone."""
    damage, _, confidence = reference(finished.pre, finished.post)
    colours = np.array([(*each, 255) for each in CLASS_COLOURS], np.uint8)
    colours[0] = 0, 0, 0, 0
    shown = whole(finished, "damage", 2)
    shown[shown[..., 3] == 0] = 0
    assert np.array_equal(shown, colours[damage])
    shown = whole(finished, "confidence", 2)
    assert np.array_equal(shown[..., 3] > 0, confidence > 0)
    order = np.argsort(confidence.ravel())
    bright = shown[..., 1].ravel()[order].astype(int)  # viridis's green grows with the value
    assert (np.diff(bright[confidence.ravel()[order] > 0]) >= 0).all()


@pytest.mark.parametrize("layer", ["before", "after"])
def test_images_are_shown_as_they_are(finished, layer):
    image = finished.pre if layer == "before" else finished.post
    shown = whole(finished, layer, 2)
    assert (shown[..., 3] == 255).all()
    off = np.abs(shown[..., :3].astype(int) - image)
    assert off.mean() < 3  # of a JPEG of noise
    for z in (1, 0):
        small = Image.fromarray(image).reduce(2 ** (2 - z))
        off = np.abs(whole(finished, layer, z)[..., :3].astype(int) - np.asarray(small))
        assert off.mean() < 3


@pytest.mark.parametrize("z", [0, 1])
def test_below_full_zoom_no_building_is_lost(finished, reference, z):
    """Of the pixels under one, the worst is shown."""
    damage, *_ = reference(finished.pre, finished.post)
    step = 2 ** (2 - z)
    padded = np.pad(damage, [(0, -side % step) for side in damage.shape])
    tall, wide = (side // step for side in padded.shape)
    worst = padded.reshape(tall, step, wide, step).max((1, 3))
    shown = whole(finished, "damage", z)
    for value in DAMAGE_CLASSES:
        here = (shown[..., :3] == CLASS_COLOURS[value]).all(-1) & (shown[..., 3] > 0)
        assert np.array_equal(here, worst == value)


@pytest.mark.parametrize("where", ["3/0/0", "2/3/0", "2/0/2", "0/1/0", "1/9999999/0"])
def test_tiles_beyond_the_map_are_not_there(finished, where):
    answer = finished.client.get(path_of(finished, f"/tiles/damage/{where}.png"))
    assert answer.status_code == 404


def test_a_tile_that_a_browser_has_is_not_sent_again(finished):
    path = path_of(finished, "/tiles/damage/2/0/0.png")
    first = finished.client.get(path)
    assert "immutable" in first.headers["cache-control"]
    again = finished.client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def deep(image):
    """Four bands of 16 bits, the colours backwards."""
    fourth = np.full((*image.shape[:2], 1), 7, np.uint16)
    return np.concatenate([image[..., ::-1].astype(np.uint16) * 100 + 50, fourth], 2)


def test_a_placed_16_bit_raster_is_shown_as_it_is_mapped(start, tmp_path, write_raster, draw):
    """Through --scale and --bands, as the engine saw it."""
    pre, post = draw(70, 90)
    server = start(MapOptions(bands=(3, 2, 1), scale=(50.0, 25_550.0)))
    for name, image in zip(("pre", "post"), (pre, post), strict=True):
        write_raster(
            server.places.inbox / f"town_{name}.tif", deep(image), photometric="MINISBLACK"
        )
    with server.working():
        answer = server.client.post("/api/jobs", json={"pair": "town"})
        id = answer.json()["id"]
        job = server.ended(id)
    assert job["state"] == "done", job
    assert server.client.get(f"/api/jobs/{id}/map").json()["placed"] is True
    off = np.abs(whole(server, "after", 0, id)[..., :3].astype(int) - post)
    assert off.mean() < 4
    [building, *_] = server.client.get(f"/api/jobs/{id}/buildings").json()["buildings"]
    assert building["area_m2"] == pytest.approx(building["area_px"] * 0.25, rel=0.01)
    assert -180 <= building["lon"] <= 180
    assert 29 < building["lat"] < 30.5


def test_what_no_window_computed_is_shown_as_not_computed(start, draw, write_raster):
    pre, post = draw(70, 90)
    server = start()
    for name, image in (("pre", pre), ("post", post)):
        image = image.copy()
        image[:40, :40] = 0
        write_raster(server.places.inbox / f"t_{name}.tif", image, nodata=0)
    with server.working():
        id = server.client.post("/api/jobs", json={"pair": "t"}).json()["id"]
        assert server.ended(id)["state"] == "done"
    shown = whole(server, "damage", 0, id)
    assert (shown[:40, :40] == (255, 0, 255, 255)).all()
    assert NODATA == 255


def test_the_summary_counts_what_is_mapped_and_what_is_corrected(finished):
    told = finished.client.get(path_of(finished, "/summary")).json()
    classes = {name: row["buildings"] for name, row in told["summary"]["classes"].items()}
    assert told["mapped"] == told["corrected"] == classes
    assert told["corrections"] == 0
    assert told["estimate"] is None


def test_files_are_those_that_the_map_lists_and_whole(finished):
    folder = finished.places.maps / finished.id
    (folder / "secret.txt").write_text("not of the map")
    (folder / "sample.gpkg").symlink_to("/etc/passwd")
    listed = finished.client.get(path_of(finished, "/files")).json()
    summary = json.loads((folder / "summary.json").read_text())
    beside = {"corrections.gpkg"}  # of other tests of this map
    assert {each["name"] for each in listed} - beside == {*summary["files"], "summary.json"}
    for each in listed:
        answer = finished.client.get(path_of(finished, f"/files/{each['name']}"))
        assert len(answer.content) == each["bytes"]
        assert answer.headers["content-disposition"].startswith("attachment")
        if each["name"] in summary["files"]:
            digest = hashlib.sha256(answer.content).hexdigest()
            assert digest == summary["files"][each["name"]]["sha256"]
    (folder / "sample.gpkg").unlink()


@pytest.mark.parametrize(
    "name",
    [
        "secret.txt",
        "sources.json",
        "../summary.json",
        "/etc/passwd",
        "%00",
        "summary.json/",
        "sample.gpkg",
        "estimate.json",
    ],
)
def test_no_other_file_is_served(finished, name):
    (finished.places.maps / finished.id / "secret.txt").write_text("not of the map")
    quoted = urllib.parse.quote(name, safe="%")
    answer = finished.client.get(path_of(finished, f"/files/{quoted}"))
    assert answer.status_code == 404, answer.text
    assert "not of the map" not in answer.text


def test_a_part_of_a_file_can_be_asked_for(finished):
    path = path_of(finished, "/files/damage.png")
    content = finished.client.get(path).content
    part = finished.client.get(path, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, content[10:20])


def test_of_a_job_that_is_not_done_nothing_is_shown(server, draw):
    id = server.begin(*draw(40, 50))
    for rest in (
        "map",
        "summary",
        "buildings",
        "drawn",
        "files",
        "files/damage.png",
        "tiles/damage/0/0/0.png",
        "sheet.html",
        "labels.zip",
    ):
        answer = server.client.get(f"/api/jobs/{id}/{rest}")
        assert answer.status_code == 409
        assert "waiting" in answer.json()["error"]


def test_the_sheet_is_made_of_this_map_and_shown_in_a_page_that_runs_nothing(finished):
    pytest.importorskip("runtime.sheet")
    for name, kind, begin in (
        ("sheet.html", "text/html", b"<!doctype html"),
        ("sheet.pdf", "application/pdf", b"%PDF"),
    ):
        answer = finished.client.get(path_of(finished, f"/{name}"))
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith(kind)
        assert answer.content.lower().startswith(begin.lower())
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert not list(finished.places.views.glob(".made-*"))


def test_labels_of_what_was_corrected_are_handed_out(finished):
    pytest.importorskip("runtime.corrections.xbd")
    nothing = finished.client.get(path_of(finished, "/labels.zip"))
    assert nothing.status_code == 400
    url = path_of(finished, "/buildings/0/correction")
    finished.client.put(url, json={"class": "destroyed", "who": "A"})
    answer = finished.client.get(path_of(finished, "/labels.zip"))
    assert answer.status_code == 200, answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        [label] = [name for name in archive.namelist() if name.endswith("post_disaster.json")]
        subtypes = [
            each["properties"].get("subtype")
            for each in json.loads(archive.read(label))["features"]["xy"]
        ]
    assert "destroyed" in subtypes
    finished.client.delete(url)
    assert not list(finished.places.views.glob(".made-*"))
