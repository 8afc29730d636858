"""One pair of files to a folder of maps: what predict, batch and watch all do."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.errors import ConfigError
from runtime.options import RASTER_EXTRA, MapOptions

if TYPE_CHECKING:
    from runtime.engine import Engine


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
