"""GDAL and PROJ: is their data their own, and does a known point come out where it is?"""

from __future__ import annotations

import os
import sqlite3
from importlib.util import find_spec
from pathlib import Path

from runtime.doctor.asking import ask
from runtime.doctor.finding import Asked, Finding, Findings
from runtime.libraries import OTHERS

CHECK = "geodata"

_POINT = """
import json, runtime.libraries
from rasterio.warp import transform
(east,), (north,) = transform("EPSG:4326", "EPSG:32632", [9.0], [0.0])
(east_b,), (north_b,) = transform("EPSG:4326", "EPSG:3857", [180.0], [0.0])
print(json.dumps([east, north, east_b, north_b]))
"""
_EXPECTED = (500_000.0, 0.0, 20_037_508.342789244, 0.0)
"""Metres: on the central meridian of UTM zone 32 at the equator; half the equator of the sphere
(pi x 6,378,137 m)."""


def check(asked: Asked) -> Findings:
    own = _own_data()
    if own is None:
        yield Finding(CHECK, "not checked", "rasterio is not installed")
        return
    answer = ask(_POINT, seconds=asked.seconds)
    set_here = {name: os.environ[name] for name in OTHERS if name in os.environ}
    unset = f"unset {' '.join(set_here)}" if set_here else (
        "pip install --force-reinstall --no-deps rasterio"
    )  # fmt: skip
    if answer.trouble:
        yield Finding(CHECK, "problem", f"PROJ cannot place a point: {answer.trouble}", unset)
    elif any(abs(a - b) > 0.01 for a, b in zip(answer.value, _EXPECTED, strict=True)):
        shown = ", ".join(f"{each:.2f}" for each in answer.value)
        yield Finding(
            CHECK, "problem", f"PROJ places known points at {shown} m: another PROJ's database",
            unset,
        )  # fmt: skip
    else:
        yield Finding(CHECK, "ok", "PROJ places known points where they are")
    for name, value in set_here.items():
        what = f"{name}={value} is of another GDAL or PROJ{_layouts(Path(value), own)}"
        if own.is_file():
            yield Finding(
                CHECK, "note", f"{what}; not used here, other programs may fail by it",
                f"unset {name}",
            )  # fmt: skip
        elif name.startswith("PROJ") and not (Path(value) / "proj.db").is_file():
            yield Finding(CHECK, "problem", f"{what}, and holds no proj.db", f"unset {name}")
        else:
            yield Finding(CHECK, "ok", f"{name}={value}")


def _own_data() -> Path | None:
    """Where a rasterio with its own PROJ has its database; None without rasterio."""
    try:
        found = find_spec("rasterio")
    except (ImportError, ValueError):
        return None
    if found is None or found.origin is None:
        return None
    return Path(found.origin).parent / "proj_data" / "proj.db"


def _layouts(other: Path, own: Path) -> str:
    """The versions of both databases, where they can be read and differ."""
    versions = [_layout(each) for each in (other / "proj.db", own)]
    if None in versions or versions[0] == versions[1]:
        return ""
    return f" (proj.db of layout {versions[0]}, rasterio's is {versions[1]})"


def _layout(database: Path) -> str | None:
    if not database.is_file():
        return None
    try:
        with sqlite3.connect(f"file:{database}?mode=ro&immutable=1", uri=True) as connection:
            rows = dict(
                connection.execute(
                    "select key, value from metadata where key like 'DATABASE.LAYOUT.VERSION.%'"
                )
            )
    except sqlite3.Error:
        return None
    prefix = "DATABASE.LAYOUT.VERSION."
    return f"{rows.get(f'{prefix}MAJOR')}.{rows.get(f'{prefix}MINOR')}"
