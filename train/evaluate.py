"""The official xView2 score of a checkpoint: ``python -m train.evaluate``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from runtime import cli
from runtime.damage import CLASS_NAMES, DAMAGE_CLASSES

if TYPE_CHECKING:
    from runtime.score import Counts
    from train.model import DualHRNet
    from train.xbd import Tile


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m train.evaluate", description=__doc__)
    p.add_argument("--checkpoint", required=True, type=Path)
    p.add_argument("--data", required=True, type=Path, help="xBD data set")
    p.add_argument("--split", default="test")
    p.add_argument("--threshold", type=float, default=0.5, help="building probability")
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from train.checkpoint import load_checkpoint
    from train.model.decode import check_threshold
    from train.xbd import find_tiles

    check_threshold(args.threshold)
    network = load_checkpoint(args.checkpoint).network()
    tiles = find_tiles(args.data, args.split)
    counts = score_tiles(network, tqdm(tiles, desc=f"evaluate {args.split}"), args.threshold)
    print(json.dumps(counts.as_dict(), indent=2) if args.json else summary(counts))


def score_tiles(network: DualHRNet, tiles: Iterable[Tile], threshold: float = 0.5) -> Counts:
    """Counts of the official score over whole tiles; the network is in eval mode."""
    from runtime.score import Counts
    from train.inference import predict_maps

    counts = Counts()
    for tile in tiles:
        pre, post = tile.images()
        damage, _, _ = predict_maps(network, pre, post, threshold)
        counts.add(damage, damage, *tile.targets(*damage.shape))
    return counts


def summary(counts: Counts) -> str:
    """The score and its parts in a few lines."""
    lines = [
        f"score {counts.score:.4f} = 0.3 x localization F1 {counts.localization_f1:.4f} "
        f"+ 0.7 x damage F1 {counts.damage_f1:.4f}"
    ]
    lines += [
        f"  {CLASS_NAMES[value]:<13} F1 {f1:.4f}"
        for value, f1 in zip(DAMAGE_CLASSES, counts.class_f1, strict=True)
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(parser(), main)
