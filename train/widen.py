"""Make a wide network that computes what a narrow one does.

Training that starts from it (init=WIDE) starts from the narrow network's score. Every channel
whose number grows with the width is repeated, and a layer that reads its copies divides the
weight among them, unevenly, so that training can tell them apart (Net2WiderNet: Chen, Goodfellow
and Shlens, "Net2Net: Accelerating learning via knowledge transfer", ICLR 2016).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from runtime import cli

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from train.checkpoint import Checkpoint


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m train.widen", description=__doc__)
    p.add_argument(
        "--checkpoint", required=True, type=Path, metavar="CKPT", help="the narrow network"
    )
    p.add_argument(
        "--width", required=True, type=int, metavar="W", help="width to reach, 48 for W48"
    )
    p.add_argument("--out", required=True, type=Path, metavar="CKPT", help="checkpoint to write")
    return p


def main(args: argparse.Namespace) -> None:
    from train.checkpoint import load_checkpoint, save_checkpoint

    wide = widened(load_checkpoint(args.checkpoint), args.width)
    save_checkpoint(args.out, wide)
    cli.note(f"{args.out}: {wide.model.architecture} W{args.width}, from {args.checkpoint}")


def widened(narrow: Checkpoint, width: int, seed: int = 0) -> Checkpoint:
    """The same function, to rounding, by a network of `width`; `seed` divides the weights.

    Raises:
        ConfigError: `width` is not above the narrow network's.
        CheckpointError: the weights do not belong to the architecture they claim.
    """
    import torch

    from runtime.errors import ConfigError
    from train.checkpoint import Checkpoint
    from train.model import DualHRNet

    if width <= narrow.model.width:
        raise ConfigError(
            f"width {width}: expected more than {narrow.model.width}, the checkpoint's"
        )
    weights = narrow.network().state_dict()
    model = narrow.model.model_copy(update={"width": width})
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in DualHRNet(model).state_dict().items()}
    random = torch.Generator().manual_seed(seed)
    state = {name: _widen(weights[name], shape, random) for name, shape in shapes.items()}
    return Checkpoint(model, state)


def _widen(tensor: Tensor, shape: torch.Size, random: torch.Generator) -> Tensor:
    """To `shape`: [C], [Out, In] or [Out, In, H, W]."""
    import torch

    if not tensor.ndim:
        return tensor.clone()
    wide = tensor[_origins(len(tensor), shape[0])]
    if tensor.ndim == 1:
        return wide
    origins = _origins(tensor.shape[1], shape[1])
    shares = torch.rand(shape[0], shape[1], generator=random) + 0.5
    sums = torch.zeros(shape[0], tensor.shape[1]).index_add(1, origins, shares)
    shares /= sums[:, origins]
    return wide[:, origins] * shares.reshape(*shares.shape, *(1 for _ in shape[2:]))


def _origins(narrow: int, wide: int) -> Tensor:
    """The narrow channel that each wide one copies. Copies follow each other, so that branches
    widened each on its own and then concatenated have the origins of their concatenation."""
    import torch

    return torch.arange(wide) * narrow // wide


if __name__ == "__main__":
    cli.run(parser(), main)
