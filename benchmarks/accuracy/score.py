"""An engine's counts of the official xView2 score."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from runtime.errors import DataError

if TYPE_CHECKING:
    from runtime.engine import Engine
    from runtime.score import Counts
    from train.xbd import Tile


def score_engine(engine: Engine, tiles: Iterable[Tile]) -> Counts:
    """Counts of the official score over whole tiles of the engine's size.

    Raises:
        DataError: a tile of another size; nothing is cut or scaled to fit.
    """
    from runtime.score import Counts

    counts = Counts()
    for tile in tiles:
        pre, post = tile.images()
        if pre.shape[:2] != (engine.height, engine.width):
            raise DataError(
                f"{tile.name}: the tile is {pre.shape[0]}x{pre.shape[1]} (height x width), the "
                f"engine {engine.folder} takes {engine.height}x{engine.width}; "
                f"{engine.manifest.size_advice(engine.folder, *pre.shape[:2])}"
            )
        damage = engine.predict(pre, post).damage
        counts.add(damage, damage, *tile.targets(engine.height, engine.width))
    return counts
