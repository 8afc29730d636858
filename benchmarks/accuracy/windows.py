"""A whole tile's maps from an engine of its size, or of one that divides it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.errors import DataError

if TYPE_CHECKING:
    import numpy as np

    from runtime.engine import Engine, Prediction


def predict_tile(engine: Engine, name: str, pre: np.ndarray, post: np.ndarray) -> Prediction:
    """Maps uint8 [H, W] of a tile, uint8 [H, W, 3] RGB before and after.

    A smaller engine works through windows side by side: nothing overlaps, is padded or scaled,
    so that engines of several sizes are scored on the same pixels, each with the context that
    it has.

    Raises:
        DataError: the engine's size does not divide the tile's; it names the tile.
    """
    import numpy as np

    from runtime.engine import Prediction

    height, width = pre.shape[:2]
    windows = [
        np.s_[top : top + engine.height, left : left + engine.width]
        for top in range(0, height, engine.height)
        for left in range(0, width, engine.width)
    ]
    if len(windows) * engine.height * engine.width != height * width:
        raise DataError(
            f"{name}: the tile is {height}x{width} (height x width), the engine {engine.folder} "
            f"takes {engine.height}x{engine.width}, which does not divide it; "
            f"{engine.manifest.size_advice(engine.folder, height, width)}"
        )
    maps = Prediction(*(np.empty((height, width), np.uint8) for _ in range(3)))
    pairs = ((pre[window], post[window]) for window in windows)
    for window, part in zip(windows, engine.predict_many(pairs), strict=True):
        maps.damage[window] = part.damage
        maps.building[window] = part.building
        maps.confidence[window] = part.confidence
    return maps
