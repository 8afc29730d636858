"""Time a raster of any size against the engine alone.

The whole command runtime.predict on GeoTIFF pairs of synthetic towns, from its start to
its last file, beside the number of windows times the engine's own median, which is measured
in this process before and after. Peak memory is that of the command's process (Linux), beside
the one of a pair of 1024x1024 pixels.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from runtime import cli
from runtime.errors import ConfigError

if TYPE_CHECKING:
    from runtime.engine import Engine
    from runtime.options import MapOptions

SMALL = 1024
TOWN = 512
"""Pixels a side of one synthetic scene; a raster is a mosaic of them."""
TOWNS = 16
GSD_M = 0.5
"""Ground sample distance of the rasters, metres a pixel."""
CALLS = 100
MIB = 2**20


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.scene", description=__doc__)
    p.add_argument("--engine", required=True, type=Path, metavar="DIR", help="engine folder")
    p.add_argument(
        "--size",
        type=int,
        nargs="+",
        default=[8192],
        metavar="S",
        help="sides of the rasters, pixels (default: 8192)",
    )
    p.add_argument(
        "--scratch",
        type=Path,
        metavar="DIR",
        help="folder for the rasters and maps (default: a temporary one)",
    )
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    if min(args.size) < 1:
        raise ConfigError(f"--size {min(args.size)}: expected 1 or more")
    from benchmarks.machine import describe_machine
    from runtime.engine import load_engine

    with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
        folder = Path(scratch)
        with load_engine(args.engine) as engine:
            make_pair(folder, SMALL)
            small = run_command(args.engine, folder, SMALL)
            rows = []
            for size in args.size:
                make_pair(folder, size)
                before = engine_seconds(engine)
                figures = run_command(args.engine, folder, size)
                seconds = median(before + engine_seconds(engine))
                floor = figures["windows"] * seconds
                rows.append(
                    {
                        **figures,
                        "engine_seconds": seconds,
                        "ratio": figures["seconds"] / floor,
                        "above_small_bytes": figures["peak_bytes"] - small["peak_bytes"],
                    }
                )
    record = {"engine": str(args.engine), "machine": describe_machine(), "scenes": rows}
    print(json.dumps(record, indent=2) if args.json else table(rows))


def make_pair(folder: Path, size: int) -> None:
    """pre-SIZE.tif and post-SIZE.tif: tiled by 512, uncompressed, UTM."""
    import numpy as np
    import rasterio
    from rasterio.windows import Window

    from train.synthetic.scene import make_scene

    places = [(top, left) for top in range(0, size, TOWN) for left in range(0, size, TOWN)]
    towns = [make_scene(0, index, TOWN) for index in range(min(TOWNS, len(places)))]
    profile = geotiff(size, size)
    for name in ("pre", "post"):
        with rasterio.open(folder / f"{name}-{size}.tif", "w", **profile) as file:
            for index, (top, left) in enumerate(places):
                height, width = min(TOWN, size - top), min(TOWN, size - left)
                image = getattr(towns[index % len(towns)], name)[:height, :width]
                file.write(np.moveaxis(image, 2, 0), window=Window(left, top, width, height))


def geotiff(height: int, width: int) -> dict[str, Any]:
    """rasterio's profile of an RGB raster, tiled by `TOWN`, uncompressed, in UTM."""
    from rasterio.transform import from_origin

    return {
        "driver": "GTiff", "height": height, "width": width, "count": 3, "dtype": "uint8",
        "crs": "EPSG:32614", "transform": from_origin(500_000, 3_300_000, GSD_M, GSD_M),
        "tiled": True, "blockxsize": TOWN, "blockysize": TOWN, "photometric": "RGB",
        "interleave": "pixel",
    }  # fmt: skip


def mapped(
    engine: Engine, pair: Sequence[Path], out: Path, options: MapOptions
) -> tuple[float, dict[str, Any]]:
    """Seconds of one map in this process, and its summary; `out` is removed again."""
    from runtime.mapping import map_pair

    pre, post = pair
    start = time.perf_counter()
    summary = map_pair(engine, pre, post, out, options)
    seconds = time.perf_counter() - start
    shutil.rmtree(out)
    return seconds, summary


def engine_seconds(engine: Engine) -> list[float]:
    """Of `CALLS` single pairs, after a few that are not counted."""
    from train.synthetic.scene import make_scene

    scene = make_scene(1, 0, max(engine.height, engine.width))
    pair = [each[: engine.height, : engine.width] for each in (scene.pre, scene.post)]
    result = engine.predict(*pair)
    times = []
    for _ in range(CALLS):
        start = time.perf_counter()
        engine.predict(*pair, out=result)
        times.append(time.perf_counter() - start)
    return times[CALLS // 10 :]


def run_command(engine: Path, folder: Path, size: int, *more: str) -> dict[str, Any]:
    """Seconds and peak memory of the whole command, and what its summary says.

    more: options of the command.
    """
    from benchmarks.child import timed_module

    images = [str(folder / f"{name}-{size}.tif") for name in ("pre", "post")]
    out = folder / f"map-{size}"
    line = ["--engine", engine, *images, "--out", out, *more]
    seconds, usage = timed_module(f"runtime.predict, {size} pixels", "runtime.predict", line)
    summary = json.loads((out / "summary.json").read_text())
    return {
        "size": size,
        "seconds": seconds,
        "processor_seconds": usage.ru_utime + usage.ru_stime,
        "windows": summary["windows"],
        "windows_computed": summary["windows_computed"],
        "buildings": summary["buildings"],
        "peak_bytes": usage.ru_maxrss * 1024,
    }


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        f"{'size':>6}{'windows':>9}{'buildings':>11}{'engine ms':>11}{'total s':>9}"
        f"{'ratio':>7}{'MiB above 1024':>16}"
    ]
    lines += [
        f"{row['size']:>6}{row['windows']:>9}{row['buildings']:>11}"
        f"{1e3 * row['engine_seconds']:>11.2f}{row['seconds']:>9.1f}{row['ratio']:>7.2f}"
        f"{row['above_small_bytes'] / MIB:>16.0f}"
        for row in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(parser(), main)
