"""The pages of the documentation, and the code that stands in them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("examples/**/*.md"),
    )
    if path.is_file()
)
IDS = [str(path.relative_to(ROOT)) for path in PAGES]

RUN = re.compile(r"<!--\s*run\s*-->\s*")

_MARKDOWN = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True)
class Block:
    """A fenced or an indented block of code. language: "" where it says none."""

    page: Path
    line: int
    language: str
    text: str
    run: bool = False

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    before: Token | None = None
    for token in _MARKDOWN.parse(page.read_text(encoding="utf-8")):
        if token.type in ("fence", "code_block") and token.map:
            language = (token.info.split() or [""])[0]
            run = before is not None and RUN.fullmatch(before.content) is not None
            yield Block(page, token.map[0] + 1, language, token.content, run)
        before = token if token.type == "html_block" else None


def code_spans(page: Path) -> Iterator[tuple[int, str]]:
    """Line and text of each `code` inside a sentence or a table."""
    for token in _MARKDOWN.parse(page.read_text(encoding="utf-8")):
        for child in token.children or ():
            if child.type == "code_inline":
                yield (token.map or [0])[0] + 1, child.content


def links(page: Path) -> Iterator[str]:
    for token in _MARKDOWN.parse(page.read_text(encoding="utf-8")):
        for child in token.children or ():
            target = child.attrGet("href") or child.attrGet("src")
            if target:
                yield str(target)


def anchors(page: Path) -> set[str]:
    """Of the headings, as GitHub makes them."""
    tokens = _MARKDOWN.parse(page.read_text(encoding="utf-8"))
    found: set[str] = set()
    for token, inside in itertools.pairwise(tokens):
        if token.type == "heading_open":
            text = "".join(child.content for child in inside.children or ())
            name = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            again = (f"{name}-{i}" for i in range(1, 100))
            found.add(name if name not in found else next(n for n in again if n not in found))
    return found
