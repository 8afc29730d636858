"""Six numbers beside an image, or in it, that place it in a CRS which nothing names."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from runtime.errors import ImageError
from runtime.source.contract import Source

Transform = tuple[float, float, float, float, float, float]
"""As that of a `Georeference`."""

TOLERANCE = 0.1
"""Pixels that two transforms may be apart at a corner and count as one."""


def unused_place(source: Source) -> Transform | None:
    """The geotransform of an image without a CRS, or of its world file."""
    dataset = getattr(source, "dataset", None)
    if dataset is not None:
        a, b, c, d, e, f = tuple(dataset.transform)[:6]
        found = (a, b, c, d, e, f)
        return None if dataset.crs or found == (1, 0, 0, 0, 1, 0) else found
    return _beside(source.path)


def check_one_place(pre: Source, post: Source) -> tuple[str, ...]:
    """What a person should know of transforms that are not used.

    Raises ImageError where both images have one, and they put the images apart.
    """
    first, second = unused_place(pre), unused_place(post)
    if first and second:
        matrices = [np.array([each[:3], each[3:], (0, 0, 1)]) for each in (first, second)]
        corners = np.array([(x, y, 1) for x in (0, pre.width) for y in (0, pre.height)])
        if np.isfinite(matrices).all() and np.linalg.matrix_rank(matrices[0]) == 3:
            there = corners @ np.linalg.solve(*matrices).T
            apart = float(np.abs(there - corners).max())
            if not apart <= TOLERANCE:
                raise ImageError(
                    f"{post.path}: its geotransform puts it up to {apart:.4g} pixels from "
                    f"{pre.path}, and neither names a CRS; {_assign(post.path)}, the same for the "
                    "other, and use --align"
                )
    return tuple(
        f"{source.path}: its geotransform is not used, for no CRS is named: the map is in pixels; "
        f"{_assign(source.path)}"
        for source, found in ((pre, first), (post, second))
        if found
    )


def _assign(path: Path) -> str:
    return f"name it with gdal_translate -a_srs EPSG:CODE {path} {path.stem}-placed.tif"


def _beside(path: Path) -> Transform | None:
    kind = path.suffix[1:]
    for suffix in (f".{kind[:1]}{kind[-1:]}w", f"{path.suffix}w", ".wld"):
        for name in (suffix.lower(), suffix.upper()):
            try:
                lines = path.with_suffix(name).read_text("ascii").split()
                a, d, b, e, x, y = (float(each.replace(",", ".")) for each in lines)
            except (OSError, ValueError):
                continue
            # A world file has the centre of the first pixel.
            return a, b, x - (a + b) / 2, d, e, y - (d + e) / 2
    return None
