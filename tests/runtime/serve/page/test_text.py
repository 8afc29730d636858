"""The words of the page: all in one file, none in markup and scripts."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from runtime.damage import CLASS_NAMES, DAMAGE_CLASSES

PAGE = Path(__file__).parents[4] / "runtime" / "serve" / "page"
SCRIPTS = sorted(PAGE.glob("*.js"))
WORDS = json.loads((PAGE / "text.en.json").read_text())

# Comments go; what is left of `//` within a string is an address.
COMMENT = re.compile(r"/\*.*?\*/|(?<!:)//[^\n]*", re.DOTALL)
LITERAL = re.compile(r'"((?:[^"\\\n]|\\.)*)"|`((?:[^`\\]|\\.)*)`|' r"'((?:[^'\\\n]|\\.)*)'")
BUILT = re.compile(r"text\(\s*`([^`]*)`")

FAMILIES = {
    "class": {CLASS_NAMES[each] for each in DAMAGE_CLASSES} | {"not-a-building", "not-computed"},
    "state": {"waiting", "running", "done", "failed", "cancelled"},
    "layer": {"compare", "before", "after", "damage", "confidence", "quality", "none"},
    "upload": {"waiting", "sending", "paused", "retrying", "done", "failed", "cancelled"},
    "tab": {"buildings", "totals", "layers", "files"},
}
"""Keys that are put together out of what the server or the page calls something."""


def code(path: Path) -> str:
    return COMMENT.sub("", path.read_text())


def literals(path: Path) -> list[str]:
    return ["".join(found) for found in LITERAL.findall(code(path))]


class Markup(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.keys: set[str] = set()
        self.spoken: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("data-text", "data-label"):
                self.keys.add(str(value))
            if name in ("title", "alt", "placeholder", "aria-label") or name.startswith("on"):
                self.spoken.append(f"{tag} {name}={value}")
            if name == "style":
                self.spoken.append(f"{tag} style, which the page's own policy refuses")

    def handle_data(self, data: str) -> None:
        if any(each.isalpha() for each in data):
            self.texts.append(data.strip())


@pytest.fixture(scope="module")
def markup() -> Markup:
    found = Markup()
    found.feed((PAGE / "index.html").read_text())
    return found


def named_in_scripts() -> set[str]:
    scripts = "".join(map(code, SCRIPTS))
    return {key for key in WORDS if f'"{key}"' in scripts}


def test_markup_holds_no_words(markup: Markup) -> None:
    assert markup.texts == []
    assert markup.spoken == []


def test_every_key_of_the_markup_exists(markup: Markup) -> None:
    assert markup.keys - set(WORDS) == set()


def test_every_key_that_a_script_names_exists() -> None:
    named = re.compile(r'\btext\(\s*(?:[^"`()]*\?\s*)?"([^"]+)"(?:\s*:\s*"([^"]+)")?')
    keys = {key for path in SCRIPTS for found in named.findall(code(path)) for key in found if key}
    assert len(keys) > 50
    assert keys - set(WORDS) == set()


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_put_together_exists_for_each_name(family: str) -> None:
    assert {f"{family}.{name}" for name in FAMILIES[family]} - set(WORDS) == set()


def test_every_key_is_used(markup: Markup) -> None:
    built = {key for path in SCRIPTS for key in BUILT.findall(code(path))}
    made = [re.sub(r"\\\$\\\{[^}]*\\\}", ".+", re.escape(each)) for each in built]
    made += [rf"{re.escape(family)}\..+" for family in FAMILIES]
    used = markup.keys | named_in_scripts()
    used |= {key for key in WORDS if any(re.fullmatch(each, key) for each in made)}
    assert set(WORDS) - used == set()


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_hold_no_words(path: Path) -> None:
    said = re.compile(r'(?:\btext|"aria-label"|textContent|title)\s*[:=]\s*["\'](\w[^"\']*)')
    assert said.findall(code(path)) == []
    sentences = [each for each in literals(path) if re.search(r"[A-Z][a-z]+ [a-z]+ [a-z]+", each)]
    assert sentences == []


def test_forms_for_counts_have_the_one_that_every_language_has() -> None:
    assert all("other" in line for line in WORDS.values() if isinstance(line, dict))


@pytest.mark.parametrize("path", sorted(PAGE.iterdir()), ids=lambda path: path.name)
def test_nothing_names_another_machine(path: Path) -> None:
    addresses = re.findall(r"(?:https?:)?//[\w.-]+\.[a-z]{2,}[^\s\"']*", path.read_text())
    assert [each for each in addresses if "www.w3.org/2000/svg" not in each] == []


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_nothing_becomes_markup_or_code(path: Path) -> None:
    for name in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert name not in code(path)
