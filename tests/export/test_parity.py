"""Parity: what agrees because nothing is computed, or nothing is shown, is no proof."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.planted_faults import AS_IT_IS, FAULTS
from export.deploy import DeployOptions, deploy_graph
from export.floor import FLOORS
from export.parity import compare, prove
from export.parity_pairs import ParityPair
from export.runners import fp32_runner, graph_runner
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


def shown(network: DualHRNet, pair: Pair, options: DeployOptions) -> ParityPair:
    """With the network's own maps."""
    return ParityPair(*pair, "here", fp32_runner(network, options)(*pair))


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
    options = DeployOptions(64, 64)
    compare(graph_runner(fp32_onnx, options), [shown(network, pair, options)], 0.5)
    with pytest.raises(ExportError, match="are NaN or infinite.*nothing was written"):
        shown(_overflowing(network), pair, options)


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
        compare(lambda pre, post: maps, [shown(network, pair, DeployOptions(64, 64))], 0.5)


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
        pairs = [shown(network, (scene.pre, scene.post), options)]
        found = prove("the graph", run, pairs, options, FLOORS["fp32"])
    assert found["label_agreement"] >= 0.9999


@pytest.mark.parametrize("precision", FLOORS)
@pytest.mark.parametrize("fault", [each for each in FAULTS if each != AS_IT_IS])
def test_a_planted_fault_is_below_every_floor(
    fault: str, precision: str, network: DualHRNet, pair: Pair
) -> None:
    options = DeployOptions(64, 64)
    pairs, run = [shown(network, pair, options)], fp32_runner(network, options)
    prove("the engine", run, pairs, options, FLOORS[precision])
    with pytest.raises(ExportError, match="does not label as the network does"):
        prove("the engine", FAULTS[fault](run), pairs, options, FLOORS[precision])


def test_a_class_that_is_hardly_predicted_is_not_measured(network: DualHRNet, pair: Pair) -> None:
    options = DeployOptions(64, 64)
    run = FAULTS["minor damage dropped"](fp32_runner(network, options))
    pairs = [ParityPair(*pair, "here", run(*pair))]
    with pytest.raises(ExportError, match=r"not measured: .*minor-damage \(0 pixels\)"):
        prove("the engine", run, pairs, options, FLOORS["fp32"])
    found = prove("the engine", run, pairs, options, FLOORS["fp32"].with_given(pixels=0))
    assert found["content"]["minor-damage"] == 0
    assert found["floor"]["pixels"] == 0
    assert "minor-damage" not in found["class_f1"]


def test_agreement_is_of_building_pixels() -> None:
    """9 of 10 pixels are background: nearly all labels agree, and every building is wrong."""
    reference, found = np.zeros((2, 100, 100), np.uint8)
    reference[:10], found[:10] = 4, 1
    building = np.where(reference > 0, 200, 20).astype(np.uint8)
    confidence = np.where(reference > 0, 200, 235).astype(np.uint8)
    image = np.zeros((100, 100, 3), np.uint8)
    pair = ParityPair(image, image, "here", (reference, building, confidence))
    parity = compare(lambda pre, post: (found, building, confidence), [pair], 0.5)
    assert parity["label_agreement"] == pytest.approx(0.9)
    assert parity["building_agreement"] == 0
    assert parity["class_f1"] == {"background": 1, "no-damage": 0, "destroyed": 0}


def test_probabilities_that_differ_are_below_the_floor(network: DualHRNet, pair: Pair) -> None:
    """Labels and order of the probabilities kept, their size halved above the threshold."""
    options = DeployOptions(64, 64)
    shown_pair = shown(network, pair, options)

    def flat(pre: np.ndarray, post: np.ndarray) -> tuple[np.ndarray, ...]:
        damage, building, confidence = shown_pair.maps
        higher = np.where(building > 127, 127 + (255 - building) // 2 + 30, building)
        building = np.clip(higher, 0, 255).astype(np.uint8)
        return damage, building, np.where(damage > 0, confidence, 255 - building)

    parity = compare(flat, [shown_pair], 0.5)
    assert parity["building_agreement"] == 1
    assert parity["probability_difference"] > 0.05
    with pytest.raises(ExportError, match="probabilities differ by"):
        prove("the engine", flat, [shown_pair], options, FLOORS["int8"])


def test_where_nothing_is_taken_for_building_nothing_is_measured() -> None:
    """An engine whose numbers are wrong everywhere, below the threshold like FP32's."""
    image = np.zeros((64, 64, 3), np.uint8)
    empty, low, high = (np.full((64, 64), value, np.uint8) for value in (0, 5, 250))
    low[0, 0], high[0, 0] = 6, 249
    pairs = [ParityPair(image, image, "here", (empty, low, high))]
    wrong = (empty, low + 95, high - 95)
    options = DeployOptions(64, 64, precision="int8")
    known = FLOORS["int8"].with_given(pixels=0)
    with pytest.raises(ExportError, match="not measured: neither FP32 nor it takes a pixel"):
        prove("the engine", lambda pre, post: pairs[0].maps, pairs, options, known)
    lowered = known.with_given(agreement=0)
    prove("the engine", lambda pre, post: pairs[0].maps, pairs, options, lowered)
    with pytest.raises(ExportError, match=r"probabilities differ by 0\.37"):
        prove("the engine", lambda pre, post: wrong, pairs, options, lowered)
