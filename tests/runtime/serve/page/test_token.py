"""Where the box wants a token, the page asks for it."""

from __future__ import annotations

from pathlib import Path

from tests.runtime.serve.page.browsing import Visits, serving


def test_the_page_asks_for_the_token_once(browser, box, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("correct-horse-battery-staple-00\n")
    with serving(tmp_path / "data", "--token-file", str(token)) as closed:
        visits = Visits(browser, closed)
        visits.expected.append("status of 401")
        page = visits.open()
        page.get_by_label("Token").fill("wrong")
        page.get_by_role("button", name="Go on").click()
        page.get_by_text("expected the token of this box").wait_for()
        page.get_by_label("Token").fill(token.read_text().strip())
        page.get_by_role("button", name="Go on").click()
        page.get_by_text("There is no map yet").wait_for()
        page.reload()
        page.get_by_text("There is no map yet").wait_for()
        assert "token" not in page.url
        visits.close()
