"""The site that is built: strict, whole, and nothing in it comes from outside."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

SIZES = {"desktop": (1280, 900), "phone": (390, 844)}

LOADS = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src"}
"""What a page takes from elsewhere by itself; a link that a person follows is not among it."""


def build(root: Path, out: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built") / "site"
    done = build(ROOT, out)
    assert done.returncode == 0, done.stderr
    return out


class Loaded(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag in LOADS and named.get("rel") != "canonical":
            self.found.append(named.get(LOADS[tag]) or "")


def test_no_page_loads_anything_from_outside(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        loaded = Loaded()
        loaded.feed(page.read_text(encoding="utf-8"))
        assert [each for each in loaded.found if re.match(r"(\w+:)?//", each)] == [], page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\(\s*['\"]?(https?:)?//", sheet.read_text(encoding="utf-8"))


def test_the_generator_of_pages_is_no_part_of_the_site(site):
    assert not (site / "generate").exists()


@pytest.fixture
def small(tmp_path) -> Callable[..., str]:
    """Build a site of two pages; what is told of it. The settings are the project's own."""

    def make(index: str, more: str, nav: str) -> str:
        root = tmp_path / "small"
        (root / "docs").mkdir(parents=True)
        settings = (ROOT / "mkdocs.yml").read_text()
        head, rest = settings.split("\nnav:\n")
        rest = rest[rest.index("\nvalidation:") :]
        (root / "mkdocs.yml").write_text(f"{head}\nnav: [{nav}]\n{rest}")
        (root / "docs" / "assets").symlink_to(ROOT / "docs" / "assets")
        for package in ("runtime", "train", "export"):
            (root / package).symlink_to(ROOT / package)
        (root / "docs" / "index.md").write_text(index)
        (root / "docs" / "more.md").write_text(more)
        done = build(root, tmp_path / "out")
        return done.stderr if done.returncode else ""

    return make


def test_a_site_without_a_fault_builds(small):
    index = "# One\n\n[there](more.md#here)\n\n[x][runtime.engine.Engine]\n"
    more = "# More\n\n## Here\n\n::: runtime.engine.Engine\n"
    assert small(index, more, "index.md, more.md") == ""


def test_every_fault_is_told_and_fails_the_build(small):
    index = """# One

[x](none.md) ![x](none.png) [x](#none) [x](more.md#none) [x][runtime.engine.Nothing]
"""
    told = small(index, "# More", "index.md, gone.md")
    for fault in (
        "'none.md', but the target is not found",
        "'none.png', but the target is not found",
        "'#none', but there is no such anchor",
        "does not contain an anchor '#none'",
        'not included in the "nav"',
        "'gone.md' is included in the 'nav'",
        "Could not find cross-reference target 'runtime.engine.Nothing'",
    ):
        assert fault in told


def test_a_name_that_is_gone_fails_the_build(small):
    told = small("# One\n\n::: runtime.engine.Nothing\n", "# More", "index.md, more.md")
    assert "runtime.engine.Nothing could not be found" in told


@pytest.fixture
def visit(browser, site):
    """Open a page of the site as a file; an error, or a request of another kind, fails."""
    contexts, faults = [], []

    def open_page(name: str, size: tuple[int, int], scheme: str = "light"):
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda asked: _own(asked.url, site) or faults.append(asked.url))
        page.goto((site / name).as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


def _own(url: str, site: Path) -> bool:
    return url.startswith(("data:", "blob:", site.as_uri()))


def test_the_search_works_without_a_server(visit):
    page = visit("index.html", SIZES["desktop"])
    page.locator("input.md-search__input").click()
    page.locator("input.md-search__input").type("AlteredPayloadError")
    page.wait_for_selector(".md-search-result__item a[href*='reference/errors.html']")


@pytest.mark.parametrize("width", SIZES)
def test_no_page_is_wider_than_the_window(visit, site, width):
    size = SIZES[width]
    page = visit("index.html", size)
    wide = []
    pages = sorted(site.rglob("*.html"))
    pages.remove(site / "404.html")  # a server's, with addresses from its root
    for each in pages:
        page.goto(each.as_uri())
        if page.evaluate("document.documentElement.scrollWidth") > size[0]:
            wide.append(each.name)
        if not page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)"):
            wide.append(f"{each.name}: a picture is missing")
    assert wide == []


def test_dark_is_dark(visit):
    shades = [
        visit("index.html", SIZES["phone"], scheme).evaluate(
            "getComputedStyle(document.body).backgroundColor"
        )
        for scheme in ("light", "dark")
    ]
    light, dark = (sum(map(int, re.findall(r"\d+", shade)[:3])) for shade in shades)
    assert dark < 200 < 600 < light
