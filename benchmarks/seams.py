"""Compare a scene mapped by windows with the same in one window.

Two engines of one checkpoint map the same synthetic GeoTIFF pair of the large one's size.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime import cli
from runtime.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.seams", description=__doc__)
    p.add_argument(
        "--engine",
        required=True,
        type=Path,
        metavar="DIR",
        help="engine folder, of the size of the windows",
    )
    p.add_argument(
        "--whole",
        required=True,
        type=Path,
        metavar="DIR",
        help="engine folder, of the size of the scene",
    )
    p.add_argument(
        "--halo",
        type=int,
        nargs="+",
        metavar="PX",
        help="overlaps to try, pixels (default: the runtime's own)",
    )
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    import rasterio

    from benchmarks.scene import make_pair
    from runtime.engine import load_engine
    from runtime.manifest import Manifest
    from runtime.mapping import map_pair
    from runtime.options import MapOptions
    from runtime.scene.work import halo_of

    whole, tiled = Manifest.read(args.whole), Manifest.read(args.engine)
    if whole.model.checkpoint_sha256 != tiled.model.checkpoint_sha256:
        raise ConfigError(f"{args.whole}: was built from another checkpoint than {args.engine}")
    if whole.input.height != whole.input.width:
        raise ConfigError(f"{args.whole}: expected a square input")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder, size = Path(scratch), whole.input.height
        make_pair(folder, size)
        pair = [folder / f"{name}-{size}.tif" for name in ("pre", "post")]

        def damage(engine_folder: Path, halo: int | None) -> tuple[np.ndarray, int, int]:
            """The map, how many windows it took, and their halo."""
            options = MapOptions(halo=halo)
            with load_engine(engine_folder) as engine:
                summary = map_pair(engine, *pair, folder / "map", options)
                used = halo_of(engine, halo)
            with rasterio.open(folder / "map" / "damage.tif") as file:
                return file.read(1), summary["windows"], used

        one, _, _ = damage(args.whole, 0)
        for asked in args.halo or [None]:
            tiles, windows, halo = damage(args.engine, asked)
            distance = seam_distances(size, (tiled.input.height, tiled.input.width), halo)
            rows.append({"halo": halo, "windows": windows, **compare(one, tiles, distance)})
    print(json.dumps(rows, indent=2) if args.json else table(rows))


def compare(one: np.ndarray, tiles: np.ndarray, distance: np.ndarray) -> dict[str, float]:
    """How two maps of one scene differ.

    Args:
        distance: of each pixel from the nearest seam, see `seam_distances`.
    Returns:
        Shares of all pixels, and of those that either map calls a building; and how far from a
        seam the pixels are that differ: the 90th percentile and the largest, pixels.
    """
    import numpy as np

    differ = one != tiles
    building = (one > 0) | (tiles > 0)
    away = distance[differ] if differ.any() else np.zeros(1)
    return {
        "differing": float(differ.mean()),
        "differing_in_buildings": float(differ[building].mean()) if building.any() else 0.0,
        "distance_p90": float(np.percentile(away, 90)),
        "distance_max": float(away.max()),
    }


def seam_distances(size: int, engine: tuple[int, int], halo: int) -> np.ndarray:
    """int64 [size, size]: pixels between each pixel and the nearest border of kept parts.

    0 beside a border. Where a single window takes the whole scene, all are `size`.
    """
    import numpy as np

    from runtime.scene.windows import Spans

    axes = []
    for window in engine:
        ends = [span.end for span in Spans(size, window, halo)[:-1]]
        at = np.arange(size)
        gaps = [np.where(at < end, end - 1 - at, at - end) for end in ends]
        axes.append(np.min(gaps, axis=0) if gaps else np.full(size, size))
    return np.minimum(axes[0][:, None], axes[1][None, :])


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        f"{'halo':>8}{'windows':>9}{'differing':>12}{'in buildings':>14}"
        f"{'from a seam, p90':>18}{'largest':>9}"
    ]
    lines += [
        f"{row['halo']:>8}{row['windows']:>9}"
        f"{row['differing']:>12.4%}{row['differing_in_buildings']:>14.4%}"
        f"{row['distance_p90']:>18.0f}{row['distance_max']:>9.0f}"
        for row in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(parser(), main)
