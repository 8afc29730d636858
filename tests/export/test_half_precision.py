"""FP16, and what stays FP32 in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from export.half_precision import check_activations, to_half
from export.rewrites import FOR_NVIDIA, rewrite
from runtime.errors import ExportError
from train.checkpoint import load_checkpoint, save_checkpoint
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


def test_a_weight_beyond_half_is_refused_by_its_name(plausible: Callable) -> None:
    network = plausible()
    with torch.no_grad():
        network.heads.building[-1].weight.view(-1)[0] = 1e6
    with pytest.raises(ExportError, match=r"heads.building.2.weight has values beyond 65504"):
        to_half(inference_form(network))


def test_an_activation_beyond_half_is_refused_by_its_layer(
    plausible: Callable, pair: tuple[np.ndarray, np.ndarray]
) -> None:
    network = plausible()
    check_activations(network, [pair])
    with torch.no_grad():
        network.pre.bn1.weight.fill_(6e4)
        network.pre.bn1.bias.fill_(6e4)
    with pytest.raises(ExportError, match=r"pre\.conv1.*its output reaches .* FP16 ends at 65504"):
        check_activations(network, [pair])


def test_the_command_writes_no_fp16_graph_that_overflows(
    small_checkpoint: Path, tmp_path: Path, error_line: Callable
) -> None:
    loaded = load_checkpoint(small_checkpoint)
    loaded.model_state["pre.bn1.weight"].mul_(100)
    loaded.model_state["pre.bn1.bias"].fill_(6.5e4)
    save_checkpoint(tmp_path / "loud.pt", loaded)
    line = error_line(
        "export.to_onnx", "--checkpoint", tmp_path / "loud.pt", "--size", 64, 64, "--fp16",
        "--out", tmp_path / "m.onnx",
    )  # fmt: skip
    assert "pre.conv1: its output reaches" in line
    assert "FP16 ends at 65504" in line
    assert not (tmp_path / "m.onnx").exists()
