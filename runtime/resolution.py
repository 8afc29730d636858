"""Whether the pixels of a scene are of the size that an engine was trained on."""

from __future__ import annotations

from runtime.errors import ConfigError
from runtime.manifest import Manifest
from runtime.source.pair import ScenePair

XBD = (0.3, 0.8)
"""Metres: pixels of the data set that an engine was trained on if its manifest does not say."""

FACTOR = 1.5
"""Beyond the trained range, this far: there a house is another number of pixels."""


def pixel_m(pair: ScenePair) -> tuple[float, float] | None:
    """Metres from column to column and from row to row at the scene's centre; None: no place."""
    if pair.georeference is None:
        return None
    try:
        across, down = pair.georeference.pixel_m(pair.height, pair.width)
    except ConfigError as error:
        raise ConfigError(f"{pair.pre.path}: {error}") from error
    return float(f"{across:.4g}"), float(f"{down:.4g}")


def note(size: tuple[float, float] | None, manifest: Manifest) -> list[str]:
    """For a person: pixels far from what the engine knows; empty if they are not."""
    if size is None:
        return []
    least, largest = manifest.model.gsd_m or XBD
    if min(size) * FACTOR >= least and max(size) <= largest * FACTOR:
        return []
    shown = " x ".join(f"{each:.3g}" for each in dict.fromkeys(size))
    known = (
        "as its manifest says" if manifest.model.gsd_m else "xBD's, for its manifest does not say"
    )
    return [
        f"pixels of {shown} m on the ground; the engine was trained on {least:g} to {largest:g} m "
        f"({known}): do not trust the map, resample the images or take another engine"
    ]
