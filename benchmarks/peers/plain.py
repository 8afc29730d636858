"""The network as an ordinary user deploys it: torch.onnx, and NumPy before and after.

The graph takes float32 NCHW images that are normalised already and gives the two heads'
logits at full size; nothing is folded but what the exporter folds.
"""

from __future__ import annotations

import logging
import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from train.inference import Maps
    from train.model import DualHRNet, ModelConfig

INPUTS, OUTPUTS = ("pre", "post"), ("building", "damage")


def export_plain(network: DualHRNet, size: tuple[int, int], path: Path) -> None:
    """Write the network as `torch.onnx.export` makes it, with the exporter's own settings."""
    import torch

    images = torch.zeros(1, 3, *size), torch.zeros(1, 3, *size)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            images,
            str(path),
            dynamo=True,
            input_names=INPUTS,
            output_names=OUTPUTS,
            verbose=False,
        )


def preprocess(image: NDArray[np.uint8], config: ModelConfig) -> NDArray[np.float32]:
    """uint8 RGB [H, W, 3] -> float32 [1, 3, H, W], scaled to 0..1, minus mean, over std."""
    import numpy as np

    mean, std = (np.array(each, np.float32) for each in (config.mean, config.std))
    scaled = (image.astype(np.float32) / np.float32(255.0) - mean) / std
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])


def postprocess(
    building: NDArray[np.float32], damage: NDArray[np.float32], threshold: float
) -> Maps:
    """Logits float32 [1, 1 or 2, H, W] and [1, 4 or 5, H, W] -> the maps of the deploy contract.

    The same as `train.model.decode`, in NumPy.
    """
    import numpy as np

    logit = building[0, 0] if building.shape[1] == 1 else building[0, 1] - building[0, 0]
    classes = damage[0, -4:]
    with np.errstate(over="ignore"):  # exp(-logit) may be infinite: a probability of 0
        probability = 1 / (1 + np.exp(-logit))
    there = logit >= math.log(threshold / (1 - threshold))
    likelihood = 1 / np.exp(classes - classes.max(0)).sum(0)
    confidence = np.where(there, likelihood, 1 - probability)
    return (
        np.where(there, classes.argmax(0) + 1, 0).astype(np.uint8),
        np.round(probability * 255).astype(np.uint8),
        np.round(confidence * 255).astype(np.uint8),
    )
