"""Square kilometres a minute: a pair of GeoTIFFs of some windows to the folder of maps."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.latency import figures
from benchmarks.latency.sampling import Effort
from benchmarks.scene import GSD_M, make_pair
from runtime.engine import Engine
from runtime.mapping import map_pair
from runtime.options import MapOptions

TIMES = 4
"""The raster's side in sides of the engine's input: with their overlap 5x5 windows, or 7x7 where
they have 256 pixels or fewer."""


@pytest.fixture(scope="session")
def raster_pair(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], list[Path]]:
    """Before and after, square, of so many pixels a side; made once for all engines."""
    folder = tmp_path_factory.mktemp("rasters")

    def pair(side: int) -> list[Path]:
        paths = [folder / f"{name}-{side}.tif" for name in ("pre", "post")]
        if not paths[-1].exists():
            make_pair(folder, side)
        return paths

    return pair


def test_raster(record, engine: Engine, raster_pair, effort: Effort, tmp_path: Path) -> None:
    pytest.importorskip("rasterio", reason="maps of rasters need rasterio")
    side = TIMES * max(engine.height, engine.width)
    pre, post = raster_pair(side)
    samples = []
    for turn in range(effort.calls + 1):
        start = time.perf_counter()
        summary = map_pair(engine, pre, post, tmp_path / f"map-{turn}", MapOptions())
        samples.append(time.perf_counter() - start)
    del samples[0]  # it loads libraries
    area = (side * GSD_M / 1000) ** 2
    record(
        samples,
        figures.RASTER,
        figures.BY_ITSELF,
        1,
        side_pixels=side,
        windows=summary["windows"],
        gsd_m=GSD_M,
        area_km2=area,
        km2_per_minute=60 * area / figures.percentiles(samples)[0],
    )
