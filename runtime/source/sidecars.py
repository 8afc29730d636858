"""Files that lie beside an image, carry its name and say something of it.

A world file or an .aux.xml moves the map, a mask or an .ovr changes what is read: they are
a part of the image, as much as its bytes.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

_ENDINGS = frozenset(
    (
        *(".tfw", ".tifw", ".tiffw", ".pgw", ".pngw", ".jgw", ".jpgw", ".jpegw", ".wld"),
        *(".prj", ".tab", ".aux.xml", ".aux", ".xml", ".ovr", ".rrd", ".msk", ".msk.ovr"),
        *(".rpb", ".imd", ".json"),
        *(".shx", ".dbf", ".cpg"),
    )
)

_TICK_NS = 2_000_000_000
"""More than any file system's: FAT counts in two seconds."""


def sidecars(image: str, names: Iterable[str]) -> list[str]:
    """Those of `names` that belong to the file `image`, in any case: GDAL looks so, too."""
    return by_image([image], names)[image]


def by_image(images: Collection[str], names: Iterable[str]) -> dict[str, list[str]]:
    """The sidecars of each image; one may belong to two images of one stem."""
    known = _by_lower_case(names)
    return {image: _of(image, known) for image in images}


def beside(image: Path) -> list[Path]:
    """The sidecars of an image that is there or not."""
    try:
        changed = image.parent.stat().st_mtime_ns
        # A change within one tick of the file system's clock would not show.
        rested = changed + _TICK_NS < time.time_ns()
        known = (_listed if rested else _listed.__wrapped__)(image.parent, changed)
    except OSError:  # the reader of the image has a message for it
        return []
    return [image.parent / name for name in _of(image.name, known)]


@functools.lru_cache(maxsize=4)
def _listed(folder: Path, _changed: int) -> dict[str, list[str]]:
    """Kept, for a folder may hold all pairs of a batch."""
    with os.scandir(folder) as entries:
        return _by_lower_case(entry.name for entry in entries if entry.is_file())


def _by_lower_case(names: Iterable[str]) -> dict[str, list[str]]:
    known: dict[str, list[str]] = {}
    for name in names:
        known.setdefault(name.lower(), []).append(name)
    return known


def _of(image: str, known: Mapping[str, list[str]]) -> list[str]:
    starts = dict.fromkeys((image.lower(), Path(image).stem.lower()))
    return sorted(
        name
        for start in starts
        for ending in _ENDINGS
        for name in known.get(start + ending, ())
        if name != image
    )


def renamed(sidecar: str, image: str, new_image: str) -> str:
    """The name of a sidecar once its image is called `new_image`.

    "a.tif.ovr" and "a.tfw" of a.tif are "a-2.tif.ovr" and "a-2.tfw" of a-2.tif.
    """
    stem, new_stem = Path(image).stem, Path(new_image).stem
    if sidecar.lower().startswith(f"{image.lower()}."):
        return new_image + sidecar[len(image) :]
    return new_stem + sidecar[len(stem) :]
