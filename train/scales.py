"""The scales that training shows its tiles at, beside the one that a network is used at, 1.

A crop is a window of a tile, resized; its scale is pixels of the crop per pixel of the tile.
Validation, calibration and every engine take tiles as they are: what was never trained at scale 1
was never trained for them. The published Dual-HRNet cuts 768 to 1024 pixels and enlarges them to
1024, which is 1 to 1.33.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from runtime.errors import ConfigError

if TYPE_CHECKING:
    from train.config import TrainConfig

_NATIVE = (0.86, 1.148)
"""Sides of a window, in crops, whose scales are 1 on average and as far apart as the source's."""


def window_side(drawn: int, zoom: float, tile: int) -> int:
    """Pixels that are cut out of a tile, of which `tile` is the shorter side."""
    return min(round(drawn / zoom), tile)


def scale_range(config: TrainConfig, tiles: Iterable[int] = ()) -> tuple[float, float]:
    """Least and largest scale of a draw, over all phases of the schedule: window and zoom.

    Args:
        tiles: shorter sides of the tiles, pixels; without them, tiles larger than any window.
    """
    crop, (lowest, highest) = config.data.crop, config.data.windows
    levels = {phase.augment for phase in config.schedule}
    zooms = [zoom for name, level in config.augment if name in levels for zoom in level.scale]
    widest = round(highest / min(zooms))
    sides = set(tiles) or {widest}
    least = crop / max(window_side(highest, min(zooms), side) for side in sides)
    return least, crop / min(window_side(lowest, max(zooms), side) for side in sides)


def require_native_scale(config: TrainConfig, source: str, tiles: Iterable[int] = ()) -> None:
    """ConfigError, which begins with `source`, where no draw has scale 1. tiles: `scale_range`."""
    tiles = tuple(tiles)
    least, largest = scale_range(config, tiles)
    if least <= 1 <= largest:
        return
    data = config.data
    levels = sorted({phase.augment for phase in config.schedule})
    zooms = ", ".join(f"augment.{name}.scale {_list(getattr(config.augment, name).scale)}"
                      for name in levels)  # fmt: skip
    cut = f"data.window {_list(data.window)}" if data.window else "no data.window"
    where = f" on tiles of {max(tiles)} pixels at most" if tiles else ""
    if tiles and max(tiles) < data.crop:
        advice = f"lower data.crop to {max(tiles)} or less, and data.window with it"
    else:
        window = [round(share * data.crop) for share in _NATIVE]
        advice = (
            f"set data.window={_list(window)}, whose mean scale is 1, or null, and have "
            "augment.*.scale hold 1"
        )
    raise ConfigError(
        f"{source}: {cut}, data.crop {data.crop} and {zooms} show tiles at {least:.2f} to "
        f"{largest:.2f} of their scale{where}, and never at 1, at which a network is validated and "
        f"used; {advice}"
    )


def _list(values: Iterable[float]) -> str:
    return f"[{','.join(f'{each:g}' for each in values)}]"
