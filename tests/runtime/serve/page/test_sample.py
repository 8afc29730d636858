"""A sample on the page: drawn, checked by keys, and the totals with intervals that it gives."""

from __future__ import annotations

import io
import json
import math
import re

import numpy as np
import pytest
from PIL import Image

from runtime.counts import ESTIMATE, estimate
from tests.runtime.serve.page.browsing import Visits, say_who, shown, wait
from tests.runtime.serve.page.test_access import findings

LABELS = {"minor-damage": "Minor damage"}


@pytest.fixture
def map_alone(visits: Visits) -> str:
    """Of a job of its own: a sample changes what other tests count."""
    return visits.box.map_pair("riverside", "Sampled")


def test_a_sample_is_checked_by_keys_until_the_totals_have_intervals(
    visits: Visits, map_alone: str
) -> None:
    path = f"/api/jobs/{map_alone}/sample"
    page = visits.phone(f"/#/jobs/{map_alone}")
    shown(page)
    page.get_by_role("tab", name="Totals").click()
    page.get_by_role("spinbutton", name="Buildings").fill("20")
    page.get_by_role("button", name="Draw a sample").click()
    following = page.get_by_role("button", name="Check next")
    following.wait_for()
    rows = visits.box.get(path)["rows"]
    count = len(rows)
    by_hand = {0, 1, 19, 20, count - 1}  # three buildings, and two cells after them
    assert [rows[at]["kind"] for at in sorted(by_hand)] == ["building"] * 3 + ["cell"] * 2
    said: list[object] = []
    for at, row in enumerate(rows):
        is_building = row["kind"] == "building"
        said.append("destroyed" if is_building else {"minor-damage": 1} if at == 20 else {})
        if at not in by_hand:  # by somebody else, meanwhile
            answer = {"class" if is_building else "missed": said[-1], "who": "Ben"}
            assert page.request.put(f"{visits.box.url}{path}/{row['row']}", data=answer).ok
            continue
        page.keyboard.press("Enter")  # the button "Check next" has the focus
        if is_building:
            page.locator(".sample .card h2", has_text=f"Building {row['building']}").wait_for()
            page.keyboard.press("4")
        else:
            page.get_by_text(f"Square {row['row']}: is a building missing?").wait_for()
            for name, number in said[-1].items():
                page.locator(".sample").get_by_label(LABELS[name]).fill(str(number))
            page.get_by_role("button", name="Done").press("Enter")
        if at == 0:
            say_who(page)
        page.get_by_text(re.compile(rf"^{at + 1} of {count} are checked")).wait_for()
        if at == 0:
            assert_fits(page, ".sample .card")
    found = visits.box.get(path)["rows"]
    assert [each["true_class"] for each in found if each["kind"] == "building"] == said[:20]
    assert [
        {name: number for name, number in each["missed"].items() if number} for each in found[20:]
    ] == said[20:]

    # Back to a cell that was done, and one building is taken back and given again.
    page.get_by_role("button", name="Back").click()
    page.get_by_text(f"Square {rows[-1]['row']}: is a building missing?").wait_for()
    assert_fits(page, ".sample .cell")
    page.keyboard.press("u")
    page.get_by_text(f"Check next ({count - 1} of {count})").click()
    page.locator(".sample .card").wait_for()
    page.keyboard.press("2")
    page.get_by_role("button", name="Estimate").click()
    page.locator(".interval").first.wait_for()
    folder = visits.box.data / "maps" / map_alone
    content = json.loads((folder / ESTIMATE).read_text())
    assert "were not checked blind" in page.locator(".totals").inner_text()  # by somebody else
    row = content["classes"]["destroyed"]
    shown_row = page.locator("tbody tr", has_text="Destroyed").locator("td").last.inner_text()
    whole = {name: str(math.floor(row[name] + 0.5)) for name in ("estimate", "low", "high")}
    assert shown_row.split() == [whole["estimate"], whole["low"], "to", whole["high"]]
    assert content == estimate(folder)


COLOURS = {"minor": (255, 221, 51), "major": (255, 140, 0), "red": (220, 20, 30)}
NEUTRAL = (76, 194, 255)


