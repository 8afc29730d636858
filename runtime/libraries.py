"""The geospatial libraries, imported when a scene needs them and not before."""

from __future__ import annotations

import importlib
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from runtime.errors import BackendError, reason
from runtime.options import RASTER_EXTRA

OTHERS = (
    "PROJ_DATA",
    "PROJ_LIB",
    "GDAL_DATA",
    "GDAL_DRIVER_PATH",
    "OGR_DRIVER_PATH",
    "GDAL_PYTHON_DRIVER_PATH",
)
"""Where QGIS, conda and PostGIS tell their own GDAL and PROJ to look for data and drivers."""


def library(name: str) -> Any:
    """A module by its name; BackendError where it cannot be imported."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise BackendError(
            f"{package} cannot be imported ({reason(error)}); {RASTER_EXTRA}"
        ) from error


def _use_own_data() -> None:
    """A rasterio that brings GDAL and PROJ with it works with its own data alone.

    Another version's proj.db is refused by PROJ, and another GDAL's drivers do not load. A
    rasterio of the system or of conda has its data elsewhere, and may need what is set.
    """
    try:
        found = find_spec("rasterio")
    except (ImportError, ValueError):  # it is blocked
        return
    if found and found.origin and (Path(found.origin).parent / "proj_data" / "proj.db").exists():
        for name in OTHERS:
            os.environ.pop(name, None)


_use_own_data()  # when this is imported, for rasterio looks at the environment when it is
