"""The geospatial libraries, imported when a scene needs them and not before."""

from __future__ import annotations

import importlib
from typing import Any

from runtime.errors import BackendError, reason
from runtime.options import RASTER_EXTRA


def library(name: str) -> Any:
    """A module by its name; BackendError where it cannot be imported."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise BackendError(
            f"{package} cannot be imported ({reason(error)}); {RASTER_EXTRA}"
        ) from error
