"""SI Analytics' Dual-HRNet, fifth place of the xView2 challenge: the whole network."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor

from runtime.errors import CheckpointError
from train.foreign.weights import Imported, first_parts, fit, infer_backbone, unwrapped
from train.model import DualHRNet, ModelConfig

_STREAMS = {"loc_net": "pre", "cls_net": "post"}
_EXCHANGES = {"loc": "to_pre", "cls": "to_post"}
_HEADS = {"loc_net": "building", "cls_net": "damage"}
_OTHER_FORMS = re.compile(r"fpn_(loc|cls)|fuse_last")
"""Parts that options of their training add, through which its logits go: a pyramid before the
heads, one head for both streams. The published weights are without."""


def convert(path: Path, state: dict[str, Tensor]) -> Imported:
    """Their network under this toolkit's names.

    Raises:
        CheckpointError: another network, or one with a missing or misshapen tensor.
    """
    short = unwrapped(path, state)
    state = {short[name]: tensor for name, tensor in state.items()}
    stream = {n.partition(".")[2]: t for n, t in state.items() if n.startswith("loc_net.")}
    if other := sorted({n.partition(".")[0] for n in state if _OTHER_FORMS.match(n)}):
        raise CheckpointError(
            f"{path}: has {', '.join(other)}, another form of their network than the published "
            "one, and without these it would compute something else; take the weights as they "
            "were published"
        )
    model = infer_backbone(path, stream, architecture="si-analytics", bn_momentum=0.01)
    if model is None:
        parts = ", ".join(list(first_parts(list(state)))[:8])
        raise CheckpointError(
            f"{path}: not a network published by SI Analytics; expected tensors named loc_net.*, "
            f"cls_net.*, fuse_loc_stage*, fuse_cls_stage*; found {parts or 'none'}"
        )
    placed = {name: _place(path, name, tensor, model) for name, tensor in state.items()}
    with torch.device("meta"):
        expected = DualHRNet(model).state_dict()
    tensors = {name: tensor for parts in placed.values() for name, tensor in parts.items()}
    weights, filled = fit(path, tensors, expected)
    left = [name for name, parts in placed.items() if not parts or parts.keys() - expected.keys()]
    return Imported(
        model=model,
        weights=weights,
        loaded=len(state) - len(left),
        renamed=sum(
            name not in left
            and (
                original != name
                or name.partition(".")[2] not in {p.partition(".")[2] for p in parts}
            )
            for (name, parts), original in zip(placed.items(), short, strict=True)
        ),
        filled=filled,
        dropped=first_parts(left),
        unknown=left,
    )


def _place(path: Path, name: str, tensor: Tensor, model: ModelConfig) -> dict[str, Tensor]:
    """One of their tensors under this toolkit's name, or names where it is split; {} if unknown."""
    scope, _, rest = name.partition(".")
    if match := re.fullmatch(r"fuse_(loc|cls)_stage(\d)", scope):
        # Their fuse stage K follows transition K, so it feeds stage K + 1.
        stage = int(match[2]) + 1
        return {f"exchange.stage{stage}.{_EXCHANGES[match[1]]}.{rest}": tensor}
    if scope not in _STREAMS:
        return {}
    if rest == "last_layer.0.weight":
        return _split_projection(path, name, tensor, f"heads.{_HEADS[scope]}.project", model)
    if match := re.fullmatch(r"last_layer\.([013])\.(\w+)", rest):
        layer = {"0": "project.branches.0", "1": "bn", "3": "classify"}[match[1]]
        return {f"heads.{_HEADS[scope]}.{layer}.{match[2]}": tensor}
    here = re.sub(r"^transitions\.(\d)", lambda match: f"transition{int(match[1]) + 1}", rest)
    return {f"{_STREAMS[scope]}.{here}": tensor}


def _split_projection(
    path: Path, name: str, tensor: Tensor, project: str, model: ModelConfig
) -> dict[str, Tensor]:
    """The 1x1 convolution over the concatenated branches, as one convolution a branch."""
    widths = model.branch_widths(4)
    if tensor.ndim != 4 or tensor.shape[1] != sum(widths):
        raise CheckpointError(
            f"{path}: {name} has shape {tuple(tensor.shape)}, expected {sum(widths)} input "
            f"channels, the branches of W{model.width}; take the file as it was published"
        )
    parts = tensor.split(widths, dim=1)
    return {f"{project}.branches.{branch}.weight": part for branch, part in enumerate(parts)}
