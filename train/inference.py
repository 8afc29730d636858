"""The network in PyTorch from uint8 images to the three maps: the reference for every engine."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from runtime.errors import ImageError
from runtime.manifest import STRIDE
from train.model import DualHRNet
from train.model.decode import building_logit, class_logits, decode
from train.model.dual_hrnet import normalise

Maps = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Damage, building and confidence map, uint8 [H, W] each."""

Runner = Callable[[np.ndarray, np.ndarray], Maps]
"""One pair of images, uint8 [H, W, 3] each, in; its three maps out."""


@torch.inference_mode()
def predict_maps(
    network: DualHRNet, pre: np.ndarray, post: np.ndarray, threshold: float = 0.5
) -> Maps:
    """Damage, building and confidence map of one pair.

    Args:
        network: in eval mode, on any device.
        pre, post: uint8 [H, W, 3] RGB; H and W multiples of 32.
    Returns:
        Three uint8 [H, W] maps, as in the deploy contract.
    """
    height, width = pre.shape[:2]
    if height % STRIDE or width % STRIDE:
        raise ImageError(f"image is {height}x{width}; the network takes multiples of {STRIDE}")
    device = next(network.parameters()).device
    images = [torch.from_numpy(np.ascontiguousarray(i))[None].to(device) for i in (pre, post)]
    building, damage = network(*[normalise(image, network.config) for image in images])
    maps = decode(building_logit(building), class_logits(damage), threshold)
    damage_map, building_map, confidence_map = (m[0].cpu().numpy() for m in maps)
    return damage_map, building_map, confidence_map
