"""What a field team does on the page, in a real browser: from two files to a corrected map."""

from __future__ import annotations

import math
import re
from pathlib import Path

import cv2
import numpy as np
import pyogrio
import rasterio

from tests.runtime.serve.page.browsing import EXAMPLE, Box, Visits, say_who, shown

BOLD = "<b onclick='alert(1)'>Old town</b><img src=x onerror=alert(2)>"


def another_class(page) -> str:
    """The key of a class that the chosen building has not."""
    now = page.locator(".class[aria-pressed=true] .swatch").inner_text()
    return "4" if now != "4" else "2"


def counted(page, corrections: int) -> None:
    noun = "correction" if corrections == 1 else "corrections"
    page.wait_for_function(
        "line => document.querySelector('caption').textContent.includes(line)",
        arg=f"{corrections} {noun} counted in",
    )


def corrected_totals(page) -> dict[str, int]:
    rows = page.locator("tbody tr:not(.sum)")
    names = [each.locator("th span:last-child").text_content() for each in rows.all()]
    counts = [each.locator("td").nth(1).text_content() for each in rows.all()]
    return {
        name.lower().replace(" ", "-"): int(count)
        for name, count in zip(names, counts, strict=True)
    }


def picture_of(page) -> np.ndarray:
    """The map on the screen at the scale of its pixels, without what lies over it: [384,384]."""
    area = page.locator(".map").bounding_box()
    raw = np.frombuffer(page.locator(".map").screenshot(), np.uint8)
    screen = cv2.imdecode(raw, cv2.IMREAD_GRAYSCALE)
    zoom = math.floor(math.log2(min(area["width"], area["height"]) / 384) * 4) / 4
    side = round(384 * 2**zoom)
    top, left = (round((area[name] - side) / 2) for name in ("height", "width"))
    part = screen[top : top + side, left : left + side]
    return cv2.resize(part, (384, 384), interpolation=cv2.INTER_AREA)


def which(part: np.ndarray, columns: slice) -> str:
    """The image that these columns of the screen show, by what lies in the two files."""

    def alike(role: str) -> float:
        image = cv2.imread(str(EXAMPLE / f"{role}.png"), cv2.IMREAD_GRAYSCALE)
        return float(np.corrcoef(part[:, columns].ravel(), image[:, columns].ravel())[0, 1])

    found = {role: alike(role) for role in ("pre", "post")}
    best = max(found, key=found.get)
    assert found[best] > 0.9, found
    assert min(found.values()) < found[best] - 0.1, found
    return best


LEFT, RIGHT = slice(30, 140), slice(240, 340)


