"""Files that lie beside an image, carry its name and say something of it.

A world file or an .aux.xml moves the map, a mask or an .ovr changes what is read: they are
a part of the image, as much as its bytes.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path

_ENDINGS = frozenset(
    (
        *(".tfw", ".tifw", ".tiffw", ".pgw", ".pngw", ".jgw", ".jpgw", ".jpegw", ".wld"),
        *(".prj", ".tab", ".aux.xml", ".aux", ".xml", ".ovr", ".rrd", ".msk", ".msk.ovr"),
        *(".rpb", ".imd", ".json"),
    )
)


def sidecars(image: str, names: Iterable[str]) -> list[str]:
    """Those of `names` that belong to the file `image`, in any case: GDAL looks so, too."""
    return by_image([image], names)[image]


def by_image(images: Collection[str], names: Iterable[str]) -> dict[str, list[str]]:
    """The sidecars of each image; one may belong to two images of one stem."""
    known: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        known[name.lower()].append(name)
    found: dict[str, list[str]] = {}
    for image in images:
        starts = dict.fromkeys((image.lower(), Path(image).stem.lower()))
        found[image] = sorted(
            name
            for start in starts
            for ending in _ENDINGS
            for name in known.get(start + ending, ())
            if name != image
        )
    return found


def beside(image: Path) -> list[Path]:
    """The sidecars of an image that is there or not."""
    try:
        with os.scandir(image.parent) as entries:
            names = [entry.name for entry in entries if entry.is_file()]
    except OSError:  # the reader of the image has a message for it
        return []
    return [image.parent / name for name in sidecars(image.name, names)]


def renamed(sidecar: str, image: str, new_image: str) -> str:
    """The name of a sidecar once its image is called `new_image`.

    "a.tif.ovr" and "a.tfw" of a.tif are "a-2.tif.ovr" and "a-2.tfw" of a-2.tif.
    """
    stem, new_stem = Path(image).stem, Path(new_image).stem
    if sidecar.lower().startswith(f"{image.lower()}."):
        return new_image + sidecar[len(image) :]
    return new_stem + sidecar[len(stem) :]
