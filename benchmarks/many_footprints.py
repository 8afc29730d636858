"""Time a scene with very many footprints, and GDAL as it writes the same layer.

The command runtime.predict with --footprints beside the same without, then the layer of its map
written once more, by GDAL in one call and by this toolkit part by part, in turns. Footprints are
squares of four metres anywhere on the scene, with a number and a name, as a GeoPackage. Seconds are
the processor's; memory is that of the command (Linux).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from runtime import cli
from runtime.errors import ConfigError

METRES = 4
TURNS = 3
PART = 2_000
"""Rows that the toolkit adds to a layer at a time."""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.many_footprints", description=__doc__)
    p.add_argument("--engine", required=True, type=Path, metavar="DIR", help="engine folder")
    p.add_argument(
        "--count", type=int, default=1_000_000, metavar="N", help="footprints (default: 1000000)"
    )
    p.add_argument(
        "--size", type=int, default=4096, metavar="S",
        help="side of the raster, pixels (default: 4096)",
    )  # fmt: skip
    p.add_argument(
        "--scratch", type=Path, metavar="DIR",
        help="folder for the raster and maps (default: a temporary one)",
    )  # fmt: skip
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    if args.count < 1:
        raise ConfigError(f"--count {args.count}: expected 1 or more")
    from benchmarks.machine import describe_machine
    from benchmarks.scene import GSD_M, make_pair, run_command

    if args.size < 2 * METRES / GSD_M:
        raise ConfigError(f"--size {args.size}: expected {2 * METRES / GSD_M:.0f} pixels or more")
    with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
        folder = Path(scratch)
        make_pair(folder, args.size)
        file = make_footprints(folder / "footprints.gpkg", args.count, args.size)
        known = ("--footprints", str(file), "--whole-scene")
        line = (args.engine, folder, args.size, "--threads", "1", "--restart")
        alone, graded = run_command(*line), run_command(*line, *known)
        peer = layers(folder / f"map-{args.size}" / "buildings.gpkg", folder)
    record = {
        "machine": describe_machine(),
        "footprints": args.count,
        "size": args.size,
        "alone": alone,
        "graded": graded,
        "microseconds_each": 1e6
        * (graded["processor_seconds"] - alone["processor_seconds"])
        / args.count,
        **peer,
    }
    print(json.dumps(record, indent=2) if args.json else table(record))


def make_footprints(path: Path, count: int, size: int) -> Path:
    """Squares on a scene of `make_pair`."""
    import numpy as np
    import shapely
    from pyogrio.raw import write

    from benchmarks.scene import GSD_M

    side = METRES / GSD_M
    corners = np.random.default_rng(0).uniform(0, size - side, (count, 2))
    boxes = shapely.box(*corners.T, *(corners.T + side))
    placed = shapely.transform(boxes, lambda p: p * (GSD_M, -GSD_M) + (500_000, 3_300_000))
    names = np.array([f"house {index}" for index in range(count)], object)
    write(
        path, shapely.to_wkb(placed), field_data=[np.arange(count), names],
        fields=["number", "name"], geometry_type="Polygon", crs="EPSG:32614", driver="GPKG",
    )  # fmt: skip
    return path


def layers(file: Path, folder: Path) -> dict[str, Any]:
    """Medians of seconds for the layer `buildings` of a map, by GDAL and by this toolkit."""
    import numpy as np
    import shapely
    from pyogrio.raw import read, write

    from runtime.output.geopackage import LAYER, Layer
    from runtime.output.tables import Table

    meta, _, wkb, fields = read(file, layer=LAYER)
    geometry = np.asarray(shapely.from_wkb(wkb), object)
    names = list(map(str, meta["fields"]))

    def by_gdal(path: Path) -> None:
        write(
            path, geometry=shapely.to_wkb(geometry), geometry_type="MultiPolygon",
            field_data=fields, fields=meta["fields"], layer=LAYER, driver="GPKG", crs=meta["crs"],
        )  # fmt: skip

    def by_toolkit(path: Path) -> None:
        layer = Layer(path, meta["crs"], "MultiPolygon")
        for begin in range(0, len(geometry), PART):
            some = slice(begin, begin + PART)
            part = {name: each[some] for name, each in zip(names, fields, strict=True)}
            layer.add(Table(geometry[some], part))
        layer.finish()

    ways: dict[str, Callable[[Path], None]] = {"gdal": by_gdal, "toolkit": by_toolkit}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(TURNS):
        for name, write_layer in ways.items():
            path = folder / f"{name}-{turn}.gpkg"
            start = time.process_time()
            write_layer(path)
            seconds[name].append(time.process_time() - start)
            path.unlink()
    found = {f"layer_by_{name}_seconds": median(each) for name, each in seconds.items()}
    ratios = [ours / theirs for theirs, ours in zip(*seconds.values(), strict=True)]
    return {**found, "layer_ratio": median(ratios)}


def table(record: dict[str, Any]) -> str:
    alone, graded = record["alone"], record["graded"]
    return "\n".join([
        f"{record['footprints']} footprints, {record['size']}x{record['size']} pixels",
        f"with them     {graded['processor_seconds']:>8.1f} s {graded['peak_bytes'] >> 20:>6} MiB",
        f"without       {alone['processor_seconds']:>8.1f} s {alone['peak_bytes'] >> 20:>6} MiB",
        f"each          {record['microseconds_each']:>8.1f} us",
        f"layer by GDAL {record['layer_by_gdal_seconds']:>8.1f} s in one call",
        f"by us         {record['layer_by_toolkit_seconds']:>8.1f} s in parts, "
        f"{record['layer_ratio']:.2f} of that",
    ])  # fmt: skip


if __name__ == "__main__":
    cli.run(parser(), main)
