"""A label of the xBD data set: its footprints, or one line that says where it is no label."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from runtime.damage import CLASS_NAMES, IGNORE, UNCLASSIFIED
from runtime.errors import DataError, reason

_DAMAGE_VALUE = {name: value for value, name in enumerate(CLASS_NAMES) if value > 0}
_FARTHEST = 1_000_000
"""Pixels. No tile reaches there, and filling a polygon that does takes seconds."""
_POLYGON = re.compile(r"\s*(?:MULTI)?POLYGON\b", re.IGNORECASE)
"""GEOS follows nested collections by recursion, and has no limit before the stack's."""
STEM = re.compile(r"(?P<tile>(?P<disaster>.+)_\d+)_(?P<when>pre|post)_disaster")
"""Of the name of an image or a label of xBD."""
_SHOWN = 80
"""Characters of a value that a message repeats."""


@dataclass(frozen=True)
class Footprint:
    """One labelled footprint. `polygon` is in pixels (x right, y down)."""

    uid: str
    polygon: BaseGeometry
    damage: int | None
    """1..4, IGNORE for un-classified, None in a pre-disaster label."""


def read_label(path: Path, *, damage: bool, size: tuple[int, int] | None = None) -> list[Footprint]:
    """The `xy` footprints of a label file.

    Args:
        size: height and width of the image that it labels, pixels.
    Raises:
        DataError: not JSON, a key that is missing, twice or of another type, an unparsable or
            empty WKT, or an unknown subtype; the message names the file and the building. Or its
            metadata name another tile, or another size.
    """
    content = _object(f"{path}: its content", _parse(path))
    if "metadata" in content:
        _check_metadata(path, _object(f"{path}: metadata", content["metadata"]), size)
    if "features" not in content or "xy" not in _object(f"{path}: features", content["features"]):
        raise DataError(f"{path}: no features.xy; expected an xBD label")
    features = content["features"]["xy"]
    if not isinstance(features, list):
        raise DataError(f"{path}: features.xy is {_shown(features)}; expected a list of buildings")
    return [_building(path, index, feature, damage) for index, feature in enumerate(features)]


def _check_metadata(path: Path, metadata: dict[str, Any], size: tuple[int, int] | None) -> None:
    """Is it the label of this tile, and of the image as it is? What it does not say, passes."""
    given, here = metadata.get("img_name"), STEM.fullmatch(path.stem)
    named = STEM.fullmatch(PurePath(given).stem) if isinstance(given, str) else None
    if named and here and named["tile"] != here["tile"]:
        raise DataError(
            f"{path}: is the label of another tile, its metadata.img_name is {_shown(given)}; "
            f"expected one of {here['tile']}"
        )
    for key, pixels in zip(("height", "width"), size or (), strict=False):
        said = metadata.get(key)
        if said is not None and said != pixels:
            raise DataError(
                f"{path}: its metadata.{key} is {_shown(said)}, its image has a {key} of {pixels} "
                "pixels; expected the image that was labelled, in its own size"
            )


def _parse(path: Path) -> Any:
    content = path.read_bytes()
    try:
        return json.loads(content.decode("utf-8-sig"), object_pairs_hook=_once)
    except RecursionError as error:
        raise DataError(f"{path}: nested too deeply for an xBD label; restore the file") from error
    except ValueError as error:  # of the decoder, of the parser and of huge numbers
        raise DataError(f"{path}: not a JSON label ({reason(error)}); restore the file") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys differ: of two alike, a parser would keep the last in silence."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"key {_shown(twice)} stands twice in one object")
    return found


def _building(path: Path, index: int, content: Any, damage: bool) -> Footprint:
    place = f"{path}: features.xy[{index}]"
    feature = _object(place, content)
    properties = _object(f"{place}.properties", feature.get("properties", {}))
    uid = properties.get("uid", "?")
    if not isinstance(uid, str):
        raise DataError(f"{place}.properties.uid is {_shown(uid)}; expected a text")
    name = f"{path}: building {_line(uid)}"
    polygon = _polygon(name, feature.get("wkt"))
    if not damage:
        return Footprint(uid, polygon, None)
    subtype = properties.get("subtype")
    if subtype == UNCLASSIFIED:
        return Footprint(uid, polygon, IGNORE)
    if not isinstance(subtype, str) or subtype not in _DAMAGE_VALUE:
        known = ", ".join([*_DAMAGE_VALUE, UNCLASSIFIED])
        raise DataError(f"{name} has subtype {_shown(subtype)}; expected one of {known}")
    return Footprint(uid, polygon, _DAMAGE_VALUE[subtype])


def _polygon(name: str, wkt: Any) -> BaseGeometry:
    """A polygon or several, of at least one corner, all within the tile's neighbourhood."""
    if not isinstance(wkt, str):
        raise DataError(f"{name} has wkt {_shown(wkt)}; expected the text POLYGON ((x y, ...))")
    if not _POLYGON.match(wkt) or "\0" in wkt:
        raise DataError(
            f"{name} is not a polygon (wkt {_shown(wkt)}); expected POLYGON ((x y, ...))"
        )
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # refused below
            polygon = shapely.from_wkt(wkt)
    except (shapely.errors.ShapelyError, ValueError) as error:
        raise DataError(f"{name} has an unparsable WKT ({_line(reason(error))})") from error
    # A part or a hole without a corner outlines nothing, and OpenCV refuses it.
    parts = [] if polygon is None else [p for p in shapely.get_parts(polygon) if not p.is_empty]
    if not parts:
        raise DataError(f"{name} is not a polygon (it is empty); expected POLYGON ((x y, ...))")
    polygon = parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)
    if not (abs(shapely.get_coordinates(polygon)) <= _FARTHEST).all():
        raise DataError(
            f"{name} has a corner not within {_FARTHEST} pixels; expected x and y in pixels"
        )
    return polygon


def _object(place: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{place} is {_shown(value)}; expected an object of an xBD label")
    return value


def _shown(value: Any) -> str:
    """A JSON value in a message: short, on one line."""
    try:
        return _line(json.dumps(value) if not isinstance(value, str | list) else repr(value))
    except (RecursionError, ValueError):  # as deep as the parser allows, or a huge number
        return f"a {type(value).__name__}"


def _line(text: str) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..."
