"""The page in headless Chromium, where one is installed."""

import pytest

DESKTOP, PHONE = (1280, 900), (390, 844)


@pytest.fixture
def visit(browser, report):
    """The page at a size and in a colour scheme; an error or a request outside fails."""
    contexts, faults = [], []

    def open_page(size, scheme="light"):
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda asked: _own(asked.url, report) or faults.append(asked.url))
        page.goto(report.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


def _own(url, report):
    return url.startswith("data:") or url == report.as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_nothing_overflows_and_every_image_is_there(visit, size, scheme):
    page = visit(size, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    wide = page.evaluate(
        """[...document.querySelectorAll("section > *, .card, svg")]
             .filter(e => e.getBoundingClientRect().right > innerWidth + 1).length"""
    )
    assert wide == 0


def test_dark_is_dark_and_its_charts_are_readable(visit):
    shades = {}
    for scheme in ("light", "dark"):
        page = visit(DESKTOP, scheme)
        shades[scheme] = [
            _brightness(page.evaluate(f"getComputedStyle(document.querySelector('{what}')).{how}"))
            for what, how in (("body", "backgroundColor"), ("svg text", "fill"))
        ]
    assert shades["light"][0] > 200
    assert shades["light"][1] < 80
    assert shades["dark"][0] < 60
    assert shades["dark"][1] > 180


def test_the_slider_goes_from_before_to_the_map(visit):
    page = visit(PHONE)
    slider = page.locator(".slider").first
    shown = {}
    for at in (0, 50, 100):
        slider.locator("input[type=range]").fill(str(at))
        shown[at] = slider.evaluate(
            """s => [".after", ".map.picked"].map(
                 which => s.querySelector(which).style.getPropertyValue("--shown"))"""
        )
    assert shown == {0: ["0%", "0%"], 50: ["100%", "0%"], 100: ["100%", "100%"]}
    slider.get_by_label("truth").check()
    assert slider.locator(".map.picked").get_attribute("data-name") == "truth"
    assert slider.locator(".map.picked").count() == 1


def test_without_a_script_the_pictures_stand_side_by_side(browser, report):
    context = browser.new_context(
        java_script_enabled=False, viewport={"width": 1280, "height": 900}
    )
    page = context.new_page()
    page.goto(report.as_uri())
    boxes = [each.bounding_box() for each in page.locator(".stack").first.locator("img").all()]
    assert len({(box["x"], box["y"]) for box in boxes}) == len(boxes) == 5
    context.close()


def _brightness(colour: str) -> float:
    """Mean of "rgb(r, g, b)"."""
    values = [float(each) for each in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    return sum(values) / 3
