"""Buildings as GeoJSON."""

from __future__ import annotations

import contextlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime import files
from runtime.buildings.finding import in_reading_order
from runtime.buildings.outlines import Outline
from runtime.buildings.votes import Building
from runtime.output.totals import BuildingTotals

PIXEL_COORDINATES = {
    "coordinate_space": "pixel",
    "coordinate_note": (
        "The image has no georeference: x to the right and y downwards in pixels, "
        "origin at the image's top left corner."
    ),
}
"""Foreign members (RFC 7946, 6.1) of a collection that is not in WGS 84."""


def write_in_pixels(buildings: Iterable[Building], path: Path) -> BuildingTotals:
    """The buildings of a picture: a FeatureCollection that appears whole or not at all."""
    found = in_reading_order(buildings)
    with collection(path, PIXEL_COORDINATES) as add:
        for each in found:
            add([json.dumps(feature(each), allow_nan=False)])
    numbers, areas = Counter[int](), Counter[int]()
    for each in found:
        numbers[each.damage_class] += 1
        areas[each.damage_class] += each.area_px
    cut = Counter(each.cut for each in found)
    return BuildingTotals(numbers, areas, cut=cut)


def feature(building: Building) -> dict[str, Any]:
    """A GeoJSON Feature with a Polygon in the building's own coordinates."""
    exterior, *holes = map(_closed, building.rings)
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [exterior, *reversed(holes)]},
        "properties": {
            "damage": building.damage,
            "damage_class": building.damage_class,
            "confidence": round(building.confidence, 4),
            "area_px": building.area_px,
            "cut": building.cut,
            "shares": {name: round(share, 4) for name, share in building.shares.items()},
            **{name: _told(value) for name, value in building.told.items()},
        },
    }


def _told(value: str | float) -> str | float | None:
    if isinstance(value, str):
        return value
    return round(value, 4) if math.isfinite(value) else None


def _closed(ring: Outline) -> list[list[float]]:
    """From the corner after the top left one, and back to it: the same from every version."""
    corners: list[list[float]] = ring.tolist()
    first = min(range(len(corners)), key=lambda i: corners[i][::-1]) + 1
    turned = corners[first:] + corners[:first]
    return [*turned, turned[0]]


def members(names: Iterable[str]) -> str:
    """A JSON object's members, without its braces, as a template for the operator `%`."""
    return ", ".join(f"{json.dumps(name)}: ".replace("%", "%%") + "%s" for name in names)


def values(column: NDArray[Any]) -> list[str]:
    """Those of a table's column as JSON: null for what is not finite, masked, or None."""
    if column.dtype.kind == "f":
        text = list(map(float.__repr__, np.ma.getdata(column).tolist()))
    elif column.dtype.kind in "iu":
        text = list(map(int.__repr__, np.ma.getdata(column).tolist()))
    else:
        encode = json.JSONEncoder(allow_nan=False).encode
        found = column.tolist()
        known = {each: encode(each) for each in set(found)}
        return [known[each] for each in found]
    gone = np.ma.getmaskarray(column) | ~np.isfinite(np.ma.getdata(column))
    for index in np.flatnonzero(gone).tolist():
        text[index] = "null"
    return text


@contextlib.contextmanager
def collection(
    path: Path | str, members: Mapping[str, Any]
) -> Iterator[Callable[[Sequence[str]], None]]:
    """Give a function that adds features, as JSON on one line each, to a new FeatureCollection.

    The file appears when the context ends, and not at all if it ends with an error. A country's
    buildings need not fit into memory.
    """
    with files.replacing(Path(path)) as temporary, temporary.open("w", encoding="utf-8") as file:
        head = json.dumps({"type": "FeatureCollection", **members})
        file.write(head[:-1] + ', "features": [')
        separator = "\n"

        def add(features: Sequence[str]) -> None:
            nonlocal separator
            if features:
                file.write(separator + ",\n".join(features))
                separator = ",\n"

        yield add
        file.write("\n]}\n")
