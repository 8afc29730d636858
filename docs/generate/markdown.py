"""Text of the code (docstrings, help) as Markdown that GitHub and the site show alike."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable

NOTICE = "<!-- Written by `python -m docs.generate`; change the code, not this page. -->"

_OPTION = re.compile(r"(?<![\w`/-])--[a-z][\w-]*")
_CODE = re.compile(r"(`[^`]*`)")


def prose(text: str) -> str:
    """Paragraphs of a docstring: its ``code`` becomes `code`, and so do options."""
    return "\n\n".join(line(part) for part in inspect.cleandoc(text).split("\n\n"))


def line(text: str) -> str:
    """The same on one line, without anything that Markdown would take for markup."""
    text = " ".join(text.split()).replace("``", "`")
    parts = _CODE.split(text)
    parts[::2] = [_OPTION.sub(r"`\g<0>`", _plain(part)) for part in parts[::2]]
    return "".join(parts)


def _plain(text: str) -> str:
    return re.sub(r"([*\[\]]|(?<!\w)_|_(?!\w))", r"\\\1", text).replace("<", "&lt;")


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(map(_cell, row))} |" for row in lines]


def _cell(text: str) -> str:
    """A bar would end the cell; escaped inside code, GitHub and the site differ about it."""

    def shown(match: re.Match[str]) -> str:
        code = match[0]
        return f"<code>{code[1:-1].replace('|', '&#124;')}</code>" if "|" in code else code

    return _CODE.sub(shown, text).replace("|", "&#124;")
