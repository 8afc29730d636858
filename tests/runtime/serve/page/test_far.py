"""From afar, where a number has no room, a class is told by more than its colour."""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image

from tests.runtime.serve.page.browsing import Box, Visits, shown

SIDE = 384
COLOURS = {
    "no-damage": (255, 255, 255), "minor-damage": (255, 221, 51), "major-damage": (255, 140, 0),
    "destroyed": (220, 20, 30),
}  # fmt: skip


def fullness(page, buildings: list[dict]) -> dict[str, float]:
    """By class, how like its colour the middles of its buildings are: 1 alike, 0 like black."""
    page.wait_for_timeout(1500)
    screen = np.asarray(Image.open(io.BytesIO(page.locator(".map").screenshot())).convert("RGB"))
    height, width = screen.shape[:2]
    scale = 2 ** (math.floor(math.log2(min(height, width) / SIDE) * 4) / 4)
    found: dict[str, list[float]] = {name: [] for name in COLOURS}
    for each in buildings:
        x, y = ((at - SIDE / 2) * scale for at in each["centre"])
        colour = np.array(COLOURS[each["class"]], float)
        apart = np.abs(screen[round(height / 2 + y), round(width / 2 + x)] - colour).mean()
        found[each["class"]].append(1 - apart / colour.mean())
    return {name: float(np.median(values)) for name, values in found.items()}


def test_what_has_no_room_for_a_number_is_the_fuller_the_worse(
    visits: Visits, box: Box, placed: str
) -> None:
    found = box.get(f"/api/jobs/{placed}/buildings?limit=1000")["buildings"]
    wide = [np.ptp(np.array(each["ring"])[:, 0]) for each in found]
    bare = [
        each for each, width in zip(found, wide, strict=True)
        if 12 < width < 28 and 0.5 * SIDE < each["centre"][1] < 0.95 * SIDE
    ]  # too narrow for a number at half the size, and under no line over the map  # fmt: skip

    page = visits.open(f"/#/jobs/{placed}", 390, 420)  # the map at half its size
    shown(page)
    page.locator(".map").press("b")  # without the divider over it
    full = fullness(page, bare)
    assert full["destroyed"] > 0.9
    assert full["destroyed"] > full["major-damage"] + 0.05
    assert 0 < page.locator(".sign").count() <= sum(width >= 28 for width in wide)
    page.locator(".legend summary").click()
    assert page.get_by_text("filled: the fuller, the worse").is_visible()

    page = visits.open(f"/#/jobs/{placed}", 1280, 900)  # twice its size: lines and numbers
    shown(page)
    page.wait_for_timeout(1500)
    assert page.get_by_text("Not computed").first.is_visible()
    assert page.get_by_text("filled: the fuller, the worse").count() == 0
    assert page.locator(".sign").count() > 0.8 * len(found)
