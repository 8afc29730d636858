"""Turn published weights into a checkpoint of this toolkit."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from runtime import cli

if TYPE_CHECKING:
    from train.foreign.weights import Imported

SHOWN = 8  # unknown names; --json has all of them


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m train.import_weights", description=__doc__)
    p.add_argument(
        "--source",
        required=True,
        choices=["si-analytics", "hrnet"],
        help="whose weights; si-analytics: the whole xView2 network; hrnet: an ImageNet "
        "backbone by its authors, OpenMMLab or timm, for both streams",
    )
    p.add_argument("file", type=Path, metavar="FILE", help="published weights (.pth, .safetensors)")
    p.add_argument("--out", required=True, type=Path, metavar="CKPT", help="checkpoint to write")
    p.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="of the random parts that FILE does not have (default: 0)",
    )
    p.add_argument("--json", action="store_true", help="print what became of the tensors as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    from runtime.errors import ConfigError
    from runtime.files import sha256
    from train.checkpoint import Checkpoint, save_checkpoint
    from train.foreign import hrnet, si_analytics
    from train.foreign.weights import read_state

    if not 0 <= args.seed < 1 << 63:
        raise ConfigError(f"--seed {args.seed}: expected a whole number from 0 up, below 2^63")
    state = read_state(args.file)
    if args.source == "hrnet":
        imported = hrnet.convert(args.file, state, args.seed)
    else:
        imported = si_analytics.convert(args.file, state)
    origin = f"{args.file.name} (sha256 {sha256(args.file)})"
    checkpoint = Checkpoint(imported.model, imported.weights, started_from=origin, path=args.file)
    parameters = sum(p.numel() for p in checkpoint.network().parameters())
    save_checkpoint(args.out, checkpoint)
    for line in summary(args, imported, parameters):
        cli.note(line)
    if args.json:
        account = {name: value for name, value in vars(imported).items() if name != "weights"}
        account["model"] = imported.model.model_dump()
        print(json.dumps({"parameters": parameters, **account}, indent=2))


def summary(args: argparse.Namespace, imported: Imported, parameters: int) -> list[str]:
    """What was written, and what became of the file's tensors, in a few lines."""
    model = imported.model
    modules = "-".join(map(str, model.modules))
    where = " into each stream" if args.source == "hrnet" else ""
    lines = [
        f"{args.out}: {model.architecture} W{model.width}, {modules} modules of {model.blocks} "
        f"blocks, {parameters / 1e6:.1f} M parameters",
        f"  {imported.loaded} tensors loaded{where}, {imported.renamed} of them renamed",
    ]
    if imported.filled:
        lines.append(f"  {imported.filled} missing num_batches_tracked set to 0")
    if imported.fresh:
        lines.append(f"  {imported.fresh} tensors of other parts initialised, seed {args.seed}")
    dropped = ", ".join(f"{part} {count}" for part, count in imported.dropped.items())
    lines.append(f"  {sum(imported.dropped.values())} dropped{dropped and f': {dropped}'}")
    if imported.unknown:
        more = len(imported.unknown) - SHOWN
        names = ", ".join(imported.unknown[:SHOWN]) + (f" and {more} more" if more > 0 else "")
        lines.append(f"  of the dropped, not known to this toolkit: {names}")
    return lines


if __name__ == "__main__":
    cli.run(parser(), main)
