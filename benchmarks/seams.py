"""Do tiles show? ``python -m benchmarks.seams``: one scene by windows and as one window.

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
    p.add_argument("--engine", required=True, type=Path, metavar="DIR", help="for windows")
    p.add_argument("--whole", required=True, type=Path, metavar="DIR", help="of the scene's size")
    p.add_argument("--halo", type=int, nargs="+", metavar="PX", help="default: the runtime's own")
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    import rasterio

    from benchmarks.scene import make_pair
    from runtime.engine import load_engine
    from runtime.manifest import Manifest
    from runtime.mapping import map_pair
    from runtime.options import MapOptions

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

        def damage(engine_folder: Path, halo: int | None) -> tuple[np.ndarray, dict[str, Any]]:
            with load_engine(engine_folder) as engine:
                summary = map_pair(engine, *pair, folder / "map", MapOptions(halo=halo))
            with rasterio.open(folder / "map" / "damage.tif") as file:
                return file.read(1), summary

        one, _ = damage(args.whole, 0)
        for halo in args.halo or [None]:
            tiles, summary = damage(args.engine, halo)
            rows.append({"halo": halo, "windows": summary["windows"], **compare(one, tiles)})
    print(json.dumps(rows, indent=2) if args.json else table(rows))


def compare(one: np.ndarray, tiles: np.ndarray) -> dict[str, float]:
    """Shares: of all pixels, and of those that either map calls a building."""
    differ = one != tiles
    building = (one > 0) | (tiles > 0)
    return {
        "differing": float(differ.mean()),
        "differing_in_buildings": float(differ[building].mean()) if building.any() else 0.0,
    }


def table(rows: list[dict[str, Any]]) -> str:
    lines = [f"{'halo':>8}{'windows':>9}{'differing':>12}{'in buildings':>14}"]
    lines += [
        f"{'default' if row['halo'] is None else row['halo']:>8}{row['windows']:>9}"
        f"{row['differing']:>12.4%}{row['differing_in_buildings']:>14.4%}"
        for row in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(parser(), main)
