"""Buildings as GeoJSON."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from runtime import files
from runtime.buildings import Building

PIXEL_COORDINATES = {
    "coordinate_space": "pixel",
    "coordinate_note": (
        "The image has no georeference: x to the right and y downwards in pixels, "
        "origin at the image's top left corner."
    ),
}
"""Foreign members (RFC 7946, 6.1) of a collection that is not in WGS 84."""


def feature(building: Building) -> dict[str, Any]:
    """A GeoJSON Feature with a Polygon in the building's own coordinates."""
    closed = [[*ring.tolist(), ring[0].tolist()] for ring in building.rings]
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": closed},
        "properties": {
            "damage": building.damage,
            "damage_class": building.damage_class,
            "confidence": round(building.confidence, 4),
            "area_px": building.area_px,
            "shares": {name: round(share, 4) for name, share in building.shares.items()},
        },
    }


def write_geojson(
    path: Path | str,
    features: Iterable[Mapping[str, Any]],
    members: Mapping[str, Any] = PIXEL_COORDINATES,
) -> None:
    """A FeatureCollection, one feature a line, that appears whole or not at all.

    Written as it is iterated: a country's buildings need not fit into memory.
    """
    with collection(path, members) as add:
        for each in features:
            add(json.dumps(each, allow_nan=False))


@contextlib.contextmanager
def collection(path: Path | str, members: Mapping[str, Any]) -> Iterator[Callable[[str], None]]:
    """Give a function that adds a feature, as JSON on one line, to a new FeatureCollection.

    The file appears when the context ends, and not at all if it ends with an error.
    """
    with files.replacing(Path(path)) as temporary, temporary.open("w", encoding="utf-8") as file:
        head = json.dumps({"type": "FeatureCollection", **members})
        file.write(head[:-1] + ', "features": [')
        separator = "\n"

        def add(feature: str) -> None:
            nonlocal separator
            file.write(separator + feature)
            separator = ",\n"

        yield add
        file.write("\n]}\n")
