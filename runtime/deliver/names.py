"""A map's summary for other machines: files by their names, and not where they lay on the box."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_FILES = ("pre", "post", "image", "footprints", "aoi", "folder")
"""Keys whose text is a path, also where that is a relative one; several are parted by ", "."""

_ANY = r"(?:/[^\s/:,;()\"']+)+"
"""Any absolute folder in a text; those with spaces are known by the files in them."""


def by_name(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The same without the folders of its files, also within notes and reasons."""
    folders = {str(Path(path).parent) for path in _paths(summary)} - {".", "/"}
    known = [re.escape(each) for each in sorted(folders, key=len, reverse=True)]
    begins = re.compile(rf"(?<![\w./:-])(?:{'|'.join([*known, _ANY])})/")
    return {key: _cut(value, begins) for key, value in summary.items()}


def _paths(value: Any, key: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _paths(each, name)
    elif isinstance(value, list):
        for each in value:
            yield from _paths(each)
    elif isinstance(value, str):
        if key in _FILES:
            yield from value.split(", ")
        elif value.startswith("/"):
            yield value.partition(": ")[0]


def _cut(value: Any, begins: re.Pattern[str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _cut(each, begins) for key, each in value.items()}
    if isinstance(value, list):
        return [_cut(each, begins) for each in value]
    return begins.sub("", value) if isinstance(value, str) else value
