"""FP16, and what stays FP32 in it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from export.half_precision import to_half
from export.rewrites import FOR_NVIDIA, rewrite
from train.model import DualHRNet, ModelConfig
from train.model.inference_form import inference_form

SIDE = 64
SHIFT = 300.1
"""FP16 would round what is so large to quarters."""


def _logits(network: DualHRNet) -> Tensor:
    core = to_half(rewrite(inference_form(network), FOR_NVIDIA, SIDE, SIDE))
    convolutions = [module for module in core.modules() if isinstance(module, nn.Conv2d)]
    assert {conv.weight.dtype for conv in convolutions} == {torch.float16}
    images = torch.randn(2, 1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return core(*images.half())


def test_logits_of_the_published_network_are_not_rounded(
    plausible: Callable, small_config: ModelConfig
) -> None:
    given = small_config.model_dump(exclude_defaults=True)
    network = plausible(ModelConfig.model_validate({**given, "architecture": "si-analytics"}))
    before = _logits(network)
    with torch.no_grad():
        network.heads.damage.classify.bias += SHIFT
    moved = _logits(network)[:, 1:] - before[:, 1:]
    assert before.dtype == torch.float32
    assert (moved - SHIFT).abs().max() < 1e-3
