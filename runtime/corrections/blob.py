"""Polygons as a GeoPackage keeps them: a header, then well-known binary (OGC 12-128r18, 2.1.3)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Ring: TypeAlias = NDArray[np.float64]
"""[N,2] x and y, closed: the last point is the first."""
Polygon: TypeAlias = Sequence[Ring]
"""The exterior, then the holes."""

POLYGON, MULTIPOLYGON = "POLYGON", "MULTIPOLYGON"

_ENVELOPE_BYTES = (0, 32, 48, 48, 64)
_POLYGON, _MULTIPOLYGON = 3, 6


def encode(polygons: Sequence[Polygon], srs_id: int, kind: str) -> bytes:
    """kind: that of the layer; POLYGON takes one polygon alone."""
    points = np.concatenate([polygon[0] for polygon in polygons])
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    head = struct.pack("<2sBBi4d", b"GP", 0, 0b11, srs_id, left, right, top, bottom)
    if kind == POLYGON:
        (polygon,) = polygons
        return head + _polygon(polygon)
    parts = b"".join(map(_polygon, polygons))
    return head + struct.pack("<BII", 1, _MULTIPOLYGON, len(polygons)) + parts


def _polygon(polygon: Polygon) -> bytes:
    rings = [
        struct.pack("<I", len(ring)) + np.ascontiguousarray(ring, "<f8").tobytes()
        for ring in polygon
    ]
    return struct.pack("<BII", 1, _POLYGON, len(rings)) + b"".join(rings)


def decode(blob: bytes) -> list[list[Ring]]:
    """The polygons of a Polygon or a MultiPolygon without Z and M; ValueError for anything else."""
    try:
        if blob[:2] != b"GP" or blob[3] >> 1 & 7 > 4:
            raise ValueError("not a geometry of a GeoPackage")
        polygons, _ = _decoded(blob, 8 + _ENVELOPE_BYTES[blob[3] >> 1 & 7])
    except (struct.error, IndexError) as error:
        raise ValueError("a geometry that breaks off") from error
    return polygons


def _decoded(blob: bytes, at: int) -> tuple[list[list[Ring]], int]:
    order = "<" if blob[at] == 1 else ">"
    kind, count = struct.unpack_from(f"{order}II", blob, at + 1)
    at += 9
    if kind == _MULTIPOLYGON:
        polygons = []
        for _ in range(count):
            found, at = _decoded(blob, at)
            polygons += found
        return polygons, at
    if kind != _POLYGON:
        raise ValueError(f"well-known binary of type {kind}, not a polygon")
    rings = []
    for _ in range(count):
        (points,) = struct.unpack_from(f"{order}I", blob, at)
        if at + 4 + 16 * points > len(blob):
            raise ValueError("a geometry that breaks off")
        flat = np.frombuffer(blob, f"{order}f8", 2 * points, at + 4)
        rings.append(flat.reshape(points, 2).astype(np.float64))
        at += 4 + 16 * points
    return ([rings] if rings else []), at
