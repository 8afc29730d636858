"""Many geometries at once as a GeoPackage keeps them: a header, then well-known binary (OGC
12-128r18, 2.1.3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runtime.libraries import library

_HEAD = np.dtype([("start", "V4"), ("srs", "<i4"), ("bounds", "<f8", 4)])
_WITHOUT_BOUNDS = 8
"""Bytes of a header of a point, or of what is empty."""

_PLAIN, _EMPTY, _BOUNDED = (b"GP\0" + bytes([flags]) for flags in (0b00001, 0b10001, 0b00011))
"""Magic number, version and flags: byte order, what bounds there are, whether it is empty."""

_ONE_PART = bytes([1, 6, 0, 0, 0, 1, 0, 0, 0])
"""A multipolygon up to its only polygon."""


def blobs_of(
    geometry: NDArray[np.object_], srs: int, multi: bool
) -> tuple[list[bytes | None], NDArray[np.float64]]:
    """Of shapely geometries, None for none; and their bounds [N,4], left, bottom, right, top, NaN
    for none.

    multi: polygons become multipolygons.
    """
    shapely = library("shapely")
    bounds = np.asarray(shapely.bounds(geometry), np.float64)
    kinds = shapely.get_type_id(geometry)
    empty = np.isnan(bounds).any(axis=1)
    plain = empty | (kinds == shapely.GeometryType.POINT)
    heads = np.zeros(len(geometry), _HEAD)
    heads["start"] = np.void(_BOUNDED)
    heads["start"][plain] = np.void(_PLAIN)
    heads["start"][empty] = np.void(_EMPTY)
    heads["srs"], heads["bounds"] = srs, bounds[:, [0, 2, 1, 3]]
    size, raw = _HEAD.itemsize, heads.tobytes()
    length = np.where(plain, _WITHOUT_BOUNDS, size).tolist()
    wrapped = (multi & (kinds == shapely.GeometryType.POLYGON)).tolist()
    starts = range(0, len(raw), size)
    wkbs = shapely.to_wkb(geometry, byte_order=1)
    rows = zip(starts, wkbs, length, wrapped, strict=True)
    found = [
        None if wkb is None else raw[at : at + head] + (_ONE_PART if wrap else b"") + wkb
        for at, wkb, head, wrap in rows
    ]
    return found, bounds
