"""One server with a placed map for all tests of the page, and a browser's visits to it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.runtime.serve.page.browsing import Box, Visits, place_pair, serving


@pytest.fixture(scope="session")
def box(tmp_path_factory) -> Iterator[Box]:
    if not (shutil.which("chromium") or shutil.which("chromium-browser")):
        pytest.skip("no Chromium is installed")
    pytest.importorskip("onnxruntime")
    data = tmp_path_factory.mktemp("box") / "data"
    place_pair(data / "inbox", "riverside")
    with serving(data) as box:
        yield box


@pytest.fixture
def visits(browser, box: Box) -> Iterator[Visits]:
    """Nothing may leave this machine, and no page may meet an error that nobody expects."""
    visits = Visits(browser, box)
    yield visits
    visits.close()


@pytest.fixture(scope="session")
def placed(box: Box) -> str:
    """The job of a map with a place on the ground."""
    return box.map_pair("riverside", "Riverside")
