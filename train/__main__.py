"""Train a Dual-HRNet on xBD, alone or under torchrun.

On several GPUs: torchrun --nproc-per-node N -m train, with the same options.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from runtime import cli
from runtime.errors import ConfigError
from train.device_option import add_device


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m train", description=__doc__)
    p.add_argument(
        "--config",
        required=True,
        type=Path,
        metavar="YAML",
        help="YAML file, or a shipped one by its name: w18 to w64, demo, sample, ablation/se, ...",
    )
    p.add_argument("--data", required=True, type=Path, metavar="DIR", help="xBD data set")
    p.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder of this run")
    p.add_argument(
        "--resume", action="store_true", help="go on with the run in --out, if there is one"
    )
    p.add_argument(
        "--skip-bad", action="store_true", help="train without the tiles that cannot be used"
    )
    add_device(p)
    p.add_argument(
        "--leave-out",
        nargs="+",
        action="extend",
        default=[],
        metavar="DISASTER",
        help="disasters not to learn from nor to choose the best epoch on: data.leave_out",
    )
    p.add_argument(
        "overrides",
        nargs="*",
        metavar="key=value",
        help="change of the configuration, such as optim.ema=0.99",
    )
    return p


def main(args: argparse.Namespace) -> None:
    from train.config_file import load_config

    if args.leave_out and any(each.startswith("data.leave_out=") for each in args.overrides):
        raise ConfigError("--leave-out beside data.leave_out=...: name all in one of them")
    left_out = [f"data.leave_out={json.dumps(args.leave_out)}"] if args.leave_out else []
    config = load_config(args.config, [*args.overrides, *left_out])

    from train.distributed import world
    from train.loop import Interrupted, train

    with world(args.device) as group:
        try:
            train(config, args.data, args.out, group, resume=args.resume, skip_bad=args.skip_bad)
        except Interrupted:
            if group.leads:
                cli.note(f"stopped and saved: {args.out / 'last.pt'}; go on with --resume")
            return
        if group.leads:
            cli.note(f"best checkpoint: {args.out / 'best.pt'}")


if __name__ == "__main__":
    cli.run(parser(), main)
