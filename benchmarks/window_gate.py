"""Time scenes by the share of their windows without a building, gated and not.

Scenes are mosaics of synthetic terrain without a building, with a town inside the kept part of each
other window; no gate of a data set of another seed was chosen on them. Both ways take turns in one
process, with the engine loaded; a ratio is the median over the turns. Buildings that are missed are
those of which more than half lies in windows that the gate skipped. With --data nothing is timed:
what the gate of each engine misses on labelled tiles is counted.
"""

from __future__ import annotations

import argparse
import functools
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from runtime import cli
from runtime.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

    from runtime.engine import Engine
    from runtime.scene.windows import Window, WindowRows
    from train.synthetic.scene import Scene

SEED, TERRAIN, TERRAINS = 41_017, 512, 6
"""Of the scenes; pixels a side of a piece of terrain, and how many there are."""
CLEAR = 48
"""Pixels from a town to what a gate looks at for the neighbouring windows."""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.window_gate", description=__doc__)
    p.add_argument(
        "--engine", required=True, type=Path, nargs="+", metavar="DIR",
        help="engine folders with a gate",
    )  # fmt: skip
    p.add_argument(
        "--windows", type=int, nargs=2, default=(4, 5), metavar=("ROWS", "COLUMNS"),
        help="of the scene (default: 4 5)",
    )  # fmt: skip
    p.add_argument(
        "--empty", type=float, nargs="+", default=[0.0, 0.39, 0.8, 0.95], metavar="P",
        help="share of the windows without a building (default: 0 0.39 0.8 0.95)",
    )  # fmt: skip
    p.add_argument(
        "--turns", type=int, default=3, metavar="N",
        help="of each way, after one map with the gate that is not counted (default: 3)",
    )  # fmt: skip
    p.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="labelled xBD tiles to count on, in place of scenes",
    )
    p.add_argument("--split", default="test", metavar="NAME", help="of --data (default: test)")
    p.add_argument(
        "--scratch", type=Path, metavar="DIR",
        help="folder for the rasters and maps (default: a temporary one)",
    )  # fmt: skip
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    if not all(0 <= each <= 1 for each in args.empty):
        raise ConfigError(f"--empty {args.empty}: expected shares, 0 to 1")
    if min(*args.windows, args.turns) < 1:
        raise ConfigError("--windows and --turns: expected 1 or more")
    from benchmarks.machine import describe_machine
    from runtime.engine import load_engine
    from runtime.manifest import Manifest

    for folder in args.engine:
        if Manifest.read(folder).gate is None:
            raise ConfigError(f"{folder}: has no gate; build it with --gate CKPT")
    cli.prepare_opencv()
    if args.data is not None:
        counts = [count(folder, args.data, args.split) for folder in args.engine]
        record = {"machine": describe_machine(), "tiles": counts}
        print(json.dumps(record, indent=2) if args.json else table_of_counts(counts))
        return
    rows = []
    for folder in args.engine:
        with load_engine(folder) as engine:
            for empty in args.empty:
                with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
                    made = make_scene(Path(scratch), engine, *args.windows, empty)
                    rows.append(measure(engine, Path(scratch), made, args.turns))
    record = {"machine": describe_machine(), "scenes": rows}
    print(json.dumps(record, indent=2) if args.json else table(rows))


@dataclass(frozen=True)
class Made:
    """A scene that was written: its windows, how many show a building, and the buildings."""

    windows: int
    built: int
    buildings: list[np.ndarray]
    """Their outlines, float [K, 2] xy, pixels of the scene."""


