"""Which pixels are known: those of which every mask that there is says so.

The one place where masks become true and false. Each is read in the file's own values:

- alpha: known where it is opaque, the largest value of its type (1 in floating point). What is
  partly transparent, such as the edge of a resampled image, is mixed with what is not there.
- a mask, of the file or beside it: known where it is 255.
- nodata: it stands for a colour, as "transparent" does in a PNG. A pixel is not known where all
  bands that declare a value have it: in 8 bits, blue water with no red in it is not a hole. A value
  that lies beyond the scale cannot be a colour: there one band that has it is enough.
- numbers: NaN and infinity in any band are not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from runtime.errors import ConfigError
from runtime.source.contract import Known, Mask, Scale

MASKED_IN = 255
"""Of GDAL's masks, whatever the type of the image."""


def every(masks: Iterable[Mask]) -> Known | None:
    """Where all say so; None without any."""
    known: Known | None = None
    for mask in masks:
        known = mask.known if known is None else known & mask.known
    return known


def opaque(alpha: NDArray[Any], bits: int | None = None) -> float:
    """The value that hides nothing in an alpha band; `alpha`: some of its values.

    bits: of the values, where the file uses fewer than its type has.
    """
    if alpha.dtype.kind == "f":  # 0 to 1, or what an integer file had: the one that is there
        return max((1.0, 255.0, 65535.0), key=lambda full: int((alpha == full).sum()))
    return float(2**bits - 1 if bits else np.iinfo(alpha.dtype).max)


def opaque_in(alpha: NDArray[Any], full: float) -> Known:
    return np.asarray(alpha == full)


def in_kind(value: float | None, kind: DTypeLike) -> float | None:
    """The value as the type stores it; None where no pixel can have it, NaN included."""
    kind = np.dtype(kind)
    if value is None or not np.isfinite(value):
        return None
    if kind.kind == "f":
        with np.errstate(over="ignore"):
            stored = np.asarray(value).astype(kind)
        return float(stored) if np.isfinite(stored) else None
    limits = np.iinfo(kind)
    return float(value) if value == int(value) and limits.min <= value <= limits.max else None


def check_nodata(path: Path, value: float | None, kind: DTypeLike) -> None:
    """Raises ConfigError for a --nodata that no pixel can have: it would do nothing."""
    if value is not None and in_kind(value, kind) is None:
        raise ConfigError(
            f"--nodata {value:g}: no pixel of {path} can have it, its values are {np.dtype(kind)}; "
            "given twice it is of the first and of the second image, none for one without"
        )


def not_nodata(
    pixels: NDArray[Any], colour: Sequence[float | None], scale: Scale | None
) -> Known | None:
    """Of [3,H,W]; `colour`: by band, None where it declares nothing. None: no pixel can have it."""
    low, high = scale or (-np.inf, np.inf)
    missing: Known | None = None
    beyond: Known | None = None
    for band, value in zip(pixels, colour, strict=True):
        value = in_kind(value, pixels.dtype)
        if value is None:
            continue
        found = band == pixels.dtype.type(value)
        missing = found if missing is None else missing & found
        if not low <= value <= high:
            beyond = found if beyond is None else beyond | found
    if missing is None:
        return None
    return ~missing if beyond is None else ~(missing | beyond)


def of_values(
    pixels: NDArray[Any],
    colours: Iterable[tuple[str, Sequence[float | None]]],
    scale: Scale | None,
) -> Iterator[Mask]:
    """The masks that lie in the values of [3,H,W] themselves; `colours` by what names them."""
    if np.issubdtype(pixels.dtype, np.floating):
        finite = np.isfinite(pixels).all(axis=0)
        yield Mask("NaN", "no pixel is a number in all of its three bands", finite)
    for name, colour in colours:
        known = not_nodata(pixels, colour, scale)
        if known is not None:
            yield Mask(name, f"every pixel of it is {name}", known)


def colour_name(colour: Sequence[float | None]) -> str:
    """0 for three bands of 0, otherwise each."""
    if len(set(colour)) == 1:
        return f"{colour[0]:g}"
    return " ".join("-" if value is None else f"{value:g}" for value in colour)
