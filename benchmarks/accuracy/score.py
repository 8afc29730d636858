"""Everything that is counted of an engine's maps on labelled tiles."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.accuracy.windows import predict_tile
from train.evaluate import Evaluation, by_disaster

if TYPE_CHECKING:
    import numpy as np

    from benchmarks.accuracy.confidence import Reliability
    from runtime.engine import Engine
    from train.xbd import Tile


@dataclass(frozen=True)
class TileErrors:
    """One tile: pixels whose class is not the truth, background included, of those that count.

    pixels: all of the tile but those of un-classified buildings.
    """

    name: str
    wrong: int
    pixels: int

    @staticmethod
    def of(name: str, damage: np.ndarray, truth: np.ndarray) -> TileErrors:
        """damage: uint8 [H, W], a map. truth: the damage target, 0..4 and 255 un-classified."""
        import numpy as np

        from runtime.damage import IGNORE

        counts = truth != IGNORE
        wrong = np.count_nonzero(counts & (damage != truth))
        return TileErrors(name, int(wrong), int(np.count_nonzero(counts)))

    @property
    def share(self) -> float:
        return self.wrong / self.pixels if self.pixels else 0.0


@dataclass(frozen=True, eq=False)
class Scored:
    """An engine on some tiles: by disaster, by confidence, and tile by tile.

    windows: the most that a tile was cut into; 1 where the engine saw all tiles whole.
    """

    disasters: dict[str, Evaluation]
    reliability: Reliability
    tiles: list[TileErrors]
    windows: int

    @property
    def whole(self) -> Evaluation:
        return functools.reduce(operator.add, self.disasters.values())

    def worst(self, count: int) -> list[TileErrors]:
        """The tiles with the largest share of wrong pixels, the worst first."""
        return sorted(self.tiles, key=lambda tile: (-tile.share, tile.name))[:count]

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {
            **self.whole.as_dict(),
            "confidence": self.reliability.as_dict(),
            "disasters": {name: each.as_dict() for name, each in self.disasters.items()},
            "windows": self.windows,
            "tiles": [{"name": t.name, "wrong": t.wrong, "pixels": t.pixels} for t in self.tiles],
        }


def score_engine(engine: Engine, tiles: Iterable[Tile]) -> Scored:
    """An engine on labelled tiles of its size, or of a multiple of it.

    Raises:
        DataError: a tile that the engine's size does not divide.
    """
    from benchmarks.accuracy.confidence import Reliability

    evaluations: list[tuple[Tile, Evaluation]] = []
    reliability, errors, windows = Reliability(), [], 1
    for tile in tiles:
        maps = predict_tile(engine, tile.name, *tile.images())
        targets, footprints = tile.targets(*maps.damage.shape), tile.buildings[1]
        evaluations.append((tile, Evaluation.of_tile(maps.damage, targets, footprints)))
        reliability.add(maps.damage, maps.confidence, targets[1])
        errors.append(TileErrors.of(tile.name, maps.damage, targets[1]))
        windows = max(windows, maps.damage.size // (engine.height * engine.width))
    return Scored(by_disaster(evaluations), reliability, errors, windows)