def make_scene(folder: Path, engine: Engine, rows: int, columns: int, empty: float) -> Made:
    """pre.tif and post.tif of rows x columns windows, of which a share has no building."""
    import numpy as np
    import rasterio

    from benchmarks.scene import geotiff

    height, width = size_of(engine, rows, columns)
    windows = [each for row in windows_of(engine, height, width) for each in row]
    rng = np.random.default_rng(SEED)
    built = round((1 - empty) * len(windows))
    chosen = [windows[index] for index in np.sort(rng.permutation(len(windows))[:built])]
    pre, post = terrain(height, width)
    buildings: list[np.ndarray] = []
    side = town_side(chosen)
    for index, window in enumerate(chosen):
        scene = town(index, side)
        top, left = ((span.begin + span.end - side) // 2 for span in (window.row, window.column))
        for canvas, image in ((pre, scene.pre), (post, scene.post)):
            canvas[top : top + side, left : left + side] = image
        buildings += [each.polygon + np.array((left, top)) for each in scene.buildings]
    for name, image in (("pre", pre), ("post", post)):
        with rasterio.open(folder / f"{name}.tif", "w", **geotiff(height, width)) as file:
            file.write(np.moveaxis(image, 2, 0))
    return Made(len(windows), built, buildings)


def windows_of(engine: Engine, height: int, width: int) -> WindowRows:
    from runtime.scene.windows import window_rows
    from runtime.scene.work import halo_of

    return window_rows((height, width), (engine.height, engine.width), halo_of(engine, None))


def size_of(engine: Engine, rows: int, columns: int) -> tuple[int, int]:
    """Height and width of the scene that these windows cover, the last of them whole."""
    from runtime.scene.work import halo_of

    halo = 2 * halo_of(engine, None)
    return (
        engine.height + (rows - 1) * (engine.height - halo),
        engine.width + (columns - 1) * (engine.width - halo),
    )


def town_side(windows: list[Window]) -> int:
    """Pixels of the square that lies inside what every window keeps, clear of its neighbours."""
    if not windows:
        return 0
    kept = min(span.end - span.begin for each in windows for span in (each.row, each.column))
    return kept - 2 * CLEAR


def terrain(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Before and after, uint8 [height, width, 3], without a building."""
    import numpy as np

    pieces = terrain_pieces()
    rng = np.random.default_rng(SEED)
    pre, post = (np.empty((height, width, 3), np.uint8) for _ in range(2))
    for top in range(0, height, TERRAIN):
        for left in range(0, width, TERRAIN):
            piece = pieces[rng.integers(TERRAINS)]
            h, w = min(TERRAIN, height - top), min(TERRAIN, width - left)
            pre[top : top + h, left : left + w] = piece.pre[:h, :w]
            post[top : top + h, left : left + w] = piece.post[:h, :w]
    return pre, post


@functools.cache
def terrain_pieces() -> list[Scene]:
    """Scenes of the synthetic data set without a building."""
    from train.synthetic.scene import make_scene as paint

    return [paint(SEED, index, TERRAIN, "empty") for index in range(TERRAINS)]


def town(index: int, side: int) -> Scene:
    """With a building at least."""
    from train.synthetic.plan import plan_tile
    from train.synthetic.scene import make_scene as paint

    first = 100 * index
    number = next(i for i in range(first, first + 100) if plan_tile(SEED + 1, i, side).buildings)
    return paint(SEED + 1, number, side)


def measure(engine: Engine, folder: Path, made: Made, turns: int) -> dict[str, Any]:
    from benchmarks.engines import name_of
    from benchmarks.scene import mapped
    from runtime.options import MapOptions

    pair, out = (folder / "pre.tif", folder / "post.tif"), folder / "map"
    seconds: dict[bool, list[float]] = {True: [], False: []}
    mapped(engine, pair, out, MapOptions())  # loads the gate
    summary: dict[str, Any] = {}
    for _ in range(turns):
        for gate in (False, True):
            took, summary = mapped(engine, pair, out, MapOptions(gate=gate))
            seconds[gate].append(took)
    skipped = summary["gate"]["skipped"]
    return {
        "engine": name_of(engine.folder),
        "size": [summary["height"], summary["width"]],
        "windows": made.windows,
        "windows_with_buildings": made.built,
        "windows_skipped": summary["gate"]["windows_skipped"],
        "whole_seconds": seconds[False],
        "gated_seconds": seconds[True],
        "times_as_fast": median(
            whole / gated for whole, gated in zip(seconds[False], seconds[True], strict=True)
        ),
        "buildings": len(made.buildings),
        "buildings_missed": missed(made.buildings, skipped),
    }


def missed(buildings: list[np.ndarray], skipped: list[list[int]]) -> int:
    """Buildings of which more than half lies in the parts that were skipped."""
    import numpy as np
    import shapely

    if not buildings or not skipped:
        return 0
    outlines = shapely.make_valid(np.array([shapely.Polygon(each) for each in buildings]))
    boxes = [shapely.box(x, y, x + w, y + h) for y, x, h, w, _ in skipped]
    inside = shapely.area(shapely.intersection(outlines, shapely.union_all(boxes)))
    return int((inside > shapely.area(outlines) / 2).sum())


def count(folder: Path, data: Path, split: str) -> dict[str, Any]:
    """What the gate misses on every labelled tile of a split."""
    from benchmarks.engines import name_of
    from export.runners import engine_runner
    from export.window_gate.look import look
    from runtime.engine import load_engine
    from runtime.scene.work import halo_of
    from train.xbd import find_tiles

    with load_engine(folder) as engine:
        gate, record = engine.window_gate, engine.manifest.gate
        assert gate
        assert record
        tiles = find_tiles(data, split)
        size, halo = (engine.height, engine.width), halo_of(engine, None)
        seen = look(engine_runner(gate), tiles, size, halo, record.margin_px)
    return {
        "engine": name_of(folder),
        "tiles": len(tiles),
        "threshold": record.threshold,
        **seen.as_dict(record.threshold),
    }


def table_of_counts(rows: list[dict[str, Any]]) -> str:
    lines = [
        f"{'engine':<24}{'tiles':>6}{'windows':>9}{'empty':>7}{'skipped':>9}{'buildings':>11}"
        f"{'missed':>8}{'at most':>9}{'alone':>7}"
    ]
    lines += [
        f"{row['engine']:<24}{row['tiles']:>6}{row['windows']:>9}"
        f"{row['windows_without_building']:>7}{row['of_those_skipped']:>9}{row['buildings']:>11}"
        f"{row['buildings_missed']:>8}{row['missed_at_most']:>9.2%}{row['not_found_alone']:>7}"
        for row in rows
    ]
    return "\n".join(lines)


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        f"{'engine':<24}{'windows':>8}{'empty':>7}{'skipped':>9}{'whole, s':>10}{'gated, s':>10}"
        f"{'times':>7}{'buildings':>11}{'missed':>8}"
    ]
    lines += [
        f"{row['engine']:<24}{row['windows']:>8}"
        f"{1 - row['windows_with_buildings'] / row['windows']:>7.2f}{row['windows_skipped']:>9}"
        f"{median(row['whole_seconds']):>10.2f}{median(row['gated_seconds']):>10.2f}"
        f"{row['times_as_fast']:>7.2f}{row['buildings']:>11}{row['buildings_missed']:>8}"
        for row in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(parser(), main)
