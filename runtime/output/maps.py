"""The maps of a scene as image files: GeoTIFF where its place is known, else PNG."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from runtime.output.legend import LEGENDS, Legend
from runtime.output.png import write_png
from runtime.scene.stored import Stored
from runtime.scene.unfinished import Read, Unfinished
from runtime.source.georeference import Georeference

OUTPUTS = {
    "damage.tif", "damage.tif.aux.xml", "damage.qml", "confidence.tif", "confidence.qml",
    "quality.tif", "quality.tif.aux.xml", "quality.qml",
    "sources.tif", "sources.tif.aux.xml", "sources.qml",
    "damage.png", "building.png", "confidence.png", "quality.png", "sources.png", "overlay.png",
    "buildings.gpkg", "buildings.geojson", "summary.json",
}  # fmt: skip
"""Every file that a folder of maps may hold."""


def maps_of(place: Georeference | None) -> tuple[str, ...]:
    """The maps that are written."""
    of_network = ("damage", "confidence") if place else ("damage", "building", "confidence")
    return (*of_network, "quality")


def file_of(name: str, place: Georeference | None) -> str:
    return f"{name}.tif" if place else f"{name}.png"


def write_maps(
    work: Unfinished,
    place: Georeference | None,
    tags: Mapping[str, str],
    legends: Mapping[str, Legend] = LEGENDS,
) -> None:
    """Each into `work.ready`, at the same time: a good part of it is one thread's work.

    tags: metadata of the confidence map. legends: of the maps of classes.
    """
    written = []
    with ThreadPoolExecutor() as pool:
        for name in work.maps:
            of_it = tags if name == "confidence" else {}
            written.append(pool.submit(_write, name, work, place, of_it, legends))
        for each in written:
            each.result()


def _write(
    name: str,
    work: Unfinished,
    place: Georeference | None,
    tags: Mapping[str, str],
    legends: Mapping[str, Legend],
) -> None:
    path = work.ready / file_of(name, place)
    if place is None or name != "confidence":
        write_classes(work.whole(name), path, place, tags, legends.get(name))
        return
    from runtime.output import cog, raster_style

    cog.write_confidence(work.whole(name), path, place, tags)
    path.with_suffix(".qml").write_text(raster_style.confidence_style(), encoding="utf-8")


def write_classes(
    raw: Stored,
    path: Path,
    place: Georeference | None,
    tags: Mapping[str, str],
    legend: Legend | None,
) -> None:
    """A map of classes to `path`, see `file_of`, with its style where it has a place."""
    if place is None:
        write_png(path, raw[:, :], tags)
        return
    from runtime.output import cog, raster_style

    assert legend
    cog.write_classes(raw, path, place, tags, legend)
    path.with_suffix(".qml").write_text(raster_style.classes_style(legend), encoding="utf-8")


def reader(path: Path) -> Read:
    """Rows of a map that `write_maps` wrote."""
    if path.suffix == ".tif":
        from runtime.output import cog

        return cog.reader(path)
    whole = np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), np.uint8)
    return lambda top, height: whole[top : top + height]
