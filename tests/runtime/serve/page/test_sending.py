"""Files on their way: what breaks off goes on where it was."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
import rasterio

from tests.runtime.serve.page.browsing import Visits, wait

PIECE = 8 * 2**20


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    """A GeoTIFF of noise, larger than two pieces."""
    path = tmp_path_factory.mktemp("large") / "large_pre.tif"
    values = np.random.default_rng(0).integers(0, 255, (3, 2500, 2500), np.uint8)
    with rasterio.open(
        path, "w", driver="GTiff", width=2500, height=2500, count=3, dtype="uint8",
        crs="EPSG:32616", transform=rasterio.transform.from_origin(0, 0, 1, 1),
    ) as file:  # fmt: skip
        file.write(values)
    assert 2 * PIECE < path.stat().st_size < 3 * PIECE
    return path


def is_whole(visits: Visits, large: Path) -> bool:
    """Does what the box has say the same as what was sent?"""
    wanted = hashlib.sha256(large.read_bytes()).hexdigest()
    files = [each for each in (visits.box.data / "uploads").rglob("*") if each.is_file()]
    sizes = [each for each in files if each.stat().st_size == large.stat().st_size]
    return any(hashlib.sha256(each.read_bytes()).hexdigest() == wanted for each in sizes)


def forget(page) -> None:
    page.get_by_role("button", name="Remove").first.click()


def test_a_broken_connection_is_waited_for(visits: Visits, large: Path) -> None:
    page = visits.open()
    visits.expected.append("ERR_FAILED")
    begins: list[int] = []

    def second_is_lost(route) -> None:
        begins.append(int(route.request.headers["upload-offset"]))
        if len(begins) == 2:
            route.abort()
        else:
            route.continue_()

    page.context.route(re.compile("/api/uploads/"), lambda route: (
        second_is_lost(route) if route.request.method == "PATCH" else route.continue_()
    ))  # fmt: skip
    page.locator("input[type=file]").first.set_input_files(large)
    page.get_by_text("trying again").wait_for()
    assert "does not answer" in page.locator(".slot .error").first.inner_text()
    page.locator(".slot.done").wait_for()
    assert begins == [0, PIECE, PIECE, 2 * PIECE]
    assert is_whole(visits, large)
    forget(page)


def test_it_goes_on_after_a_pause_and_after_a_reload(visits: Visits, large: Path) -> None:
    page = visits.open()
    visits.expected.append("ERR_FAILED")
    begins: list[int] = []

    def only_the_first(route) -> None:
        begins.append(int(route.request.headers["upload-offset"]))
        if len(begins) == 1:
            route.continue_()  # the others hang, as on a bad line

    def patches(route) -> None:
        (only_the_first if route.request.method == "PATCH" else lambda each: each.continue_())(
            route
        )

    way = re.compile("/api/uploads/")
    page.context.route(way, patches)
    page.locator("input[type=file]").first.set_input_files(large)
    wait(lambda: len(begins) == 2 or page.wait_for_timeout(100))
    page.get_by_role("button", name="Pause").click()
    page.get_by_text("Paused at").wait_for()
    page.reload()
    page.get_by_text(re.compile(r"large_pre.tif was broken off at 4\d%")).wait_for()

    page.context.unroute(way)
    again: list[int] = []
    page.on("request", lambda request: request.method == "PATCH" and again.append(
        int(request.headers["upload-offset"])
    ))  # fmt: skip
    page.locator("input[type=file]").first.set_input_files(large)
    page.locator(".slot.done").wait_for()
    assert again == [PIECE, 2 * PIECE]
    assert is_whole(visits, large)
    assert page.locator(".broken li").count() == 0
    forget(page)


def test_what_is_no_image_is_refused_with_the_servers_line(visits: Visits, tmp_path: Path) -> None:
    path = tmp_path / "town_pre.png"
    path.write_bytes(b"<svg onload=alert(1)>" * 9)
    page = visits.open()
    visits.expected.append("status of 415")
    page.locator("input[type=file]").first.set_input_files(path)
    page.get_by_text("neither PNG, JPEG nor TIFF").wait_for()
    other = tmp_path / "town.pdf"
    other.write_bytes(b"%PDF")
    page.locator("input[type=file]").first.set_input_files(other)
    page.get_by_text("town.pdf is no image that can be mapped").wait_for()


def test_two_files_dropped_find_their_places(visits: Visits) -> None:
    page = visits.open()
    visits.expected.append("status of 415")  # what they hold is no image
    page.get_by_text("Two images of the same place").wait_for()
    page.evaluate("""() => {
        const dropped = new DataTransfer();
        for (const name of ["post.txt.png", "pre.png"]) dropped.items.add(new File(["x"], name));
        document.querySelector("[data-part=upload]").dispatchEvent(
            new DragEvent("drop", { dataTransfer: dropped, bubbles: true, cancelable: true }));
    }""")
    names = page.locator(".pick .quiet")
    names.first.get_by_text("pre.png").wait_for()
    assert [each.split(",")[0] for each in names.all_inner_texts()] == ["pre.png", "post.txt.png"]
