"""Images that are not 8-bit: which of their values become 0 and 255."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.errors import ConfigError, ImageError
from runtime.source.contract import Known

Scale = tuple[float, float]
"""The values that become 0 and 255; what lies between is mapped linearly."""

SAMPLED = 1024
"""Pixels a side, at most, of the reduced image that a scale is proposed from."""


def needed(
    path: Path, kinds: Iterable[Any], scale: Scale | None, sample: Callable[[], NDArray[Any]]
) -> Scale | None:
    """The scale of an image whose bands have these dtypes; None: it is 8-bit.

    sample: its values, to propose a scale from.
    Raises ConfigError for a wrong scale, ImageError where one is missing.
    """
    if scale and not (np.isfinite(scale).all() and scale[0] < scale[1]):
        raise ConfigError(f"--scale {scale[0]} {scale[1]}: expected LO HI, LO below HI")
    names = sorted({str(np.dtype(kind)) for kind in kinds})
    if names == ["uint8"]:
        return None
    if scale is None:
        raise ImageError(
            f"{path}: {' and '.join(names)}; expected uint8; --scale LO HI maps LO to 0 and HI "
            f"to 255, for example --scale {_proposed(sample())} (the image's 2nd and 98th "
            "percentile)"
        )
    return scale


def _proposed(values: NDArray[Any]) -> str:
    values = values[np.isfinite(values)]
    if not values.size:
        return "0 1"
    low, high = np.percentile(values, (2, 98))
    return f"{low:.6g} {high:.6g}"


def scaled(pixels: NDArray[Any], scale: Scale) -> tuple[NDArray[np.uint8], Known | None]:
    """[3,H,W] as uint8, rounded, and where all bands are numbers (floating-point images)."""
    low, high = scale
    finite = None
    values = pixels.astype(np.float32)
    if np.issubdtype(pixels.dtype, np.floating):
        finite = np.isfinite(pixels).all(axis=0)
        values = np.nan_to_num(values, posinf=0, neginf=0)
    values = np.rint((values - low) * (255 / (high - low)))
    return np.clip(values, 0, 255).astype(np.uint8), finite