def test_a_pair_becomes_a_map_that_is_set_right(visits: Visits, box: Box, tmp_path: Path) -> None:
    page = visits.open()
    for at, role in enumerate(("pre", "post")):
        page.locator("input[type=file]").nth(at).set_input_files(EXAMPLE / f"{role}.png")
    page.get_by_label("Name of the map").fill(BOLD)
    page.get_by_role("button", name="Start the map").click()
    page.wait_for_url(re.compile("#/jobs/"))
    page.locator(".state", has_text=re.compile("Waiting|Running")).wait_for()
    shown(page)
    id = page.url.rpartition("/")[2]

    # What came as markup is text.
    assert page.locator("h1").inner_text() == BOLD
    assert page.locator("h1 > *").count() == 0

    # The divider, by keys and by mouse.
    page.get_by_role("tab", name="Layers").click()
    page.get_by_label("Nothing").check()
    page.get_by_label("Outlines of buildings").uncheck()
    page.locator(".legend summary").click()
    page.wait_for_timeout(600)
    assert (which(picture_of(page), LEFT), which(picture_of(page), RIGHT)) == ("pre", "post")
    divider = page.get_by_role("slider", name="Divider")
    divider.focus()
    page.keyboard.press("End")
    assert divider.get_attribute("aria-valuenow") == "100"
    assert (which(picture_of(page), LEFT), which(picture_of(page), RIGHT)) == ("pre", "pre")
    grip, area = page.locator(".grip").bounding_box(), page.locator(".map").bounding_box()
    page.mouse.move(grip["x"] + 5, grip["y"] + 22)
    page.mouse.down()
    page.mouse.move(area["x"] + 2, grip["y"], steps=4)
    page.mouse.up()
    assert int(divider.get_attribute("aria-valuenow")) <= 1
    assert (which(picture_of(page), LEFT), which(picture_of(page), RIGHT)) == ("post", "post")
    page.get_by_label("Outlines of buildings").check()

    # Three buildings by keys alone, from the least certain one on.
    page.get_by_role("tab", name="Buildings").click()
    before = corrected_totals(page)
    assert before == box.get(f"/api/jobs/{id}/summary")["mapped"]
    for done in range(3):
        page.keyboard.press("n")
        page.wait_for_selector(f".list li:nth-child({done + 1}) [aria-current]")
        page.keyboard.press(another_class(page))
        if done == 0:
            say_who(page)
        counted(page, done + 1)
    after = corrected_totals(page)
    assert after != before
    assert sum(after.values()) == sum(before.values())
    page.wait_for_timeout(700)  # the box's own totals are here
    assert corrected_totals(page) == box.get(f"/api/jobs/{id}/summary")["corrected"] == after

    # One is drawn, and taken back.
    page.get_by_role("button", name="Draw").click()
    for x, y in ((0.4, 0.4), (0.5, 0.4), (0.5, 0.5), (0.4, 0.5)):
        page.mouse.click(area["x"] + x * area["width"], area["y"] + y * area["height"])
    page.get_by_label("It is").select_option("destroyed")
    page.get_by_role("button", name="Finish").click()
    counted(page, 4)
    (drawn,) = box.get(f"/api/jobs/{id}/drawn")
    assert (drawn["new_class"], drawn["who"]) == ("destroyed", "Ada")
    assert corrected_totals(page)["destroyed"] == after["destroyed"] + 1
    page.keyboard.press("u")
    counted(page, 3)
    assert box.get(f"/api/jobs/{id}/drawn") == []
    assert corrected_totals(page) == after

    # What is downloaded is a file that others read.
    page.get_by_role("tab", name="Files").click()
    path = downloaded(page, "damage.png", tmp_path)
    with rasterio.open(path) as file:
        assert (file.height, file.width) == (384, 384)
    package = downloaded(page, "corrections.gpkg", tmp_path)
    meta, _, _, columns = pyogrio.raw.read(package, layer="corrections")
    values = dict(zip(meta["fields"], columns, strict=True))
    assert set(values["who"]) == {"Ada"}
    assert len(values["who"]) == 3


def downloaded(page, name: str, folder: Path) -> Path:
    with page.expect_download() as download:
        page.get_by_role("link", name=name, exact=True).click()
    path = folder / name
    download.value.save_as(path)
    return path


