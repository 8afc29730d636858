"""The masks that a raster file declares, all of them: GDAL's own mask is one of several."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.windows import Window

from runtime.errors import ImageError
from runtime.source import known, trusted
from runtime.source.blocks import again
from runtime.source.contract import Asked, Mask, Scale

_PROBES = 4
"""Places a side where an alpha band is looked at, of `_PROBED` pixels a side at most."""
_PROBED = 256

_FEW = 16
"""Values, not 0, that a mask may have whatever their shares."""


@dataclass(frozen=True)
class Alpha:
    band: int
    full: float


@dataclass(frozen=True, eq=False)
class Declared:
    """alphas: transparency. masked: the bands whose GDAL mask is one of its own.

    colours: of no data, [3] with None where a band declares none, by name.
    """

    alphas: tuple[Alpha, ...]
    masked: tuple[int, ...]
    colours: tuple[tuple[str, tuple[float | None, ...]], ...]

    def masks(
        self, dataset: Any, pixels: NDArray[Any], scale: Scale | None, **where: Any
    ) -> Iterator[Mask]:
        """pixels: [3,H,W] as stored. where: they were read with."""
        yield from known.of_values(pixels, self.colours, scale)
        for alpha in self.alphas:
            values = dataset.read(alpha.band, **where)
            yield Mask(
                f"alpha in band {alpha.band}",
                f"its alpha, band {alpha.band}, is nowhere {alpha.full:g}, which is opaque in "
                f"{values.dtype}",
                known.opaque_in(values, alpha.full),
            )
        for band in self.masked:
            inside = dataset.read_masks(band, **where) == known.MASKED_IN
            yield Mask("mask", "its mask covers all of it", np.asarray(inside))


def alpha_bands(dataset: Any) -> tuple[int, ...]:
    return tuple(
        number for number, kind in enumerate(dataset.colorinterp, 1) if kind == ColorInterp.alpha
    )


def declared(
    path: Path, dataset: Any, bands: tuple[int, ...], asked: Asked
) -> tuple[Declared, list[str]]:
    """The masks, and what to tell of them.

    Raises ImageError for an alpha band that is something else.
    """
    alphas, said = [], []
    for band in (each for each in alpha_bands(dataset) if each not in bands):
        values = _probed(dataset, band)
        full = known.opaque(values, bits(dataset, band))
        if not _is_no_mask(values, full):
            alphas.append(Alpha(band, full))
        elif asked.bands:
            said.append(f"band {band} is labelled alpha and is none, it is left out")
        else:
            raise ImageError(
                f"{path}: band {band} is labelled alpha, but most of its values are neither 0 nor "
                f"{full:g}: it may be near infrared; --bands R G B, for example --bands 1 2 3, "
                "names the bands that are red, green and blue"
            )
    return Declared(tuple(alphas), _masked(dataset, bands), _colours(dataset, bands, asked)), said


def _masked(dataset: Any, bands: tuple[int, ...]) -> tuple[int, ...]:
    """GDAL's masks that are neither made of nodata nor of alpha, which are read themselves."""
    flags = dataset.mask_flag_enums
    of_others = {MaskFlags.all_valid, MaskFlags.alpha, MaskFlags.nodata}
    own = [band for band in bands if not of_others & set(flags[band - 1])]
    shared = all(MaskFlags.per_dataset in flags[band - 1] for band in own)
    return tuple(own[:1] if shared else own)


def _colours(
    dataset: Any, bands: tuple[int, ...], asked: Asked
) -> tuple[tuple[str, tuple[float | None, ...]], ...]:
    found = []
    values = tuple(dataset.nodatavals[band - 1] for band in bands)
    if any(value is not None and np.isfinite(value) for value in values):
        found.append((f"its nodata, {known.colour_name(values)}", values))
    listed = dataset.tags().get("NODATA_VALUES", "").split()
    if len(listed) == dataset.count:  # GDAL's way to declare one colour
        values = tuple(float(listed[band - 1]) for band in bands)
        found.append((f"its NODATA_VALUES, {known.colour_name(values)}", values))
    if asked.nodata is not None:
        found.append((f"what --nodata says, {asked.nodata:g}", (asked.nodata,) * 3))
    return tuple(found)


def bits(dataset: Any, band: int) -> int | None:
    """How many of each value are used; None: all that its type has."""
    number = dataset.tags(band, ns="IMAGE_STRUCTURE").get("NBITS")
    return int(number) if number else None


def _is_no_mask(values: NDArray[Any], full: float) -> bool:
    """Many values, most of them neither of the two that a mask has."""
    some = values[values != 0]
    if not some.size or len(np.unique(some)) <= _FEW:
        return False
    return bool((some != full).mean() > 0.5)


def _probed(dataset: Any, band: int) -> NDArray[Any]:
    """Values from places all over; a large file is not read for it."""
    found = [np.empty(0, dataset.dtypes[band - 1])]
    height, width = (min(_PROBED, side) for side in dataset.shape)
    with again(dataset) as file:
        for top in np.linspace(0, file.height - height, _PROBES).astype(int):
            for left in np.linspace(0, file.width - width, _PROBES).astype(int):
                try:
                    values = file.read(band, window=Window(left, top, width, height))
                except trusted.FAILURES:  # told where the window is mapped
                    continue
                found.append(values.ravel())
    return np.concatenate(found)
