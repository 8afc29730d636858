"""Images that are not 8-bit: which of their values become 0 and 255."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.errors import ConfigError, ImageError
from runtime.source.contract import Scale

SAMPLED = 1024
"""Pixels a side, at most, of the reduced image that a scale is proposed from."""


class NeedsScale(ImageError):
    """An image that is not 8-bit, and what its scale could be."""

    def __init__(self, path: Path, kinds: str, values: NDArray[Any]) -> None:
        self.path, self.kinds = path, kinds
        self.proposed, self.why = _proposed(values)
        super().__init__(_asking([self]))


def needed(
    path: Path,
    kinds: Iterable[tuple[Any, int | None]],
    scale: Scale | None,
    sample: Callable[[], NDArray[Any]],
) -> Scale | None:
    """The scale of an image; None: it is 8-bit.

    kinds: each band's dtype, and how many of its bits are used, None for all of them.
    sample: its known values, to propose a scale from.
    Raises ConfigError for a wrong scale, NeedsScale where one is missing.
    """
    if scale and not (np.isfinite(scale).all() and scale[0] < scale[1]):
        raise ConfigError(f"--scale {scale[0]:g} {scale[1]:g}: expected LO HI, LO below HI")
    names = sorted({_named(np.dtype(kind), bits) for kind, bits in kinds})
    if names == ["uint8"]:
        return None
    if any(name.startswith("complex") for name in names):
        raise ImageError(f"{path}: {' and '.join(names)}; expected the colours of a picture")
    if scale is None:
        raise NeedsScale(path, " and ".join(names), sample())
    return scale


def _named(kind: np.dtype[Any], bits: int | None) -> str:
    return f"{kind}" if bits in (None, kind.itemsize * 8) else f"{kind} of {bits} bits"


def of_both(missing: Sequence[NeedsScale]) -> ImageError:
    """One line for the images of a pair that need a scale, in their order."""
    return ImageError(_asking(missing))


def _asking(missing: Sequence[NeedsScale]) -> str:
    kinds = "; ".join(f"{each.path}: {each.kinds}" for each in missing)
    how = "--scale LO HI maps LO to 0 and HI to 255"
    if len(missing) > 1:
        how += ", given twice those of the first and of the second"
    if all(each.proposed for each in missing):
        numbers = " --scale ".join(each.proposed for each in missing)
        of = "the image's" if len(missing) == 1 else "each image's"
        return f"{kinds}; expected uint8; {how}, for example --scale {numbers} ({of} {_PERCENT})"
    why = "; ".join(
        f"{each.path}: {each.why}" if each.why else f"{each.path}: for example {each.proposed}"
        for each in missing
    )
    return f"{kinds}; expected uint8; {how}; {why}"


_PERCENT = "2nd and 98th percentile"


def _proposed(values: NDArray[Any]) -> tuple[str, str]:
    """LO HI, or why there is none."""
    values = values[np.isfinite(values)]
    if not values.size:
        return "", "not one of its pixels is known, so no scale can be proposed"
    low, high = np.percentile(values, (2, 98))
    if low == high:
        low, high = values.min(), values.max()
    if low == high:
        return "", f"all its known pixels are {low:.6g}, so no scale can be proposed"
    return f"{low:.6g} {high:.6g}", ""


def scaled(pixels: NDArray[Any], scale: Scale) -> NDArray[np.uint8]:
    """[3,H,W] as uint8, rounded; what is no number becomes `LO` or less."""
    low, high = scale
    # What single precision cannot hold exactly is scaled in double.
    exact = pixels.dtype.kind in "iu" and pixels.dtype.itemsize > 2
    values = pixels.astype(np.float64 if exact or pixels.dtype == np.float64 else np.float32)
    if pixels.dtype.kind == "f":
        values = np.nan_to_num(values, posinf=0, neginf=0)
    values = np.rint((values - low) * (255 / (high - low)))
    return np.clip(values, 0, 255).astype(np.uint8)