def drawn_in(page, *colours: tuple[int, int, int]) -> list[bool]:
    """Is there an outline of each colour on the map as it is on the screen?"""
    page.wait_for_timeout(600)
    screen = np.asarray(Image.open(io.BytesIO(page.locator(".map").screenshot())).convert("RGB"))
    return [int((screen == colour).all(axis=2).sum()) > 40 for colour in colours]


def test_what_the_map_says_is_hidden_while_a_sample_is_checked(visits, map_alone: str) -> None:
    path = f"/api/jobs/{map_alone}/sample"
    page = visits.open(f"/#/jobs/{map_alone}")
    shown(page)
    page.locator(".legend summary").click()
    page.get_by_role("button", name="Your name").click()
    say_who(page)
    page.get_by_role("tab", name="Totals").click()
    page.get_by_role("button", name="Draw a sample").click()
    following = page.get_by_role("button", name="Check next")
    following.wait_for()
    assert drawn_in(page, *COLOURS.values(), NEUTRAL) == [True, True, True, False]
    following.click()
    card = page.locator(".sample .card")
    card.locator("h2", has_text="Building ").wait_for()
    page.get_by_role("tab", name="Layers").click()
    page.get_by_role("button", name="Show the whole map").click()

    # Neither outline, raster, list, shares nor totals tell a class.
    assert drawn_in(page, *COLOURS.values(), NEUTRAL) == [False, False, False, True]
    assert page.get_by_label("Damage", exact=True).is_disabled()
    assert page.get_by_label("Confidence").is_disabled()
    assert page.locator(".layer-damage img, .layer-confidence img").count() == 0
    page.get_by_role("tab", name="Buildings").click()
    assert set(page.locator(".list .swatch").all_inner_texts()) == {"?"}
    assert page.locator(".below select").is_disabled()
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    page.get_by_role("tab", name="Totals").click()
    assert page.locator("table").is_hidden()
    assert "sure" not in card.inner_text()
    assert card.locator(".bar-of:visible, [aria-pressed=true]").count() == 0
    assert findings(page) == []

    # The divider and the turns of before and after are as ever.
    divider = page.get_by_role("slider", name="Divider")
    divider.press("End")
    assert divider.get_attribute("aria-valuenow") == "100"
    page.locator(".map").press("b")
    assert divider.is_hidden()
    assert page.locator(".layer-before img").count() > 0
    assert page.locator(".layer-after img").count() == 0
    page.locator(".map").press("c")
    divider.press("Home")

    # Blind, with the class in sight, and again blind after it was in sight.
    rows = page.request.get(f"{visits.box.url}{path}").json()["rows"]
    for row, in_sight in zip(rows[:3], (False, True, False), strict=True):
        card.locator("h2", has_text=re.compile(rf"^Building {row['building']}$")).wait_for()
        if in_sight:
            page.get_by_label("Show what the map says").check()
            card.locator(".bar-of").first.wait_for()
            assert drawn_in(page, *COLOURS.values(), NEUTRAL) == [True, True, True, False]
            assert page.locator("table").is_visible()
            assert page.locator(".layer-damage img").count() > 0
            page.get_by_label("Show what the map says").uncheck()
            assert drawn_in(page, *COLOURS.values()) == [False] * 3
        card.get_by_role("button", name="Not a building").click()
        card.get_by_text("Checked: Not a building").wait_for()
        assert drawn_in(page, *COLOURS.values(), NEUTRAL) == [False, False, False, True]
        following.click()
    said = [each["class_seen"] for each in visits.box.get(path)["rows"][:4]]
    assert said == [False, True, True, None]  # the third was on the map when classes were shown

    # Whoever looks later, and corrects, is not blind.
    page.reload()
    shown(page)
    building = rows[4]["building"]
    at = [each["id"] for each in visits.box.get(f"/api/jobs/{map_alone}/buildings")["buildings"]]
    page.locator(".list .building").nth(at.index(building)).click()
    page.keyboard.press("4")
    wait(lambda: visits.box.get(path)["rows"][4]["true_class"])
    assert visits.box.get(path)["rows"][4]["class_seen"] is True


def assert_fits(page, where: str) -> None:
    """On the screen of a phone, and axe finds nothing serious."""
    assert 0 <= page.locator(where).bounding_box()["y"] < 844
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert findings(page) == []
