"""Adapt a checkpoint to a new place.

Without labels, batch norm's statistics are estimated from the new pair. With buildings that a
person corrected in the map of that pair, weights are fitted to them; where those do worse on
corrections that were left out, nothing is written.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime import cli
from runtime.errors import ConfigError, ToolkitError
from runtime.options import add_reading, reading_options

if TYPE_CHECKING:
    from train.adaptation.adapting import AdaptConfig
    from train.adaptation.corrections import Correction


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m train.adapt",
        usage="%(prog)s --checkpoint CKPT PRE POST [--corrections GPKG] --out CKPT [option ...]",
        description=__doc__,
    )
    p.add_argument("pre", type=Path, metavar="PRE", help="image before the disaster")
    p.add_argument("post", type=Path, metavar="POST", help="image after the disaster")
    p.add_argument(
        "--checkpoint", required=True, type=Path, metavar="CKPT", help="checkpoint to adapt"
    )
    p.add_argument("--out", required=True, type=Path, metavar="CKPT", help="checkpoint to write")
    p.add_argument(
        "--corrections", type=Path, metavar="FILE",
        help="what a person corrected: the map's folder or its corrections.gpkg, or a corrected "
        "buildings.gpkg",
    )  # fmt: skip
    p.add_argument(
        "--map", type=Path, metavar="FILE",
        help="buildings.gpkg as the map was written: what differs from it is a correction",
    )  # fmt: skip
    p.add_argument(
        "--method", choices=["lora", "heads"], default="lora",
        help="lora: low-rank updates of all convolutions; heads: the heads alone (default: lora)",
    )  # fmt: skip
    p.add_argument(
        "--steps", type=int, default=40, metavar="N", help="optimiser steps (default: 40)"
    )
    p.add_argument(
        "--rate",
        type=float,
        metavar="R",
        help="learning rate at the start (default: 0.003, of heads 0.001)",
    )
    p.add_argument(
        "--prior", type=float, default=16.0, metavar="N",
        help="windows that the old statistics count as; 0 forgets them, inf keeps them "
        "(default: 16)",
    )  # fmt: skip
    p.add_argument(
        "--sample", type=int, default=64, metavar="N",
        help="windows of the scene that statistics come from (default: 64)",
    )  # fmt: skip
    p.add_argument(
        "--window", type=int, metavar="PX",
        help="side of a window, a multiple of 32 (default: what the checkpoint was trained on)",
    )  # fmt: skip
    p.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of what is random (default: 0)"
    )
    p.add_argument(
        "--device", metavar="NAME", default="auto", help="auto, cpu or cuda (default: auto)"
    )
    p.add_argument("--json", action="store_true", help="print what was measured as JSON")
    rasters = p.add_argument_group("rasters (how images are read)")
    add_reading(rasters)
    rasters.add_argument(
        "--label", type=Path, metavar="FILE", help="xBD label (.json) that places both images"
    )
    return p


def main(args: argparse.Namespace) -> None:
    reading = replace(reading_options(args), label=args.label)
    _check(args)
    cli.prepare_opencv()
    from runtime.files import check_file, sha256
    from runtime.source.pair import pair_of
    from train.adaptation.adapting import adapt
    from train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
    from train.distributed import world
    from train.progress import progress

    check_file(args.out)
    if args.out.exists() and args.checkpoint.exists() and args.out.samefile(args.checkpoint):
        raise ConfigError(f"--out {args.out}: is the checkpoint to adapt; choose another file")
    checkpoint = load_checkpoint(args.checkpoint)
    with world(args.device) as group:
        network = checkpoint.network().to(group.device)
        config = _config(args, checkpoint.config, group)
        with (
            pair_of(args.pre, args.post, reading) as pair,
            progress("left-out folds", "fold") as bar,
        ):
            for note in pair.notes:
                cli.note(note)
            corrections = _corrections(args, pair)
            adapted = adapt(network, pair, corrections, config, bar)
    record = {
        "checkpoint": args.checkpoint.name,
        "sha256": sha256(args.checkpoint),
        "pre": args.pre.name,
        "post": args.post.name,
        **adapted.record,
    }
    print(json.dumps(record, indent=2) if args.json else report(record))
    if adapted.refused:
        raise ToolkitError(
            f"{args.out}: not written; on {len(corrections)} corrections that were left out, "
            f"{' and '.join(adapted.refused)}; correct more buildings, or try another --method, "
            "a lower --rate, or --prior inf"
        )
    weights = {name: each.cpu() for name, each in adapted.network.state_dict().items()}
    save_checkpoint(
        args.out,
        Checkpoint(
            checkpoint.model,
            weights,
            config=checkpoint.config,
            epoch=checkpoint.epoch,
            step=checkpoint.step,
            metrics={"adapted": record},  # the old scores are of other weights
            precision=checkpoint.precision,
            started_from=checkpoint.started_from,
            data=checkpoint.data,
        ),
    )
    cli.note(f"adapted checkpoint: {args.out}")


def _check(args: argparse.Namespace) -> None:
    if args.map is not None and args.corrections is None:
        raise ConfigError("--map: says what --corrections changed; give those, too")
    for name, least in (("steps", 1), ("sample", 1), ("seed", 0)):
        if getattr(args, name) < least:
            raise ConfigError(f"--{name} {getattr(args, name)}: expected {least} or more")
    if args.rate is not None and not 0 < args.rate <= 1:
        raise ConfigError(f"--rate {args.rate}: expected above 0, at most 1")
    if not args.prior >= 0:
        raise ConfigError(f"--prior {args.prior}: expected 0 or more windows, or inf")
    if args.corrections is None and args.prior == math.inf:
        raise ConfigError("--prior inf: keeps the statistics, so without --corrections nothing "
                          "would be adapted")  # fmt: skip


def _config(args: argparse.Namespace, trained: dict[str, Any] | None, group: Any) -> AdaptConfig:
    from train.adaptation.adapting import AdaptConfig
    from train.adaptation.fit import RATES, FitConfig
    from train.adaptation.windows import DEFAULT_SIDE, check_side
    from train.precision import choose_precision

    side = args.window
    if side is None:
        crop = (trained or {}).get("data", {}).get("crop")
        side = crop if isinstance(crop, int) else DEFAULT_SIDE
    check_side(side)
    fit = FitConfig(
        args.method,
        args.steps,
        args.rate if args.rate is not None else RATES[args.method],
        seed=args.seed,
        # On processors half precision takes longer: a step of so few pairs is conversions.
        dtype=choose_precision("auto", group).dtype if group.device.type == "cuda" else None,
    )
    return AdaptConfig(side, args.sample, args.prior, args.seed, fit)


def _corrections(args: argparse.Namespace, pair: Any) -> list[Correction]:
    from train.adaptation.corrections import find_corrections, summary
    from train.adaptation.features import read_features

    if args.corrections is None:
        return []
    edited = read_features(args.corrections, pair)
    original = read_features(args.map, pair) if args.map else None
    if original is not None and not edited.whole:
        raise ConfigError(
            f"--map: {edited.path} says itself what was corrected, and holds no other building; "
            "leave --map out"
        )
    found = find_corrections(edited, original, pair.height, pair.width)
    cli.note(summary(found))
    return found


def report(record: dict[str, Any]) -> str:
    """For a person."""
    statistics, changed = record["statistics"], record["map"]
    lines = [
        "statistics kept as they were"
        if statistics["prior"] is None
        else f"statistics from {statistics['windows']} windows of {record['window']} px, the old "
        f"ones count as {statistics['prior']:g}",
        f"building pixels on some of them: {changed['building_px_before']} before, "
        f"{changed['building_px_after']} after, {changed['in_both_px']} in both, "
        f"{changed['other_class_px']} of those with another class",
    ]
    if "left_out" not in record:
        return "\n".join([*lines, "without corrections, whether that is better is not measured"])
    lines.append(f"{record['corrections']} corrections, left out in {record['left_out']['folds']} "
                 f"folds ({record['method']}):")  # fmt: skip
    for name in ("before", "statistics_alone", "after"):
        one = record["left_out"][name]
        figures = [
            f"{what} {'-' if one[what] is None else format(one[what], '.4f')}"
            for what in ("accuracy", "f1")
        ]
        lines.append(
            f"  {name.replace('_', ' '):<17} {'  '.join(figures)}  "
            f"detected {one['detected']} of {one['buildings']}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(parser(), main)
