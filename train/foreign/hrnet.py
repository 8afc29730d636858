"""ImageNet weights of HRNetV2, as both streams' start.

Wang et al., "Deep High-Resolution Representation Learning for Visual Recognition" (2020).
The authors', OpenMMLab's and timm's files name the backbone's tensors alike; OpenMMLab puts
`backbone.` before them, and wrappers such as DataParallel put theirs. Their classification
heads differ, but none is of use here.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from runtime.errors import CheckpointError
from train.foreign.weights import Imported, first_parts, fit, infer_backbone, unwrapped
from train.model import ModelConfig, build_network
from train.model.hrnet import HRNet

_HEADS = {
    *("incre_modules", "downsamp_modules", "final_layer", "classifier"),  # authors, timm
    *("neck", "head", "decode_head", "auxiliary_head"),  # OpenMMLab
}


def backbone(path: Path, state: dict[str, Tensor]) -> tuple[ModelConfig, dict[str, Tensor]]:
    """What a file holds, whole or in part: the architecture that it implies, and every tensor
    under its name without what wrappers put before it.

    Raises:
        CheckpointError: another network, or several.
    """
    short = unwrapped(path, state, "backbone")
    tensors = {short[name]: tensor for name, tensor in state.items()}
    model = infer_backbone(path, tensors)
    if model is None:
        parts = ", ".join(list(first_parts(list(tensors)))[:8])
        raise CheckpointError(
            f"{path}: not an HRNetV2; expected tensors named conv1, bn1, layer1, transition1, "
            f"stage2, ..., also after backbone. or module.; found {parts or 'none'}"
        )
    return model, tensors


def convert(path: Path, state: dict[str, Tensor], seed: int) -> Imported:
    """Their backbone as both streams; exchange and heads are initialised with `seed`.

    Raises:
        CheckpointError: another network, or a backbone with a missing or misshapen tensor.
    """
    model, tensors = backbone(path, state)
    with torch.device("meta"):
        expected = HRNet(model).state_dict()
    stream, filled = fit(path, tensors, expected)
    weights = build_network(model, seed).state_dict()
    fresh = len(weights) - 2 * len(stream)
    for name, tensor in stream.items():
        # The streams start alike and then part: each needs its own memory.
        weights[f"pre.{name}"], weights[f"post.{name}"] = tensor, tensor.clone()
    left = [name for name in tensors if name not in expected]
    return Imported(
        model=model,
        weights=weights,
        loaded=len(expected) - filled,
        renamed=sum(name in expected and name not in state for name in tensors),
        filled=filled,
        fresh=fresh,
        dropped=first_parts(left),
        unknown=[name for name in left if name.partition(".")[0] not in _HEADS],
    )
