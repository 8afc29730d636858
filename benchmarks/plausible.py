"""Write a random network that behaves like a trained one.

For speed, memory and compiled plans, which do not depend on what a network has learned: its
batch norms have seen scenes, so that activations keep their scale, and its labels vary.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from runtime import cli

if TYPE_CHECKING:
    from torch import nn

    from train.model import DualHRNet, ModelConfig

SIDE, SCENES = 256, 4
"""Of the synthetic scenes that the batch norms see. Of 2 of 128 pixels the deepest of them see 32
places; on other scenes a wide network's activations then grow to thousands, and all its labels
are the same."""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.plausible", description=__doc__)
    p.add_argument(
        "--architecture",
        default="dual-hrnet",
        metavar="NAME",
        help="dual-hrnet or si-analytics (default: dual-hrnet)",
    )
    p.add_argument(
        "--width", type=int, default=48, metavar="W", help="width, 48 for W48 (default: 48)"
    )
    p.add_argument("--seed", type=int, default=0, metavar="N", help="of its weights (default: 0)")
    p.add_argument("--out", required=True, type=Path, metavar="CKPT", help="checkpoint to write")
    return p


def main(args: argparse.Namespace) -> None:
    from pydantic import ValidationError

    from runtime.errors import ConfigError
    from train.checkpoint import Checkpoint, save_checkpoint
    from train.model import ModelConfig
    from train.section import describe

    try:
        config = ModelConfig(architecture=args.architecture, width=args.width)
    except ValidationError as error:
        raise ConfigError(describe(error)) from error
    network = plausible_network(config, args.seed)
    save_checkpoint(args.out, Checkpoint(model=config, model_state=network.state_dict()))
    cli.note(
        f"{args.out}: {config.architecture} W{config.width}, random weights (seed {args.seed})"
    )


def plausible_network(
    config: ModelConfig, seed: int, side: int = SIDE, count: int = SCENES
) -> DualHRNet:
    """In eval mode. Batch norms have varied gains and the statistics of `count` synthetic scenes,
    `side` pixels a side; the logits are centred on them, so that every label occurs."""
    import numpy as np
    import torch

    from train.model import build_network
    from train.model.dual_hrnet import normalise
    from train.synthetic.scene import make_scene

    network = build_network(config, seed)
    random = torch.Generator().manual_seed(seed)
    for norm in network.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.momentum = None
            norm.weight.data.uniform_(0.5, 1.5, generator=random)
            norm.bias.data.normal_(0, 0.3, generator=random)
    scenes = [make_scene(seed, index, side) for index in range(count)]
    pre, post = (np.stack([getattr(s, when) for s in scenes]) for when in ("pre", "post"))
    images = [normalise(torch.from_numpy(image), config) for image in (pre, post)]
    with torch.no_grad():
        network.train()(*images)
        building, damage = network.eval()(*images)
        _last(network, "building").bias -= building.mean((0, 2, 3))
        _last(network, "damage").bias -= damage.mean((0, 2, 3))
    return network


def _last(network: DualHRNet, head: str) -> nn.Conv2d:
    layers = getattr(network.heads, head)
    return layers.classify if hasattr(layers, "classify") else layers[-1]


if __name__ == "__main__":
    cli.run(parser(), main)
