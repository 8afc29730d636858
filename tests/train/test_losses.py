"""Losses against closed forms and second implementations."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from train.config import BuildingTerms, DamageTerms, DistillConfig, LossConfig
from train.losses import StepSums, dice_sums, step_losses, target_sums
from train.losses.damage import ordinal
from train.losses.distill import teacher_loss
from train.losses.lovasz import lovasz_error
from train.losses.total import building_share, damage_share

WEIGHTS = (1.0, 1.5, 2.0, 3.0, 4.0)
ONLY = {"cross_entropy": 0.0}


def _sums(logits: Tensor, building: Tensor, damage: Tensor, config: LossConfig) -> StepSums:
    return StepSums(*target_sums(building, damage, config), *dice_sums(logits, building))


def _building_loss(logits: Tensor, target: Tensor, **terms: float) -> Tensor:
    config = LossConfig(building=BuildingTerms(**terms))
    return building_share(logits, target, config, _sums(logits, target, target, config))


def _damage_loss(logits: Tensor, target: Tensor, **terms: float) -> Tensor:
    config = LossConfig(damage=DamageTerms(**terms), class_weights=WEIGHTS)
    sums = StepSums(*target_sums((target > 0).byte(), target, config))
    return damage_share(logits, target, config, sums)


def _pair(seed: int = 0, size: int = 8) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    target = torch.randint(0, 5, (2, size, size), dtype=torch.uint8, generator=random)
    target[0, : size // 2] = 255
    return torch.randn(2, 5, size, size, generator=random), target


def test_building_loss_of_an_undecided_network() -> None:
    target = torch.zeros(1, 2, 2, dtype=torch.uint8)
    target[0, 0] = 1
    # p = 0.5 everywhere: BCE = ln 2; Dice = 1 - (2 * 1 + 1) / (2 + 2 + 1).
    expected = 0.5 * math.log(2) + 0.5 * (1 - 3 / 5)
    assert _building_loss(torch.zeros(1, 1, 2, 2), target).item() == pytest.approx(expected)


def test_dice_has_the_gradient_of_its_closed_form() -> None:
    logits = torch.randn(2, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    target = torch.randint(0, 2, (2, 8, 8), dtype=torch.uint8)
    _building_loss(logits, target, cross_entropy=0, dice=1).backward()
    other = logits.detach().clone().requires_grad_()
    p = torch.sigmoid(other[:, 0])
    (1 - (2 * (p * target).sum() + 1) / (p.sum() + target.sum() + 1)).backward()
    torch.testing.assert_close(logits.grad, other.grad, rtol=1e-12, atol=1e-15)


def test_two_logits_mean_the_same_as_their_difference() -> None:
    logits = torch.randn(2, 2, 8, 8)
    target = torch.randint(0, 2, (2, 8, 8), dtype=torch.uint8)
    single = logits[:, 1:] - logits[:, :1]
    assert torch.allclose(_building_loss(logits, target), _building_loss(single, target))


def test_damage_loss_is_the_weighted_mean_over_judged_pixels() -> None:
    logits, target = _pair()
    expected = F.cross_entropy(logits, target.long(), torch.tensor(WEIGHTS), ignore_index=255)
    assert torch.allclose(_damage_loss(logits, target), expected)


@pytest.mark.parametrize("term", ["cross_entropy", "focal", "lovasz", "ordinal"])
@pytest.mark.parametrize("channels", [4, 5])
def test_ignored_pixels_have_no_gradient(term: str, channels: int) -> None:
    logits = torch.randn(1, channels, 4, 4, requires_grad=True)
    target = torch.full((1, 4, 4), 255, dtype=torch.uint8)
    target[0, 0, :2] = 3
    _damage_loss(logits, target, **(ONLY | {term: 1.0})).backward()
    assert logits.grad[0, :, 0, :2].abs().sum() > 0
    logits.grad[0, :, 0, :2] = 0
    assert logits.grad.abs().sum() == 0


@pytest.mark.parametrize("term", ["cross_entropy", "focal", "lovasz", "ordinal"])
@pytest.mark.parametrize("channels", [4, 5])
def test_nothing_to_learn_is_zero_not_nan(term: str, channels: int) -> None:
    logits = torch.randn(1, channels, 4, 4, requires_grad=True)
    target = torch.full((1, 4, 4), 255, dtype=torch.uint8)
    loss = _damage_loss(logits, target, **(ONLY | {term: 1.0}))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.abs().sum() == 0


def test_four_channels_learn_from_footprints_alone() -> None:
    logits = torch.randn(1, 4, 4, 4)
    target = torch.zeros(1, 4, 4, dtype=torch.uint8)
    target[0, 0, :4] = torch.tensor([1, 2, 3, 4], dtype=torch.uint8)
    expected = F.cross_entropy(
        logits[:, :, 0], torch.tensor([[0, 1, 2, 3]]), torch.tensor(WEIGHTS[1:])
    )
    assert torch.allclose(_damage_loss(logits, target), expected)


def test_focal_of_one_pixel_by_hand() -> None:
    logits = torch.tensor([0.0, 1.0, 0.0, 2.0, 0.0], dtype=torch.float64)[None, :, None, None]
    p = math.exp(2) / (3 + math.e + math.exp(2))
    target = torch.full((1, 1, 1), 3, dtype=torch.uint8)
    # The weight of the only judged pixel is divided out by the mass.
    found = _damage_loss(logits, target, cross_entropy=0, focal=1)
    assert found.item() == pytest.approx((1 - p) ** 2 * -math.log(p))


def test_focal_without_focus_is_cross_entropy() -> None:
    logits, target = _pair()
    config = LossConfig(
        damage=DamageTerms(cross_entropy=0, focal=1), class_weights=WEIGHTS, focal_gamma=0
    )
    sums = StepSums(*target_sums((target > 0).byte(), target, config))
    found = damage_share(logits, target, config, sums)
    assert torch.allclose(found, _damage_loss(logits, target))


@given(st.lists(st.booleans(), min_size=1, max_size=12), st.data())
@settings(max_examples=60, deadline=None)
def test_lovasz_of_hard_predictions_is_one_minus_iou(
    truth: list[bool], data: st.DataObject
) -> None:
    truth[0] = True
    guess = data.draw(st.lists(st.booleans(), min_size=len(truth), max_size=len(truth)))
    t, g = np.array(truth), np.array(guess)
    errors = torch.tensor((t != g).astype(float))
    found = lovasz_error(errors, torch.tensor(t.astype(float)))
    assert found.item() == pytest.approx(1 - (t & g).sum() / (t | g).sum())


def test_lovasz_is_the_convex_combination_of_its_nested_sets() -> None:
    """Its definition: thresholds of the errors give sets, weighted by the steps between them."""
    random = np.random.default_rng(3)
    errors, truth = random.random(9), random.random(9) < 0.5
    truth[0] = True
    levels = [0.0, *np.sort(errors)]
    total = 0.0
    for low, high in pairwise(levels):
        wrong = errors > low
        guess = np.where(wrong, ~truth, truth)
        total += (high - low) * (1 - (truth & guess).sum() / (truth | guess).sum())
    found = lovasz_error(torch.tensor(errors), torch.tensor(truth.astype(float)))
    assert found.item() == pytest.approx(total)


def test_lovasz_of_damage_is_the_mean_over_the_classes_of_each_image() -> None:
    logits, target = _pair()
    probability = torch.softmax(logits, 1)
    images = []
    for image in range(2):
        judged = target[image] != 255
        classes = []
        for value in (1, 2, 3, 4):
            there = (target[image][judged] == value).float()
            if there.any():
                p = probability[image, value][judged]
                classes.append(lovasz_error((there - p).abs(), there))
        images.append(torch.stack(classes).mean() if classes else torch.tensor(0.0))
    found = _damage_loss(logits, target, cross_entropy=0, lovasz=1)
    torch.testing.assert_close(found, torch.stack(images).mean())


def test_ordinal_grows_with_the_distance_on_the_scale() -> None:
    target = torch.full((1, 1, 1), 2, dtype=torch.uint8)
    config = LossConfig(class_weights=WEIGHTS)
    sums = StepSums(*target_sums(target.clamp(max=1), target, config))
    sure = 50.0 * torch.eye(5)[:, :, None, None]
    losses = [
        ordinal(sure[[value]], target, torch.tensor(WEIGHTS), sums).item() for value in (1, 2, 3, 4)
    ]
    assert losses == pytest.approx([1, 0, 1, 2], abs=1e-6)


def test_total_is_three_to_seven() -> None:
    outputs = (torch.randn(1, 1, 4, 4), torch.randn(1, 5, 4, 4))
    building = torch.ones(1, 4, 4, dtype=torch.uint8)
    config = LossConfig()
    sums = _sums(outputs[0], building, building, config)
    parts = step_losses(outputs, building, building, config, sums)
    assert torch.allclose(parts["loss"], 0.3 * parts["building"] + 0.7 * parts["damage"])


@pytest.mark.parametrize(
    "terms",
    [
        {},
        {"damage": DamageTerms(cross_entropy=0.25, focal=0.25, lovasz=0.25, ordinal=0.25)},
        {"building": BuildingTerms(cross_entropy=0.4, dice=0.4, lovasz=0.2)},
    ],
)
def test_shares_of_the_parts_add_up_to_the_loss_of_the_whole(terms: dict) -> None:
    config = LossConfig(**terms)
    random = torch.Generator().manual_seed(1)
    outputs = [
        torch.randn(4, channels, 8, 8, dtype=torch.float64, generator=random, requires_grad=True)
        for channels in (1, 5)
    ]
    teacher = tuple(torch.randn(4, c, 8, 8, dtype=torch.float64) for c in (1, 5))
    damage = torch.randint(0, 5, (4, 8, 8), dtype=torch.uint8, generator=random)
    damage[0, 0], damage[1] = 255, 0
    building = (damage > 0).byte()
    distill = DistillConfig(checkpoint="teacher.pt")
    whole = StepSums(*target_sums(building, damage, config), *dice_sums(outputs[0], building))
    loss = step_losses(tuple(outputs), building, damage, config, whole, (teacher, distill))["loss"]
    expected = torch.autograd.grad(loss, outputs)

    uneven = [slice(0, 1), slice(1, 4)]
    targets = sum(target_sums(building[part], damage[part], config) for part in uneven)
    dice = sum(dice_sums(outputs[0][part], building[part]) for part in uneven)
    sums = StepSums(*targets, *dice, parts=len(uneven))
    shares = sum(
        step_losses(
            (outputs[0][part], outputs[1][part]), building[part], damage[part], config, sums,
            ((teacher[0][part], teacher[1][part]), distill),
        )["loss"]
        for part in uneven
    )  # fmt: skip
    torch.testing.assert_close(shares, loss, rtol=1e-12, atol=1e-12)
    for found, wanted in zip(torch.autograd.grad(shares, outputs), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-14)


def test_a_student_that_is_its_teacher_has_nothing_to_gain() -> None:
    teacher = torch.randn(2, 1, 4, 4), torch.randn(2, 4, 4, 4)
    damage = torch.randint(0, 5, (2, 4, 4), dtype=torch.uint8)
    sums = StepSums(*target_sums((damage > 0).byte(), damage, LossConfig()))
    student = tuple(t.clone().requires_grad_() for t in teacher)
    same = teacher_loss(student, teacher, damage, LossConfig(), 2.0, sums)
    for gradient in torch.autograd.grad(same, student):
        assert gradient.abs().max() < 1e-6
    moved = tuple(t + torch.randn_like(t) for t in teacher)
    assert teacher_loss(moved, teacher, damage, LossConfig(), 2.0, sums) > same


def test_a_student_may_have_another_head_than_its_teacher() -> None:
    teacher = torch.randn(1, 2, 4, 4), torch.randn(1, 4, 4, 4)
    damage = torch.full((1, 4, 4), 3, dtype=torch.uint8)
    sums = StepSums(*target_sums((damage > 0).byte(), damage, LossConfig()))
    alike = teacher[0][:, 1:] - teacher[0][:, :1], F.pad(teacher[1], (0, 0, 0, 0, 1, 0))
    found, same = (
        teacher_loss(s, teacher, damage, LossConfig(), 3.0, sums) for s in (alike, teacher)
    )
    assert torch.allclose(found, same)


def test_half_precision_logits_are_weighed_in_float32() -> None:
    logits = torch.randn(1, 1, 64, 64).bfloat16()
    target = torch.randint(0, 2, (1, 64, 64), dtype=torch.uint8)
    assert _building_loss(logits, target).dtype == torch.float32
