"""Test-time augmentation inside the graph, against the same done outside."""

from __future__ import annotations

import itertools

import numpy as np
import onnxruntime
import pytest
import torch

from export.deploy import DeployOptions, deploy_graph
from export.onnx_graph import export_onnx
from export.tta import transformed, views_of
from runtime.errors import ConfigError
from train.model.decode import building_logit, class_logits, decode
from train.model.dual_hrnet import normalise
from train.model.hrnet import upsample

SIDE = 64


def _by_hand(network, pre: np.ndarray, post: np.ndarray, views) -> np.ndarray:
    """Labels from the mean of the stride-4 logits of each view of the uint8 images."""
    total = 0
    for turns, mirrored in views:
        there = [np.rot90(image[:, ::-1] if mirrored else image, turns) for image in (pre, post)]
        images = [torch.from_numpy(np.ascontiguousarray(image))[None] for image in there]
        building, damage = network.coarse(*[normalise(i, network.config) for i in images])
        logits = torch.cat([building_logit(building), class_logits(damage)], 1)
        logits = torch.rot90(logits, -turns, (2, 3))
        total = total + (logits.flip(3) if mirrored else logits)
    full = upsample(total / len(views), 4)
    return decode(full[:, :1], full[:, 1:])[0][0].numpy()


VIEWS = {
    "rotate180": [(0, False), (2, False)],
    "flips": [(0, False), (0, True), (2, False), (2, True)],
    "d4": list(itertools.product(range(4), (False, True))),
}


@pytest.mark.parametrize(
    "tta", [pytest.param(tta, marks=pytest.mark.slow) if tta == "d4" else tta for tta in VIEWS]
)
def test_the_graph_averages_the_logits_of_its_views(plausible, pair, tta: str) -> None:
    network = plausible()
    options = DeployOptions(height=SIDE, width=SIDE, tta=tta)
    model = export_onnx(deploy_graph(network, options), options)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (damage,) = session.run(["damage"], {"pre": pair[0][None], "post": pair[1][None]})
    with torch.no_grad():
        expected = _by_hand(network, *pair, VIEWS[tta])
        plain = _by_hand(network, *pair, [(0, False)])
    assert np.mean(damage[0] == expected) >= 0.9999
    assert np.mean(plain == expected) < 0.9999


@pytest.mark.parametrize("tta", VIEWS)
def test_a_transformed_pair_has_the_transformed_logits(tta: str) -> None:
    """Averaging over a group of symmetries makes any network equivariant to it."""
    weight = torch.randn(2, 6, 3, 3)

    def logits(pre, post):
        return torch.nn.functional.conv2d(torch.cat([pre, post], 1), weight, padding=1)

    pre, post = torch.randn(2, 1, 3, 8, 8)
    once = transformed(logits, views_of(tta), pre, post)
    for turns, mirrored in VIEWS[tta]:

        def turn(x, turns=turns, mirrored=mirrored):
            return torch.rot90(x.flip(3) if mirrored else x, turns, (2, 3))

        again = transformed(logits, views_of(tta), turn(pre), turn(post))
        assert torch.allclose(again, turn(once), atol=1e-5)


def test_a_quarter_turn_needs_a_square_and_a_name_must_be_known() -> None:
    with pytest.raises(ConfigError, match="needs a square one"):
        DeployOptions(height=64, width=96, tta="d4")
    with pytest.raises(ConfigError, match="expected none, flips, rotate180, d4"):
        DeployOptions(tta="rotate90")
