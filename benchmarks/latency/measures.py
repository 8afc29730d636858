"""What is measured of an engine, each ready to take its samples."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.latency import figures, process
from benchmarks.latency.sampling import Effort, Stream, Turns
from benchmarks.scene import GSD_M, make_pair
from runtime.engine import Engine
from runtime.mapping import map_pair
from runtime.options import MapOptions
from runtime.output.png import write_png
from runtime.source.picture import read_pair
from train.synthetic.scene import Scene, make_scene

SEED = 4_242
"""Of the synthetic scenes: what a picture shows does not change the time, its size does."""
TIMES = 4
"""The raster's side in sides of the engine's input: with their overlap 5x5 windows, or 7x7 where
they have 256 pixels or fewer."""


class Layers(Turns):
    """Query after query in each of the three scopes."""

    def __init__(self, engine: Engine, batch: int, effort: Effort, folder: Path) -> None:
        self._engine, self._pair = engine, pairs(engine, batch)
        self._give_to_device()
        calls = {
            figures.ENGINE: _inference(engine, *self._pair),
            figures.COPIES: lambda: engine.predict(*self._pair),
            figures.END_TO_END: _files(engine, *self._pair, folder),
        }
        super().__init__(calls, effort)

    def go_on(self, visit: int) -> None:
        self._give_to_device()
        super().go_on(visit)

    def _give_to_device(self) -> None:
        """What a backend's `compute` works on; the device may hold another batch."""
        if hasattr(self._engine._backend, "compute"):
            self._engine.predict(*self._pair)


def offline(engine: Engine, effort: Effort) -> Stream:
    """All pairs at once, in the largest batches that the engine takes."""
    pre, post = pairs(engine, engine.manifest.input.batch.max)
    return Stream(figures.COPIES, engine, pre, post, effort)


class Raster(Turns):
    """A pair of GeoTIFFs of some windows to the folder of maps; `summary` is the last map's.

    scenes: where the GeoTIFFs lie, for every engine that takes them; made where missing.
    """

    def __init__(self, engine: Engine, effort: Effort, scenes: Path, folder: Path) -> None:
        self.side = TIMES * max(engine.height, engine.width)
        self.summary: dict[str, Any] = {}
        pre, post = (scenes / f"{name}-{self.side}.tif" for name in ("pre", "post"))
        if not post.exists():
            make_pair(scenes, self.side)
        number = itertools.count()

        def call() -> None:
            self.summary = map_pair(engine, pre, post, folder / f"{next(number)}", MapOptions())

        # The first loads libraries.
        super().__init__({figures.RASTER: call}, effort.of_long_calls, warmup=1)

    @property
    def area_km2(self) -> float:
        return (self.side * GSD_M / 1000) ** 2


class ColdStart:
    """Processes of their own, and the memory of one, which brings files into the cache."""

    def __init__(self, engine: Engine, threads: int, effort: Effort) -> None:
        self.seconds: dict[str, list[float]] = {figures.COLD: []}
        self.peak_bytes = process.peak_bytes(engine.folder, threads)
        self._engine, self._threads, self._effort = engine, threads, effort.of_long_calls

    def go_on(self, visit: int) -> None:
        (taken,) = self.seconds.values()
        while not self._effort.until(visit).enough(len(taken), sum(taken)):
            taken.append(process.seconds_to_first_result(self._engine.folder, self._threads))


def pairs(engine: Engine, count: int) -> tuple[np.ndarray, np.ndarray]:
    """As many different pairs: before and after, uint8 [N,H,W,3] each, of the engine's size."""
    height, width = engine.height, engine.width
    tiles = [_tile(index, max(height, width)) for index in range(count)]
    pre = np.stack([tile.pre[:height, :width] for tile in tiles])
    return pre, np.stack([tile.post[:height, :width] for tile in tiles])


@functools.cache
def _tile(index: int, size: int) -> Scene:
    """Made once for all measures and engines."""
    return make_scene(SEED, index, size)


def _inference(engine: Engine, pre: np.ndarray, post: np.ndarray) -> Callable[[], object]:
    """What is below `predict`; it has no public name."""
    backend = engine._backend
    assert backend
    if hasattr(backend, "compute"):
        return backend.compute
    maps = tuple(np.empty(pre.shape[:-1], np.uint8) for _ in range(3))
    return lambda: backend.infer(pre, post, maps)


def _files(engine: Engine, pre: np.ndarray, post: np.ndarray, folder: Path) -> Callable[[], object]:
    """PNG files in, PNG files out."""
    paths = []
    for index, pair in enumerate(zip(pre, post, strict=True)):
        paths.append((folder / f"{index}_pre.png", folder / f"{index}_post.png"))
        for path, image in zip(paths[-1], pair, strict=True):
            write_png(path, image)

    def call() -> None:
        pre, post = zip(*(read_pair(*each) for each in paths), strict=True)
        result = engine.predict(np.stack(pre), np.stack(post))
        for index, damage in enumerate(result.damage):
            write_png(folder / f"{index}_damage.png", damage)

    return call
