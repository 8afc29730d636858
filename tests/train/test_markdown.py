"""What odd values become in Markdown and in its front matter."""

from __future__ import annotations

import re
from html import unescape

import pytest
import yaml
from markdown_it import MarkdownIt

from train.markdown import bullets, document, fenced, plain, table

ODD = [
    "town: yes", "- item", "# no comment", "'", '"', "null", "1e3", "2020-01-01", "a\n---\nb",
    "a|b", "[x](y)", "<script>", "`code`", "*star*", "under_score_d", "&amp;", "\x1b[31m", "übung",
    "~~x~~",
]  # fmt: skip


def _front(text: bytes) -> dict:
    """As a reader of model cards finds it: between the first two lines of three dashes."""
    match = re.match(r"---\n(.*?)\n---\n", text.decode(), re.DOTALL)
    assert match
    return yaml.safe_load(match[1])


@pytest.mark.parametrize("value", ODD)
def test_front_matter_gives_back_what_went_in(value: str) -> None:
    front = {"name": value, value: [value], "nested": [{"name": value}]}
    assert _front(document(front, ["text"])) == front


def test_nothing_is_left_out_of_front_matter_but_what_is_not_there() -> None:
    front = {"a": None, "b": [], "c": {}, "d": 0, "e": 0.0}
    assert _front(document(front, [])) == {"d": 0, "e": 0.0}


@pytest.mark.parametrize("value", ODD)
def test_text_is_shown_as_it_is(value: str) -> None:
    """By a reader of CommonMark with tables."""
    html = MarkdownIt().enable("table").render(f"before {plain(value)} after")
    shown = html.removeprefix("<p>").removesuffix("</p>\n")
    assert "<" not in shown  # nothing of the value became an element
    wanted = " ".join(value.split()).replace("\x1b", "\\x1b")
    assert unescape(shown) == f"before {wanted} after"


def test_a_table_keeps_its_columns() -> None:
    rows = table(["a", "b"], [["x|y", "line\nbreak"]]).splitlines()
    assert rows == ["| a | b |", "| --- | --- |", r"| x\|y | line break |"]


def test_a_fence_is_longer_than_any_in_its_text() -> None:
    assert fenced("```\nrm\n```", "sh") == "````sh\n```\nrm\n```\n````"


def test_a_name_that_is_no_utf_8_is_escaped() -> None:
    text = document({"name": "a\udcff"}, [bullets({"file": "b\udcfe"})])
    assert _front(text) == {"name": "a\udcff"}
    assert b"- **file:** b\\\\udcfe\n" in text
