"""One pair of files to a folder of maps: what predict, batch and watch all do."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.errors import ConfigError

if TYPE_CHECKING:
    from runtime.engine import Engine

SUMMARY = "summary.json"
"""In a folder of maps. It is written last: where it is, the maps are complete."""

UNFINISHED = ".unfinished"
"""In a folder of maps: what there is of a large raster that was ended before its time."""

RASTER_EXTRA = 'pip install "dual-hrnet-edge[raster]"'


@dataclass(frozen=True)
class MapOptions:
    """How a pair is mapped. All but the first are for rasters with a place on the ground.

    min_area: pixels; smaller buildings are left out of the polygons and counts.
    align: warp the second image onto the grid of the first.
    scale: of rasters that are not 8-bit, the values that become 0 and 255.
    halo: pixels along a window's inner edges that are not kept; None: an eighth of it.
    resume: go on with the unfinished map in the output folder.
    footprints: a vector file of buildings to grade, in place of those that are found.
    label: an xBD label that says where both images lie.
    """

    min_area: int = 1
    align: bool = False
    scale: tuple[float, float] | None = None
    halo: int | None = None
    resume: bool = False
    footprints: Path | None = None
    label: Path | None = None

    def __post_init__(self) -> None:
        if self.min_area < 1:
            raise ConfigError(f"--min-area is {self.min_area}; expected 1 pixel or more")
        if self.halo is not None and self.halo < 0:
            raise ConfigError(f"--halo is {self.halo}; expected 0 pixels or more")

    @property
    def need_raster(self) -> bool:
        """Is anything asked for that only a raster can have?"""
        return bool(self.align or self.scale or self.resume or self.footprints or self.label)


def map_pair(
    engine: Engine, pre: Path, post: Path, out: Path, options: MapOptions
) -> dict[str, Any]:
    """Map one pair into the folder `out`; the content of its summary.json.

    Raises ToolkitError for a pair that cannot be mapped and OSError for an output that
    cannot be written. No map is in `out` then that was not there before; of a raster, what
    was computed waits there for `resume`.
    """
    if options.need_raster or _is_placed(pre):
        if not find_spec("rasterio"):
            raise ConfigError(f"{pre}: mapping a raster needs rasterio; {RASTER_EXTRA}")
        from runtime.raster.scene import map_scene

        return map_scene(engine, pre, post, out, options)
    from runtime.picture import map_picture

    return map_picture(engine, pre, post, out, options)


def _is_placed(path: Path) -> bool:
    """Is it a TIFF with coordinates? Without rasterio a TIFF can only be a picture."""
    from runtime.images import TIFF_SIGNATURES

    try:
        with path.open("rb") as file:
            is_tiff = file.read(4) in TIFF_SIGNATURES
    except OSError:
        return False  # the reader has a message for it
    if not is_tiff or not find_spec("rasterio"):
        return False
    from runtime.raster.source import is_placed

    return is_placed(path)
