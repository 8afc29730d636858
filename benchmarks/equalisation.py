"""Measure what INT8 makes of channels of very different size, equalised or not.

Networks: the checkpoint; the same function with channels that differ by a factor; the same with
a third of the channels so small that their largest weight is 1e-5; and another function, with
the smallest gain of each layer made 1e-7. INT8 is computed in PyTorch as its targets round it.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime import cli
from runtime.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor, fx, nn

    from calibration.scenes import Scene
    from train.model import DualHRNet
    from train.xbd import Tile

    Change = Callable[[nn.Conv2d, nn.BatchNorm2d], Tensor]
    """What the channels of a convolution and its batch norm are multiplied by, [channels]."""

TINY, TINY_GAIN = 1e-5, 1e-7


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.equalisation", description=__doc__)
    p.add_argument(
        "--checkpoint", required=True, type=Path, metavar="CKPT", help="checkpoint to round"
    )
    p.add_argument("--data", required=True, type=Path, metavar="DIR", help="labelled xBD data set")
    p.add_argument(
        "--split", default="test", metavar="NAME", help="split to score on (default: test)"
    )
    p.add_argument(
        "--tiles", type=int, default=16, metavar="N", help="tiles to observe (default: 16)"
    )
    p.add_argument(
        "--scored", type=int, metavar="N", help="tiles of the split to score on (default: all)"
    )
    p.add_argument(
        "--factor",
        type=float,
        default=1000,
        metavar="F",
        help="between the largest and the smallest channel (default: 1000)",
    )
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    for name in ("tiles", "scored"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise ConfigError(f"--{name} {getattr(args, name)}: expected at least 1")
    if not args.factor >= 1:
        raise ConfigError(f"--factor {args.factor:g}: expected at least 1")
    from tqdm import tqdm

    from benchmarks.machine import describe_machine
    from calibration.calibrate import calibration_tiles
    from calibration.scenes import cut_scenes
    from calibration.tiles import choose
    from train.checkpoint import load_checkpoint
    from train.evaluate import labelled_tiles

    network = load_checkpoint(args.checkpoint).network()
    tiles = calibration_tiles(args.data, "train", args.tiles)
    scored = labelled_tiles(args.data, args.split)
    scored = choose(scored, args.scored or len(scored))
    scenes = cut_scenes(scored, *scored[0].images()[0].shape[:2])
    rows = []
    for name, each in tqdm(variants(network, args.factor).items(), unit="network"):
        rows += [{"network": name, **row} for row in measure(each, tiles, scenes)]
    record = {"scenes": len(scenes), "tiles": len(tiles), "machine": describe_machine()}
    record["rows"] = rows
    print(json.dumps(record, indent=2) if args.json else table(rows))


def variants(network: DualHRNet, factor: float) -> dict[str, DualHRNet]:
    """By what they are called. All but the last compute what `network` does."""
    import torch

    random = torch.Generator().manual_seed(0)

    def spread(conv: nn.Conv2d, _: nn.BatchNorm2d) -> Tensor:
        return factor ** (torch.rand(conv.out_channels, generator=random) - 0.5)

    def tiny(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> Tensor:
        gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        largest = conv.weight.abs().amax((1, 2, 3)) * gain.abs()
        every_third = torch.arange(conv.out_channels) % 3 == 0
        return torch.where(every_third & (largest > 0), TINY / largest, 1.0)

    return {
        "as it is": network,
        f"channels differ by {factor:g}": rescaled(network, spread),
        f"channels of {TINY:g}": rescaled(network, tiny),
        f"gains of {TINY_GAIN:g}": faint(network),
    }


def rescaled(network: DualHRNet, change: Change) -> DualHRNet:
    """A copy of the same function, the channels of every pair of layers multiplied."""
    import torch

    from train.quantisation.equalisation import pairs

    network = copy.deepcopy(network)
    modules = dict(network.named_modules())
    with torch.no_grad():
        for pair in pairs(network):
            norm, second = modules[pair.norm], modules[pair.second]
            factors = change(modules[pair.first], norm)
            norm.weight *= factors
            norm.bias *= factors
            second.weight /= factors.view(1, -1, 1, 1)
    return network


def faint(network: DualHRNet) -> DualHRNet:
    """A copy, of the channel with the smallest gain in every pair of layers only the mean left."""
    import torch

    from train.quantisation.equalisation import pairs

    network = copy.deepcopy(network)
    modules = dict(network.named_modules())
    with torch.no_grad():
        for pair in pairs(network):
            gains = modules[pair.norm].weight
            gains[gains.abs().argmin()] = TINY_GAIN
    return network


def measure(network: DualHRNet, tiles: list[Tile], scenes: list[Scene]) -> list[dict[str, Any]]:
    """Of `network` on each kind of target, with and without equalisation."""
    import torch

    from calibration.gate import Reference
    from calibration.observe import observe
    from calibration.rounding import rounded, runner
    from train.inference import predict_maps
    from train.model.inference_form import inference_form
    from train.quantisation.equalisation import equalised
    from train.quantisation.fake import Range

    targets = {"NVIDIA": ("signed", torch.float16), "processor": ("unsigned", torch.float32)}
    reference = Reference(lambda pre, post: predict_maps(network, pre, post), scenes)
    rows = []
    for done, each in ((False, network), (True, equalised(network))):
        form = inference_form(each)
        observers = observe(form, network.config, tiles, "minmax")
        ranges = {name: Range(o.amax(), o.minimum >= 0) for name, o in observers.items()}
        for target, (activations, scales) in targets.items():
            core = rounded(form, ranges, activations, scales=scales)
            found = reference.compare(runner(core, network.config, 0.5))
            rows.append(
                {
                    "target": target,
                    "equalised": done,
                    "fp32_score": found.reference.score,
                    "score": found.candidate.score,
                    "label_agreement": found.label_agreement,
                    "worst_weight_error": worst_weight_error(form, core),
                }
            )
    return rows


def worst_weight_error(form: fx.GraphModule, core: fx.GraphModule) -> float:
    """Of all channels: the largest error of a weight, as a share of the channel's largest."""
    from train.quantisation.fake import QuantizedConv2d

    found = [0.0]
    for path, rounded in core.named_modules():
        if isinstance(rounded, QuantizedConv2d):
            true = form.get_submodule(path).weight
            error = (rounded.weight * rounded.scale.view(-1, 1, 1, 1) - true).abs()
            largest = true.abs().amax((1, 2, 3))
            found.append((error.amax((1, 2, 3)) / largest)[largest > 0].max().item())
    return max(found)


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        f"{'network':<26}{'target':<11}{'equalised':<11}{'FP32':>8}{'INT8':>8}{'agreement':>11}"
        f"{'worst weight':>14}"
    ]
    for row in rows:
        done = "yes" if row["equalised"] else "no"
        lines.append(
            f"{row['network']:<26}{row['target']:<11}{done:<11}{row['fp32_score']:>8.4f}"
            f"{row['score']:>8.4f}{row['label_agreement']:>11.4%}{row['worst_weight_error']:>14.2%}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(parser(), main)
