"""The network in PyTorch from uint8 images to the three maps: the reference for every engine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from runtime.damage import DAMAGE_CLASSES
from runtime.errors import CheckpointError, ImageError
from runtime.manifest import STRIDE
from train.gpu_memory import room_for
from train.model.decode import building_logit, class_logits, decode, full_precision
from train.model.dual_hrnet import normalise

Maps = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Damage, building and confidence map, uint8 [H, W] each."""

_SLACK = 3
"""Steps of 1/255 that two roundings, and an exponential in half precision, may add up to."""

Runner = Callable[[np.ndarray, np.ndarray], Maps]
"""One pair of images, uint8 [H, W, 3] each, in; its three maps out."""


def contradictions(maps: Maps, threshold: float) -> int:
    """Pixels on which maps do not fit one another, as only logits that are NaN make them.

    Where there is no building, confidence is 1 - its probability, which is below the
    threshold; where there is one, the likeliest of four classes has a quarter or more.
    """
    damage, building, confidence = (each.astype(np.int16) for each in maps)
    limit = 255 * threshold
    off = (damage > 0) & ((confidence < 255 // 4 - _SLACK) | (building < limit - _SLACK))
    off |= (damage == 0) & (
        (abs(building + confidence - 255) > _SLACK) | (building > limit + _SLACK)
    )
    return int(np.count_nonzero(off | (damage > DAMAGE_CLASSES[-1])))


@torch.inference_mode()
def predict_maps(
    network: nn.Module,
    pre: np.ndarray,
    post: np.ndarray,
    threshold: float = 0.5,
    dtype: torch.dtype | None = None,
) -> Maps:
    """Damage, building and confidence map of one pair.

    Args:
        network: a `DualHRNet`, or what gives logits as it does and has its `config`; in eval
            mode, on any device.
        pre: image before, uint8 [H, W, 3] RGB; H and W multiples of 32.
        post: image after, of the same shape.
        threshold: building probability from which damage is above 0.
        dtype: of the forward pass, by autocast; None: the weights'.

    Returns:
        Three uint8 [H, W] maps, as in the deploy contract.

    Raises:
        ImageError: a height or width that is no multiple of 32.
        CheckpointError: a logit is NaN or infinite, of which maps would show nothing.
        ToolkitError: a GPU's memory does not hold it.
    """
    height, width = pre.shape[:2]
    if height % STRIDE or width % STRIDE:
        raise ImageError(f"image is {height}x{width}; the network takes multiples of {STRIDE}")
    device = next(network.parameters()).device
    advice = (
        "compute on the processor (--device cpu), cut the tiles smaller, or in a training set "
        "validation.precision=training"
    )
    with room_for(f"a pair of {height}x{width}", advice):
        images = [torch.from_numpy(np.ascontiguousarray(i))[None].to(device) for i in (pre, post)]
        with torch.autocast(device.type, dtype) if dtype else contextlib.nullcontext():
            logits = network(*[normalise(image, network.config) for image in images])
        building, damage = map(full_precision, logits)
        bad = sum(int((~each.isfinite()).sum()) for each in (building, damage))
        maps = decode(building_logit(building), class_logits(damage), threshold)
        damage_map, building_map, confidence_map = (m[0].cpu().numpy() for m in maps)
    if bad:
        raise CheckpointError(
            f"{bad} of the network's {building.numel() + damage.numel()} logits on a pair of "
            f"{height}x{width} are NaN or infinite, as its numbers overflow; train anew with "
            "lower rates, or take another checkpoint"
        )
    return damage_map, building_map, confidence_map
