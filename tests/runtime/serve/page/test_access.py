"""For everybody: what axe finds, in light and dark and on a phone, and work without a mouse."""

from __future__ import annotations

import pytest

from tests.runtime.serve.page.browsing import Visits, say_who, shown

axe = pytest.importorskip("axe_playwright_python.sync_playwright")


def findings(page) -> list[str]:
    """What axe calls serious or critical."""
    found = axe.Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {node['html']}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


@pytest.mark.parametrize(
    ("phone", "scheme"),
    [
        (False, "light"),
        (True, "dark"),
        pytest.param(False, "dark", marks=pytest.mark.slow),
        pytest.param(True, "light", marks=pytest.mark.slow),
    ],
)
def test_axe_finds_nothing_serious(visits: Visits, placed: str, scheme: str, phone: bool) -> None:
    visit = visits.phone if phone else visits.open
    page = visit(color_scheme=scheme)
    page.get_by_role("link", name="Riverside").wait_for()
    found = {"start": findings(page)}
    page.goto(f"{visits.box.url}/#/jobs/{placed}")
    shown(page)
    page.locator(".list .building").first.click()
    for tab in ("Totals", "Layers", "Files", "Buildings"):
        page.get_by_role("tab", name=tab).click()
        found[tab] = findings(page)
    page.get_by_role("button", name="Draw").click()
    found["drawing"] = findings(page)
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Your name").click()
    found["who"] = findings(page)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Keys").click()
    found["keys"] = findings(page)
    assert {view: lines for view, lines in found.items() if lines} == {}


def test_a_building_is_drawn_by_keys_alone(visits: Visits, placed: str) -> None:
    page = visits.open(f"/#/jobs/{placed}")
    shown(page)
    page.keyboard.press("d")
    for way in (None, "ArrowRight", "ArrowDown"):
        if way:
            page.keyboard.press(way)
            page.wait_for_timeout(400)
        page.keyboard.press("Space")
    page.keyboard.press("Enter")
    say_who(page)
    page.locator(".card h2", has_text="Drawn building").wait_for()
    page.keyboard.press("u")
    page.locator(".card.empty").wait_for()
    assert visits.box.get(f"/api/jobs/{placed}/drawn") == []


def test_single_keys_can_be_switched_off(visits: Visits, placed: str) -> None:
    page = visits.open(f"/#/jobs/{placed}")
    shown(page)
    page.keyboard.press("?")
    page.get_by_label("Single keys do something").uncheck()
    page.get_by_role("button", name="Close").click()
    page.keyboard.press("n")
    page.wait_for_timeout(200)
    assert page.locator("[aria-current]").count() == 0


def test_nothing_moves_for_those_who_do_not_want_it(visits: Visits, placed: str) -> None:
    page = visits.open(f"/#/jobs/{placed}", reduced_motion="reduce")
    shown(page)
    assert page.locator(".leaflet-zoom-anim, .leaflet-fade-anim").count() == 0
    page.keyboard.press("n")
    assert page.locator(".leaflet-pan-anim").count() == 0


def test_no_class_is_told_by_colour_alone(visits: Visits, placed: str) -> None:
    page = visits.open(f"/#/jobs/{placed}")
    shown(page)
    page.wait_for_selector(".sign")
    signs = page.locator(".sign span").all_inner_texts()
    assert {sign[0] for sign in signs} == set("1234")
    assert page.locator(".legend li").all_inner_texts()[0].split() == ["1", "No", "damage"]
