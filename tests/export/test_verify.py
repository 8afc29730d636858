"""Parity: what agrees only because nothing is computed is no proof."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from export.deploy import DeployOptions, deploy_graph
from export.verify import graph_runner, measure, prove
from runtime.errors import CheckpointError, ExportError
from train.checkpoint import load_checkpoint, save_checkpoint
from train.inference import contradictions, predict_maps
from train.model import DualHRNet
from train.model.decode import decode
from train.synthetic.scene import make_scene

Pair = tuple[np.ndarray, np.ndarray]


@pytest.fixture
def network(small_checkpoint: Path) -> DualHRNet:
    return load_checkpoint(small_checkpoint).network()


def _overflowing(network: DualHRNet) -> DualHRNet:
    """Finite weights whose logits are not: two layers of 1e30 each."""
    with torch.no_grad():
        network.heads.damage[-1].weight.fill_(1e38)
        network.heads.damage[-1].bias.fill_(3e38)
    return network


def test_logits_that_are_no_numbers_are_refused(network: DualHRNet, pair: Pair) -> None:
    predict_maps(network, *pair)
    with pytest.raises(CheckpointError, match=r"of the network's 24576 logits on a pair of 64x64"):
        predict_maps(_overflowing(network), *pair)


def test_parity_with_logits_that_are_no_numbers_is_no_parity(
    network: DualHRNet, pair: Pair, fp32_onnx: object
) -> None:
    run = graph_runner(fp32_onnx, DeployOptions(64, 64))
    measure(run, network, [pair], 0.5)
    with pytest.raises(ExportError, match="are NaN or infinite.*nothing was written"):
        measure(run, _overflowing(network), [pair], 0.5)


@pytest.mark.parametrize("bad", ["building", "damage", "both"])
def test_an_engine_whose_logits_are_nan_is_refused(
    bad: str, network: DualHRNet, pair: Pair
) -> None:
    """As any library makes maps of NaN: comparisons are false, and NaN becomes 0."""
    building, damage = torch.randn(1, 1, 64, 64), torch.randn(1, 4, 64, 64)
    if bad != "damage":
        building += float("nan")
    if bad != "building":
        building, damage = building + (bad == "damage") * 5, damage + float("nan")
    maps = tuple(each[0].numpy() for each in decode(building, damage))
    with pytest.raises(ExportError, match="its maps contradict each other on .* pixels"):
        prove("the engine", lambda pre, post: maps, network, [pair], DeployOptions(64, 64))


@pytest.mark.parametrize("threshold", [0.02, 0.3, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("scale", [0.1, 1, 10, 1000])
def test_maps_of_numbers_never_contradict_each_other(threshold: float, scale: float) -> None:
    random = torch.Generator().manual_seed(0)
    building = torch.randn(1, 1, 256, 256, generator=random) * scale
    damage = torch.randn(1, 4, 256, 256, generator=random) * scale
    damage[:, :, :9] = 0  # four alike: a quarter each
    maps = tuple(each[0].numpy() for each in decode(building, damage, threshold))
    assert contradictions(maps, threshold) == 0


def test_a_dead_network_agrees_with_nothing(
    small_checkpoint: Path, tmp_path: Path, error_line: Callable
) -> None:
    loaded = load_checkpoint(small_checkpoint)
    for name, tensor in loaded.model_state.items():
        if name.startswith("heads.") and name.endswith("weight"):
            tensor.zero_()
    save_checkpoint(tmp_path / "dead.pt", loaded)
    line = error_line(
        "export.to_onnx", "--checkpoint", tmp_path / "dead.pt", "--size", 64, 64,
        "--out", tmp_path / "m.onnx",
    )  # fmt: skip
    assert "hold one value each on all 4096 pixels" in line
    assert not (tmp_path / "m.onnx").exists()


@pytest.mark.parametrize("tta", ["none", "flips", "rotate180", "d4"])
def test_a_graph_with_views_is_compared_with_the_mean_of_the_views(plausible, tta) -> None:
    network = plausible()
    options = DeployOptions(64, 64, tta=tta)
    graph = deploy_graph(network, options)
    scene = make_scene(3, 0, 64)

    def run(pre, post):
        maps = graph(*[torch.from_numpy(image)[None] for image in (pre, post)])
        return tuple(each[0].numpy() for each in maps)

    with torch.inference_mode():
        found = prove("the graph", run, network, [(scene.pre, scene.post)], options)
    assert found["label_agreement"] >= 0.9999
