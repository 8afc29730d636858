"""Show which units of a network INT8 hurts.

Each unit is rounded to INT8 on its own, the rest stays FP32, and the labels, scores and
confidences are compared with FP32's.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from runtime import cli
from runtime.errors import ConfigError
from train.device_option import add_device

if TYPE_CHECKING:
    from calibration.ranking import Harm


PLOT_SUFFIXES = (".png", ".svg")


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m calibration.sensitivity", description=__doc__)
    p.add_argument(
        "--checkpoint", required=True, type=Path, metavar="CKPT", help="checkpoint to examine"
    )
    p.add_argument("--data", required=True, type=Path, metavar="DIR", help="labelled xBD data set")
    p.add_argument(
        "--calibration",
        required=True,
        type=Path,
        metavar="FILE",
        help="ranges, as the command calibrate writes them",
    )
    p.add_argument(
        "--split",
        metavar="NAME",
        help="labelled split to compare on (default: hold, or what there is besides train)",
    )
    p.add_argument(
        "--tiles",
        type=int,
        default=4,
        metavar="N",
        help="tiles of the split to compare on (default: 4)",
    )
    p.add_argument(
        "--size",
        type=int,
        nargs=2,
        metavar=("H", "W"),
        help="crop to compare on (default: whole tiles)",
    )
    p.add_argument(
        "--unsigned", action="store_true", help="round as CPU targets do (default: as NVIDIA's)"
    )
    p.add_argument(
        "--threshold",
        type=float,
        default=0.5,
        metavar="P",
        help="building probability from which a pixel is building (default: 0.5)",
    )
    add_device(p)
    p.add_argument("--plot", type=Path, metavar="FILE", help="draw the ranking (.png or .svg)")
    p.add_argument("--json", action="store_true", help="print the ranking as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    if args.tiles < 1:
        raise ConfigError(f"--tiles {args.tiles}: expected at least 1")
    if args.plot is not None and args.plot.suffix not in PLOT_SUFFIXES:
        raise ConfigError(f"--plot {args.plot}: expected a name that ends with .png or .svg")
    from runtime.manifest import STRIDE

    if args.size and any(side < STRIDE or side % STRIDE for side in args.size):
        raise ConfigError(f"--size {args.size[0]} {args.size[1]}: expected multiples of {STRIDE}")
    import torch

    from calibration.gate import Reference
    from calibration.ranking import Subject, rank
    from calibration.scenes import check_buildings, cut_scenes
    from calibration.tiles import choose
    from runtime.files import check_file, sha256
    from train.checkpoint import load_checkpoint
    from train.distributed import pick_device
    from train.evaluate import labelled_tiles
    from train.inference import predict_maps
    from train.model.decode import check_threshold
    from train.progress import progress
    from train.quantisation.artefact import preprocessing_of, read_artefact
    from train.splits import choosing_split

    check_threshold(args.threshold)
    if args.plot is not None:
        check_file(args.plot)
    device = pick_device(args.device)
    artefact = read_artefact(args.calibration)
    network = load_checkpoint(args.checkpoint).network().to(device)
    config = network.config
    artefact.check_belongs(sha256(args.checkpoint), preprocessing_of(config.mean, config.std))
    split = args.split
    if split is None:
        split, note = choosing_split(args.data, "name it with --split")
        if note:
            cli.note(note)
    tiles = choose(labelled_tiles(args.data, split), args.tiles)
    height, width = args.size or tiles[0].images()[0].shape[:2]
    scenes = cut_scenes(tiles, height, width)
    check_buildings(scenes)
    reference = Reference(
        lambda pre, post: predict_maps(network, pre, post, args.threshold), scenes
    )
    activations, scales = (
        ("unsigned", torch.float32) if args.unsigned else ("signed", torch.float16)
    )
    form = artefact.form(network)
    subject = Subject(form, config, artefact.ranges, activations, args.threshold, scales)
    with progress("units", "unit") as bar:
        harms = rank(subject, reference, bar)
    if args.plot:
        from calibration.ranking_plot import plot

        plot(harms, args.plot)
    print(json.dumps([h.as_dict() for h in harms], indent=2) if args.json else table(harms))


def table(harms: list[Harm]) -> str:
    """The most harmful first; what is lost is FP32's figure minus the rounded network's."""
    lines = [
        f"{'unit':<24}{'labels changed':>15}{'score lost':>12}{'worst F1 lost':>15}"
        f"{'confidence shift':>18}"
    ]
    for harm in harms:
        losses = harm.comparison.losses
        worst = max(value for name, value in losses.items() if name != "score")
        lines.append(
            f"{harm.unit:<24}{harm.disagreement:>15.4%}{losses['score']:>12.4f}{worst:>15.4f}"
            f"{harm.comparison.confidence_shift:>18.5f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(parser(), main)
