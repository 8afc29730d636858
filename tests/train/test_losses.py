"""Losses against closed forms and a second implementation."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from train.config import LossConfig
from train.losses import building_loss, damage_loss, total_loss

WEIGHTS = (1.0, 1.5, 2.0, 3.0, 4.0)


def test_building_loss_of_an_undecided_network() -> None:
    target = torch.zeros(1, 2, 2, dtype=torch.uint8)
    target[0, 0] = 1
    # p = 0.5 everywhere: BCE = ln 2; Dice = 1 - (2 * 1 + 1) / (2 + 2 + 1).
    expected = 0.5 * math.log(2) + 0.5 * (1 - 3 / 5)
    assert building_loss(torch.zeros(1, 1, 2, 2), target).item() == pytest.approx(expected)


def test_two_logits_mean_the_same_as_their_difference() -> None:
    logits = torch.randn(2, 2, 8, 8)
    target = torch.randint(0, 2, (2, 8, 8), dtype=torch.uint8)
    single = logits[:, 1:] - logits[:, :1]
    assert torch.allclose(building_loss(logits, target), building_loss(single, target))


def test_damage_loss_is_the_weighted_mean_over_counted_pixels() -> None:
    logits = torch.randn(2, 5, 8, 8)
    target = torch.randint(0, 5, (2, 8, 8), dtype=torch.uint8)
    target[0, :4] = 255
    expected = F.cross_entropy(
        logits, target.long(), torch.tensor(WEIGHTS), ignore_index=255, reduction="mean"
    )
    assert torch.allclose(damage_loss(logits, target, WEIGHTS), expected)


def test_ignored_pixels_have_no_gradient() -> None:
    logits = torch.randn(1, 5, 4, 4, requires_grad=True)
    target = torch.full((1, 4, 4), 255, dtype=torch.uint8)
    target[0, 0, 0] = 3
    damage_loss(logits, target, WEIGHTS).backward()
    assert logits.grad[0, :, 0, 0].abs().sum() > 0
    assert logits.grad[0].sum(0).abs().sum() == pytest.approx(
        logits.grad[0, :, 0, 0].sum().abs().item(), abs=1e-6
    )
    assert logits.grad[0, :, 1:].abs().sum() == 0


@pytest.mark.parametrize("channels", [4, 5])
def test_nothing_to_learn_is_zero_not_nan(channels: int) -> None:
    logits = torch.randn(1, channels, 4, 4, requires_grad=True)
    target = torch.full((1, 4, 4), 255, dtype=torch.uint8)
    loss = damage_loss(logits, target, WEIGHTS)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.abs().sum() == 0


def test_four_channels_learn_from_buildings_alone() -> None:
    logits = torch.randn(1, 4, 4, 4)
    target = torch.zeros(1, 4, 4, dtype=torch.uint8)
    target[0, 0, :4] = torch.tensor([1, 2, 3, 4], dtype=torch.uint8)
    expected = F.cross_entropy(
        logits[:, :, 0], torch.tensor([[0, 1, 2, 3]]), torch.tensor(WEIGHTS[1:])
    )
    assert torch.allclose(damage_loss(logits, target, WEIGHTS), expected)


def test_total_is_three_to_seven() -> None:
    outputs = (torch.randn(1, 1, 4, 4), torch.randn(1, 5, 4, 4))
    building = torch.ones(1, 4, 4, dtype=torch.uint8)
    parts = total_loss(outputs, building, building, LossConfig())
    assert torch.allclose(parts["loss"], 0.3 * parts["building"] + 0.7 * parts["damage"])