def test_the_same_on_a_phone(visits: Visits, box: Box, placed: str, tmp_path: Path) -> None:
    page = visits.phone()
    page.get_by_role("link", name="Riverside").tap()
    shown(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert "not computed" in page.locator(".hole").first.inner_text()
    area = page.locator(".map").bounding_box()
    assert area["height"] > 0.4 * 844

    # The divider follows a finger.
    divider, grip = page.get_by_role("slider"), page.locator(".grip").bounding_box()
    touch = page.context.new_cdp_session(page)
    y = grip["y"] + 22
    for kind, x in (("touchStart", grip["x"] + 22), ("touchMove", 250), ("touchMove", 312)):
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert divider.get_attribute("aria-valuenow") == "80"

    # A building by its row, its class by a tap; another by a tap on the map.
    page.locator(".list .building").first.tap()
    now = another_class(page)
    page.locator(f".class:has(.swatch:text-is('{now}'))").tap()
    say_who(page, "Grace")
    counted(page, 1)
    page.get_by_role("button", name="Undo").tap()
    counted(page, 0)

    page.get_by_role("button", name="Draw").tap()
    for x, y in ((0.6, 0.3), (0.8, 0.3), (0.8, 0.4)):
        page.touchscreen.tap(area["x"] + x * area["width"], area["y"] + y * area["height"])
    page.get_by_role("button", name="Finish").tap()
    counted(page, 1)
    page.get_by_role("button", name="Delete this drawn building").tap()
    counted(page, 0)
    assert box.get(f"/api/jobs/{placed}/drawn") == []

    page.get_by_role("tab", name="Totals").tap()
    assert 'not "no damage"' in page.locator(".totals .note").first.inner_text()
    page.get_by_role("tab", name="Files").tap()
    with rasterio.open(downloaded(page, "damage.tif", tmp_path)) as file:
        damage, place = file.read(1), file.crs
    assert place.to_epsg() == 32616
    assert (damage[-60:, :60] == 255).all()
    layer = pyogrio.read_info(downloaded(page, "buildings.gpkg", tmp_path))
    assert layer["features"] == box.get(f"/api/jobs/{placed}/buildings")["total"]


def test_ground_that_was_not_computed_is_hatched_under_every_layer(visits, placed: str) -> None:
    page = visits.open(f"/#/jobs/{placed}")
    shown(page)
    page.get_by_role("tab", name="Layers").click()
    page.get_by_label("Outlines of buildings").uncheck()
    page.locator(".legend summary").click()
    for layer in ("Damage", "Confidence", "Quality of the images", "Nothing"):
        page.get_by_label(layer, exact=True).check()
        page.wait_for_timeout(500)
        unknown = picture_of(page)[-60:, 20:60]
        assert (unknown < 80).mean() > 0.3, layer
        assert (unknown > 180).mean() > 0.3, layer


def test_of_too_many_buildings_some_are_drawn_and_that_is_told(visits: Visits, placed: str) -> None:
    page = visits.open()
    asked = []

    def many(route) -> None:
        """As a large town answers: full pages, and more of them than are wanted."""
        url = route.request.url
        asked.append(url)
        found = route.fetch(url=re.sub("offset=\\d+", "offset=0", url)).json()["buildings"]
        within = (found * 500)[:500] if "min_x" in url else found
        route.fulfill(json={"total": 40_000, "buildings": within})

    page.context.route(re.compile("/buildings\\?"), many)
    page.get_by_role("link", name="Riverside").click()
    shown(page)
    notice = page.locator(".notice[role=status]")
    notice.wait_for()
    assert "1,500 least certain of 40,000" in notice.inner_text()
    assert sum("min_x" in each for each in asked) <= 6  # of one view, or of two as it settles


def test_a_job_is_cancelled_resumed_and_deleted(visits: Visits, box: Box, placed: str) -> None:
    page = visits.open()
    page.get_by_role("button", name="Map riverside").click()
    page.wait_for_url(re.compile("#/jobs/"))
    id = page.url.rpartition("/")[2]
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Go on").click()
    shown(page)
    page.get_by_role("link", name="Maps").click()
    line = page.locator(".job-line", has=page.locator(f"a[href$='{id}']"))
    line.get_by_role("button", name="Delete").click()
    page.locator("dialog button.main").click()
    line.wait_for(state="detached")
    assert id not in [each["id"] for each in box.get("/api/jobs")]


def test_corrections_in_a_hurry_are_taken_back_one_by_one(visits: Visits, placed: str) -> None:
    page = visits.open(f"/#/jobs/{placed}")
    shown(page)
    page.get_by_role("button", name="Your name").click()
    say_who(page)
    before = corrected_totals(page)
    page.locator(".list .building").first.click()
    chosen = page.locator(".class[aria-pressed=true] .swatch")
    mapped = chosen.inner_text()
    for key in ("4", "2", "3"):
        page.keyboard.press(key)  # sooner than the box answers
    page.wait_for_selector(".class[aria-pressed=true] .swatch:text-is('3')")
    for wanted in ("2", "4", mapped):
        page.keyboard.press("u")
        page.wait_for_selector(f".class[aria-pressed=true] .swatch:text-is('{wanted}')")
    counted(page, 0)
    assert corrected_totals(page) == before
    assert all(each["corrected"] is None for each in visits.box.get(
        f"/api/jobs/{placed}/buildings?limit=1000")["buildings"])  # fmt: skip


def test_a_page_that_comes_back_into_sight_stays_as_it_was(visits: Visits, placed: str) -> None:
    page = visits.open(f"/#/jobs/{placed}")
    shown(page)
    page.locator(".list .building").first.click()
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_timeout(500)
    assert page.locator("[aria-current]").count() == 1
