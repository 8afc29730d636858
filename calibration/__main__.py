"""Observe the ranges that INT8 needs."""

from __future__ import annotations

import argparse
from pathlib import Path

from runtime import cli
from train.device_option import add_device


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m calibration", description=__doc__)
    p.add_argument(
        "--checkpoint", required=True, type=Path, metavar="CKPT", help="checkpoint to observe"
    )
    p.add_argument(
        "--data",
        required=True,
        type=Path,
        metavar="DIR",
        help="xBD data set; labels are not needed",
    )
    p.add_argument(
        "--out", required=True, type=Path, metavar="FILE", help="calibration.json to write"
    )
    p.add_argument(
        "--split",
        default="train",
        metavar="NAME",
        help="split the tiles come from (default: train)",
    )
    p.add_argument(
        "--tiles", type=int, default=16, metavar="N", help="tiles to observe (default: 16)"
    )
    p.add_argument(
        "--method",
        choices=["minmax", "percentile", "entropy", "mse"],
        default="minmax",
        help="the range: all values, 99.99%% of them, the least loss of information, or the "
        "least squared error (default: minmax)",
    )
    add_device(p)
    return p


def main(args: argparse.Namespace) -> None:
    from calibration.calibrate import calibrate
    from runtime.files import check_file
    from train.distributed import pick_device
    from train.progress import progress

    check_file(args.out)
    device = pick_device(args.device)
    with progress("calibrate", "tile") as bar:
        artefact = calibrate(
            args.checkpoint, args.data, args.split, args.tiles, args.method, bar, device
        )
    artefact.write(args.out)
    cli.note(
        f"{args.out}: {len(artefact.ranges)} ranges ({args.method}) from {len(artefact.tiles)} "
        f"tiles, fingerprint {artefact.fingerprint()[:12]}"
    )


if __name__ == "__main__":
    cli.run(parser(), main)
