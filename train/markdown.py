"""Markdown with YAML front matter, from values that may hold anything.

A tile's, a file's or a key's name can hold what Markdown or YAML takes for its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

_SPECIAL = re.compile(r"([\\`*_\[\]<>#|~&$])")


def one_line(value: object) -> str:
    """Its text, without what starts a line or moves a cursor."""
    text = " ".join(str(value).split())
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def plain(value: object) -> str:
    """Text that Markdown shows as it is."""
    return _SPECIAL.sub(r"\\\1", one_line(value))


def bullets(values: Mapping[str, object]) -> str:
    """`- **Name:** value`, a line each."""
    return "\n".join(f"- **{plain(name)}:** {plain(value)}" for name, value in values.items())


def listed(values: Iterable[object]) -> str:
    """`- value`, a line each."""
    return "\n".join(f"- {plain(value)}" for value in values)


def table(head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    shown = [[each if each == "---" else plain(each) for each in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in shown)


def fenced(text: str, language: str) -> str:
    """A block of code; its fence is longer than any in the text."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def yaml_text(values: Mapping[str, Any]) -> str:
    """Plain data as YAML, quoted wherever it could be read as something else."""
    return yaml.safe_dump(
        dict(values), sort_keys=False, allow_unicode=True, default_flow_style=None, width=100
    )


def document(front: Mapping[str, Any], parts: Iterable[str]) -> bytes:
    """The file: YAML between two lines of `---`, then the parts. None and empty lists are left out.

    A name that is no UTF-8 is escaped.
    """
    values = {key: value for key, value in front.items() if value not in (None, [], {})}
    body = "\n\n".join(part.strip("\n") for part in parts)
    return f"---\n{yaml_text(values)}---\n\n{body}\n".encode(errors="backslashreplace")
