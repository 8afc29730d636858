"""Train a Dual-HRNet on xBD: ``python -m train``, or ``torchrun ... -m train``."""

from __future__ import annotations

import argparse
from pathlib import Path

from runtime import cli


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m train", description=__doc__)
    p.add_argument("--config", required=True, type=Path, help="YAML, see train/configs/")
    p.add_argument("--data", required=True, type=Path, help="xBD data set")
    p.add_argument("--out", required=True, type=Path, metavar="RUN", help="folder of this run")
    p.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    p.add_argument("overrides", nargs="*", metavar="key=value", help="such as optim.epochs=10")
    return p


def main(args: argparse.Namespace) -> None:
    from train.config import load_config

    config = load_config(args.config, args.overrides)

    from train.distributed import world
    from train.loop import train

    with world(args.device) as group:
        best = train(config, args.data, args.out, group)
        if group.leads:
            cli.note(f"best checkpoint: {best}")


if __name__ == "__main__":
    cli.run(parser(), main)
