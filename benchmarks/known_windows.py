"""Time a scene whose buildings are known, by the share of windows that they touch.

The command runtime.predict with --footprints, and with --whole-scene too, take turns. The
footprints lie in windows that are drawn by chance, or in the first rows of them, some in each.
Peak memory is that of the command with --footprints (Linux).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from runtime import cli
from runtime.errors import ConfigError

HOUSES = 4
"""In a window that has any."""
TURNS = 3


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.known_windows", description=__doc__)
    p.add_argument("--engine", required=True, type=Path, metavar="DIR", help="engine folder")
    p.add_argument(
        "--size", type=int, nargs="+", default=[4096], metavar="S",
        help="sides of the rasters, pixels (default: 4096)",
    )  # fmt: skip
    p.add_argument(
        "--share", type=float, nargs="+", default=[0.2], metavar="P",
        help="of the windows that have footprints, above 0 to 1 (default: 0.2)",
    )  # fmt: skip
    p.add_argument(
        "--scratch", type=Path, metavar="DIR",
        help="folder for the rasters and maps (default: a temporary one)",
    )  # fmt: skip
    p.add_argument(
        "--together", action="store_true",
        help="the windows lie in the first rows, so that other rows have no work; else by chance",
    )  # fmt: skip
    p.add_argument(
        "--alone", action="store_true", help="once, and without --whole-scene: for the memory"
    )
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    if not all(0 < each <= 1 for each in args.share):
        raise ConfigError(f"--share {min(args.share)}: expected above 0, at most 1")
    if min(args.size) < 1:
        raise ConfigError(f"--size {min(args.size)}: expected 1 pixel or more")
    from benchmarks.machine import describe_machine
    from benchmarks.scene import make_pair

    with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
        folder = Path(scratch)
        rows = []
        for size in args.size:
            make_pair(folder, size)
            rows += [
                measure(args.engine, folder, size, p, args.alone, args.together) for p in args.share
            ]
            for name in ("pre", "post"):
                (folder / f"{name}-{size}.tif").unlink()
    record = {"engine": str(args.engine), "machine": describe_machine(), "shares": rows}
    print(json.dumps(record, indent=2) if args.json else table(rows))


def measure(
    engine: Path, folder: Path, size: int, share: float, alone: bool, together: bool
) -> dict[str, Any]:
    """Medians of the processor's seconds, which a busy machine does not change much."""
    from benchmarks.scene import run_command

    file = make_footprints(
        folder / f"footprints-{size}-{share}.gpkg", engine, size, share, together
    )
    line = ("--footprints", str(file), "--threads", "1")
    known, whole = [], []
    for _ in range(1 if alone else TURNS):
        known.append(run_command(engine, folder, size, *line))
        if not alone:
            whole.append(run_command(engine, folder, size, *line, "--whole-scene"))
    of_known = median(each["processor_seconds"] for each in known)
    of_whole = median(each["processor_seconds"] for each in whole) if whole else None
    return {
        "size": size,
        "share": share,
        "footprints": known[0]["buildings"],
        "windows": known[0]["windows"],
        "windows_computed": known[0]["windows_computed"],
        "whole_seconds": of_whole,
        "known_seconds": of_known,
        "known_wall_seconds": median(each["seconds"] for each in known),
        "ratio": of_known / of_whole if of_whole else None,
        "peak_bytes": max(each["peak_bytes"] for each in known),
    }


def make_footprints(
    path: Path, engine: Path, size: int, share: float, together: bool = False
) -> Path:
    """Squares of ten metres in that share of the windows of a scene of `make_pair`."""
    import numpy as np
    import shapely
    from pyogrio.raw import write

    from benchmarks.scene import GSD_M
    from runtime.manifest import Manifest
    from runtime.scene.windows import window_rows
    from runtime.scene.work import default_halo

    manifest = Manifest.read(engine)
    sides = manifest.input
    shape = sides.height, sides.width
    rows = window_rows((size, size), shape, default_halo(min(shape), manifest.model.reach_px))
    windows = [each for row in rows for each in row]
    rng = np.random.default_rng(0)
    count = max(1, round(share * len(windows)))
    drawn = np.arange(count) if together else rng.choice(len(windows), count, replace=False)
    side = 10 / GSD_M
    corners = np.array([
        [rng.uniform(span.begin, span.end - side) for span in (w.column, w.row)]
        for w in [windows[index] for index in np.sort(drawn)]
        for _ in range(HOUSES)
    ])  # fmt: skip
    boxes = shapely.box(*corners.T, *(corners.T + side))
    placed = shapely.transform(boxes, lambda p: p * (GSD_M, -GSD_M) + (500_000, 3_300_000))
    write(
        path, shapely.to_wkb(placed), field_data=[np.arange(len(placed))], fields=["number"],
        geometry_type="Polygon", crs="EPSG:32614", driver="GPKG",
    )  # fmt: skip
    return path


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        f"{'size':>6}{'share':>7}{'footprints':>12}{'windows':>9}{'computed':>10}{'known, s':>10}"
        f"{'whole, s':>10}{'ratio':>7}{'peak, MiB':>11}"
    ]
    lines += [
        f"{row['size']:>6}{row['share']:>7.2f}{row['footprints']:>12}{row['windows']:>9}"
        f"{row['windows_computed']:>10}{row['known_seconds']:>10.1f}"
        f"{_or_not(row['whole_seconds'], 1):>10}{_or_not(row['ratio'], 2):>7}"
        f"{row['peak_bytes'] / 2**20:>11.0f}"
        for row in rows
    ]
    return "\n".join(lines)


def _or_not(value: float | None, decimals: int) -> str:
    return "-" if value is None else f"{value:.{decimals}f}"


if __name__ == "__main__":
    cli.run(parser(), main)
