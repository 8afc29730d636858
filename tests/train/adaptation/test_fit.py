"""Fitting to corrections: what it may change, what it must not see, and that it learns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from runtime.buildings.spans import Spans
from runtime.errors import ToolkitError
from train.adaptation.corrections import Correction
from train.adaptation.examples import BUILDING, Example, examples_of
from train.adaptation.fit import FitConfig, fit
from train.adaptation.loss import Weights, loss_of
from train.adaptation.statistics import estimate_statistics
from train.adaptation.windows import Patch
from train.inference import predict_maps
from train.model.dual_hrnet import build_network

SIDE = 64
NONE = Spans(*(np.zeros(0, np.int64) for _ in range(4)))
BOXES = {(4, 4): 4, (4, 36): 1, (36, 4): 1, (36, 36): 4}
"""Top left corners of buildings of 20 x 20 pixels, and their classes."""


def _square(top: int, left: int, damage: int) -> Correction:
    rows = np.arange(top, top + 20)
    spans = Spans(0 * rows, rows, np.full_like(rows, left), np.full_like(rows, left + 20))
    return Correction("it", "drawn", damage, spans, NONE)


def _patch() -> Patch:
    """Destroyed buildings are dark after, the others bright."""
    random = np.random.default_rng(0)
    pre, post = random.integers(90, 130, (2, SIDE, SIDE, 3), np.uint8)
    for (top, left), damage in BOXES.items():
        there = (slice(top, top + 20), slice(left, left + 20))
        pre[there] = 220
        post[there] = 20 if damage == 4 else 220
    return Patch(0, 0, pre, post, np.ones((SIDE, SIDE), bool))


CORRECTIONS = [_square(*corner, damage) for corner, damage in BOXES.items()]


def _examples(network: torch.nn.Module) -> list[Example]:
    return examples_of(network, [_patch()], CORRECTIONS)


@pytest.mark.parametrize(
    ("fields", "method"),
    [({"streams": "siamese"}, "lora"), ({"architecture": "si-analytics"}, "heads")],
)
def test_corrected_buildings_are_learnt(small, fields: dict, method: str) -> None:
    network = build_network(small(**fields), 0).eval()
    patch = _patch()
    estimate_statistics(network, [patch], prior=0)  # a fresh network's fit nothing
    truth = np.zeros((SIDE, SIDE), np.uint8)
    for (top, left), value in BOXES.items():
        truth[top : top + 20, left : left + 20] = value

    def right(network: torch.nn.Module) -> float:
        return float((predict_maps(network, patch.pre, patch.post)[0] == truth)[truth > 0].mean())

    # Of a network of random weights there is nothing to keep.
    config = FitConfig(method, 40, 3e-3, batch=1, weights=Weights(1, 1, 0, 0))
    adapted = fit(network, _examples(network), [], CORRECTIONS, config)
    assert right(network) < 0.5  # what one class for all would have right
    assert right(adapted) > 0.65


def test_heads_leave_the_backbone_and_no_method_touches_statistics(small) -> None:
    network = build_network(small(), 0).eval()
    before = {name: each.clone() for name, each in network.state_dict().items()}
    for method, begins in (("heads", ("heads.",)), ("lora", ("",))):
        config = FitConfig(method, steps=2, batch=1)
        after = fit(network, _examples(network), [], CORRECTIONS, config).state_dict()
        changed = {name for name, each in after.items() if not torch.equal(each, before[name])}
        assert changed
        assert all(name.startswith(begins) for name in changed)
        assert not any("running" in name for name in changed)
        assert all(torch.equal(each, before[n]) for n, each in network.state_dict().items())


def test_what_was_left_out_has_no_influence(small) -> None:
    network = build_network(small(), 0).eval()
    config = FitConfig("heads", steps=3, batch=1)
    states = []
    for value in (1, 2):  # of the one that is left out
        corrections = [replace(CORRECTIONS[0], damage=value), *CORRECTIONS[1:]]
        examples = [each.without([0]) for each in examples_of(network, [_patch()], corrections)]
        states.append(fit(network, examples, [], corrections, config).state_dict())
    assert all(torch.equal(each, states[1][name]) for name, each in states[0].items())


def test_a_loss_that_is_not_finite_is_told(small) -> None:
    network = build_network(small(), 0).eval()
    examples = _examples(network)
    network.heads.bn.weight.data[:] = float("nan")
    with pytest.raises(ToolkitError, match="adaptation step 1: the loss is nan; nothing is"):
        fit(network, examples, [], CORRECTIONS, FitConfig("heads", steps=1, batch=1))


def _loss(logits: torch.Tensor, before: torch.Tensor, weights: Weights, owner: np.ndarray) -> float:
    return loss_of(
        logits, before, torch.from_numpy(owner)[None].long(),
        torch.ones(1, *owner.shape, dtype=torch.bool), torch.tensor([4, 1]), torch.ones(256),
        weights,
    ).item()  # fmt: skip


def test_each_building_weighs_the_same_whatever_its_size() -> None:
    """By hand: ln 4 where all classes are alike, ln 2 where a building is as likely as not."""
    owner = np.zeros((8, 8), np.int32)
    owner[:4, :4], owner[7, 7] = 1, 2
    logits = torch.zeros(1, 5, 8, 8)
    only = {"keep_building": 0, "keep_damage": 0}
    assert _loss(logits, logits, Weights(1, 0, **only), owner) == pytest.approx(np.log(4))
    assert _loss(logits, logits, Weights(0, 1, **only), owner) == pytest.approx(np.log(2))
    logits[0, 1, 7, 7] = 50.0  # the second, of one pixel, is surely right
    assert _loss(logits, logits, Weights(1, 0, **only), owner) == pytest.approx(np.log(4) / 2)


def test_keeping_costs_nothing_where_nothing_changed_and_corrected_pixels_never() -> None:
    random = torch.Generator().manual_seed(0)
    before = torch.randn(1, 5, 8, 8, generator=random)
    owner = np.zeros((8, 8), np.int32)
    owner[:4] = 1
    only = Weights(0, 0, keep_building=1, keep_damage=1)
    assert _loss(before, before, only, owner) == pytest.approx(0, abs=1e-6)
    changed = before.clone()
    changed[:, :, :4] += torch.randn(1, 5, 4, 8, generator=random)
    assert _loss(changed, before, only, owner) == pytest.approx(0, abs=1e-6)
    changed[:, BUILDING, 5] += 1
    assert _loss(changed, before, only, owner) > 0.01
