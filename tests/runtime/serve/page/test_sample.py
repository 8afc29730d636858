"""A sample on the page: drawn, checked by keys, and the totals with intervals that it gives."""

from __future__ import annotations

import json

import pytest

from runtime.counts import ESTIMATE, estimate
from tests.runtime.serve.page.browsing import Visits, say_who, shown
from tests.runtime.serve.page.test_access import findings


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
    count = visits.box.get(path)["of"]
    said: dict[int, object] = {}
    for done, row in enumerate(visits.box.get(path)["rows"]):
        page.get_by_text(f"Check next ({done} of {count})").wait_for()
        page.keyboard.press("Enter")
        if row["kind"] == "building":
            page.locator(".sample .card h2", has_text=f"Building {row['building']}").wait_for()
            key = "4" if done % 3 else "0"
            said[row["row"]] = "destroyed" if done % 3 else "not-a-building"
            page.keyboard.press(key)
            if done == 0:
                say_who(page)
                assert_in_view(page, ".sample .card")
                assert findings(page) == []
        else:
            page.get_by_text(f"Square {row['row']}: is a building missing?").wait_for()
            said[row["row"]] = {}
            if row["row"] % 2:
                said[row["row"]] = {"minor-damage": 1}
                page.locator(".sample").get_by_label("Minor damage").fill("1")
            if len(said) == 21:
                assert_in_view(page, ".sample .cell")
                assert findings(page) == []
            page.get_by_role("button", name="Done").press("Enter")
    page.get_by_text(f"{count} of {count} are checked.").wait_for()
    for row in visits.box.get(path)["rows"]:
        missed = {name: number for name, number in (row["missed"] or {}).items() if number}
        found = row["true_class"] if row["kind"] == "building" else missed
        assert found == said[row["row"]], row

    # One answer is taken back, and given again.
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
    assert shown_row.split() == [f"{row[name]:.0f}" if name else "to" for name in
                                 ("estimate", "low", None, "high")]  # fmt: skip
    assert content == estimate(folder)
    assert findings(page) == []


def assert_in_view(page, where: str) -> None:
    """Is its begin on the screen, and nothing wider than that?"""
    box = page.locator(where).bounding_box()
    assert 0 <= box["y"] < 844
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
