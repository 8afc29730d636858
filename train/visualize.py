"""Draw what a checkpoint sees, tile by tile.

Writes one PNG a tile, named like the tile: before, after, truth and prediction side by side.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from runtime import cli
from runtime.errors import ConfigError
from train.device_option import add_device

if TYPE_CHECKING:
    from train.xbd import Tile


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m train.visualize", description=__doc__)
    p.add_argument(
        "--checkpoint", required=True, type=Path, metavar="CKPT", help="checkpoint to draw"
    )
    p.add_argument("--data", required=True, type=Path, metavar="DIR", help="xBD data set")
    p.add_argument(
        "--split", metavar="NAME", default="test", help="labelled split of it (default: test)"
    )
    p.add_argument("--out", required=True, type=Path, metavar="DIR", help="output folder")
    p.add_argument(
        "--limit", type=int, metavar="N", help="N tiles, spread over the split (default: all)"
    )
    p.add_argument(
        "--threshold",
        type=float,
        default=0.5,
        metavar="P",
        help="building probability from which a pixel is building (default: 0.5)",
    )
    add_device(p)
    return p


def main(args: argparse.Namespace) -> None:
    if args.limit is not None and args.limit < 1:
        raise ConfigError(f"--limit {args.limit}: expected at least 1")
    if args.out.exists() and not args.out.is_dir():
        raise ConfigError(f"--out {args.out}: is a file; expected a folder, or a new name")
    from runtime.output.png import write_png
    from train.checkpoint import load_checkpoint
    from train.distributed import pick_device
    from train.evaluate import damage_maps, labelled_tiles
    from train.model.decode import check_threshold
    from train.panels import panel
    from train.progress import progress

    check_threshold(args.threshold)
    device = pick_device(args.device)
    tiles = spread(labelled_tiles(args.data, args.split), args.limit)
    network = load_checkpoint(args.checkpoint).network().to(device)
    with progress(f"draw {args.split}", "tile") as bar:
        for tile, damage in damage_maps(network, bar(tiles), args.threshold):
            _, truth = tile.targets(*damage.shape)
            write_png(args.out / f"{tile.name}.png", panel(*tile.images(), truth, damage))
    cli.note(f"{args.out}: {len(tiles)} tiles of {args.split}")


def spread(tiles: list[Tile], limit: int | None) -> list[Tile]:
    """At most `limit` tiles at even distances: in order of name, neighbours share a disaster."""
    if limit is None or limit >= len(tiles):
        return tiles
    return [tiles[index * len(tiles) // limit] for index in range(limit)]


if __name__ == "__main__":
    cli.run(parser(), main)
