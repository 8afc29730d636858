"""Links of the pages that are read in the repository; the site's own are checked by its build."""

from urllib.parse import unquote

import pytest

from tests.docs.pages import ROOT, anchors, links

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES = [page for page in PAGES if page.is_file()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page):
    lost = []
    for link in links(page):
        path, _, anchor = unquote(link).partition("#")
        if ":" in path.split("/")[0]:
            continue
        target = (page.parent / path).resolve() if path else page
        there = target.exists() and target.is_relative_to(ROOT)
        if there and anchor and target.suffix == ".md":
            there = anchor in anchors(target)
        if not there:
            lost.append(link)
    assert lost == []


def test_headings_become_anchors_as_on_github(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# W32, as `TensorRT-RTX` compiles it\n\n## One\n\n## One\n")
    assert anchors(page) == {"w32-as-tensorrt-rtx-compiles-it", "one", "one-1"}
