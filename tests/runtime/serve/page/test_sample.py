"""A sample on the page: drawn, checked by keys, and the totals with intervals that it gives."""

from __future__ import annotations

import json
import math
import re

import pytest

from runtime.counts import ESTIMATE, estimate
from tests.runtime.serve.page.browsing import Visits, say_who, shown
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
    row = content["classes"]["destroyed"]
    shown_row = page.locator("tbody tr", has_text="Destroyed").locator("td").last.inner_text()
    whole = {name: str(math.floor(row[name] + 0.5)) for name in ("estimate", "low", "high")}
    assert shown_row.split() == [whole["estimate"], whole["low"], "to", whole["high"]]
    assert content == estimate(folder)


def assert_fits(page, where: str) -> None:
    """On the screen of a phone, and axe finds nothing serious."""
    assert 0 <= page.locator(where).bounding_box()["y"] < 844
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert findings(page) == []
