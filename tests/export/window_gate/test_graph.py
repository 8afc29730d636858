"""A gate's graph beside PyTorch on averaged pixels."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from export.deploy import DeployOptions
from export.onnx_graph import export_onnx
from export.runners import graph_runner
from export.window_gate.graph import GateGraph, gate_options, reduction_of
from train.model.decode import building_logit
from train.model.dual_hrnet import normalise


@pytest.mark.parametrize(
    ("fields", "reduction"),
    [
        ({}, 2), ({"streams": "siamese"}, 1), ({"streams": "single"}, 2),
        ({"architecture": "si-analytics"}, 1),
    ],
)  # fmt: skip
def test_it_computes_the_building_probability_of_the_network(
    small, plausible, pair, fields, reduction
):
    network = plausible(small(**fields))
    options = DeployOptions(height=64, width=64, threshold=0.4)
    graph = GateGraph(network, options, reduction).eval()
    damage, building, confidence = graph_runner(export_onnx(graph, options), options)(*pair)
    images = [normalise(torch.from_numpy(each)[None], network.config) for each in pair]
    with torch.inference_mode():
        coarse = network.coarse(*(F.avg_pool2d(each, reduction) for each in images))[0]
    expected = torch.sigmoid(building_logit(coarse))[0, 0].numpy()
    side = 4 * reduction
    expected = expected.repeat(side, 0).repeat(side, 1)
    np.testing.assert_allclose(building / 255, expected, atol=0.6 / 255)
    clear = abs(expected - 0.4) > 1e-3
    np.testing.assert_array_equal(damage[clear], expected[clear] >= 0.4)
    likely = np.where(damage, expected, 1 - expected)
    np.testing.assert_allclose(confidence / 255, likely, atol=0.6 / 255)


def test_the_damage_heads_are_not_in_it(small, plausible):
    network = plausible(small())
    names = dict(GateGraph(network, DeployOptions(height=64, width=64), 1).named_parameters())
    assert any("heads.building" in name for name in names)
    assert not any("heads.damage" in name for name in names)


def test_half_precision_follows_the_engine():
    engine = DeployOptions(precision="int8", half_around=True, high_precision=("x",))
    assert gate_options(engine).precision == "fp16"
    assert gate_options(DeployOptions(precision="int8")).precision == "fp32"
    assert gate_options(DeployOptions(tta="flips")).tta == "none"


@pytest.mark.parametrize(
    ("scale", "height", "width", "expected"),
    [
        (None, 1024, 1024, 1), ((0.8, 1.2), 1024, 1024, 1), ((0.5, 1.0), 1024, 1024, 2),
        ((0.4, 1.0), 1024, 1024, 2), ((0.25, 1.0), 1024, 1024, 4), ((0.25, 1), 1024, 64, 2),
        ((0.25, 1), 96, 1024, 1), ((1.5, 2.0), 512, 512, 1),
    ],
)  # fmt: skip
def test_pixels_are_reduced_as_far_as_training_went(scale, height, width, expected):
    assert reduction_of(scale, height, width) == expected
