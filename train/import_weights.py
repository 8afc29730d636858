"""Published weights into a checkpoint of this toolkit: ``python -m train.import_weights``."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from runtime import cli

if TYPE_CHECKING:
    from torch import Tensor

    from train.model import ModelConfig

_STREAMS = {"loc_net": "pre", "cls_net": "post"}
_EXCHANGES = {"loc": "to_pre", "cls": "to_post"}
_HEADS = {"loc_net": "building", "cls_net": "damage"}


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m train.import_weights", description=__doc__)
    p.add_argument("--source", required=True, choices=["si-analytics"], help="who published FILE")
    p.add_argument("file", type=Path, metavar="FILE", help="their weights (.pth)")
    p.add_argument("--out", required=True, type=Path, metavar="CKPT", help="checkpoint to write")
    return p


def main(args: argparse.Namespace) -> None:
    from runtime.errors import CheckpointError
    from train.checkpoint import Checkpoint, read_torch_file, save_checkpoint

    content = read_torch_file(args.file)
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not state or "loc_net.transitions.0.0.0.weight" not in state:
        raise CheckpointError(
            f"{args.file}: not a network published by SI Analytics; "
            "expected tensors named loc_net.*, cls_net.*, fuse_loc_stage*, fuse_cls_stage*"
        )
    model = infer_si_analytics(state)
    weights = rename_si_analytics(state, model)
    checkpoint = Checkpoint(model=model, model_state=weights, path=args.file)
    network = checkpoint.network()
    save_checkpoint(args.out, checkpoint)
    parameters = sum(p.numel() for p in network.parameters())
    cli.note(
        f"{args.out}: {model.architecture} W{model.width}, {parameters / 1e6:.1f} M parameters, "
        f"{len(state)} tensors imported, none dropped"
    )


def infer_si_analytics(state: dict[str, Tensor]) -> ModelConfig:
    """The architecture that the tensors' names and shapes imply."""
    from train.model import ModelConfig

    def count(pattern: str) -> int:
        found = {int(m[1]) for key in state if (m := re.match(pattern, key))}
        return max(found, default=0) + 1

    return ModelConfig(
        architecture="si-analytics",
        width=state["loc_net.transitions.0.0.0.weight"].shape[0],
        stem_width=state["loc_net.conv1.weight"].shape[0],
        bottlenecks=count(r"loc_net\.layer1\.(\d+)\."),
        modules=tuple(count(rf"loc_net\.stage{stage}\.(\d+)\.") for stage in (2, 3, 4)),
        bn_momentum=0.01,
        blocks=count(r"loc_net\.stage2\.0\.branches\.0\.(\d+)\."),
    )


def rename_si_analytics(state: dict[str, Tensor], model: ModelConfig) -> dict[str, Tensor]:
    """Their tensors under this toolkit's names; the projection is split by branch."""
    renamed: dict[str, Tensor] = {}
    for key, tensor in state.items():
        scope, _, rest = key.partition(".")
        if match := re.fullmatch(r"fuse_(loc|cls)_stage(\d)", scope):
            # Their fuse stage K follows transition K, so it feeds stage K + 1.
            stage = int(match[2]) + 1
            renamed[f"exchange.stage{stage}.{_EXCHANGES[match[1]]}.{rest}"] = tensor
        elif scope in _STREAMS and rest.startswith("last_layer."):
            renamed.update(_head(_HEADS[scope], rest.removeprefix("last_layer."), tensor, model))
        elif scope in _STREAMS:
            name = re.sub(r"^transitions\.(\d)", lambda m: f"transition{int(m[1]) + 1}", rest)
            renamed[f"{_STREAMS[scope]}.{name}"] = tensor
        else:
            renamed[key] = tensor
    return renamed


def _head(head: str, rest: str, tensor: Tensor, model: ModelConfig) -> dict[str, Tensor]:
    layer, _, kind = rest.partition(".")
    prefix = f"heads.{head}"
    if layer == "0" and kind == "weight":
        parts = tensor.split(model.branch_widths(4), dim=1)
        return {
            f"{prefix}.project.branches.{i}.weight": p.contiguous() for i, p in enumerate(parts)
        }
    if layer == "0":
        return {f"{prefix}.project.branches.0.bias": tensor}
    return {f"{prefix}.{'bn' if layer == '1' else 'classify'}.{kind}": tensor}


if __name__ == "__main__":
    cli.run(parser(), main)
