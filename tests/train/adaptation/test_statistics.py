"""Batch norm's statistics of a new scene, against those that are computed by hand."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from train.adaptation.statistics import estimate_statistics, images
from train.adaptation.windows import Patch
from train.model import DualHRNet
from train.model.dual_hrnet import build_network

KINDS = [{}, {"streams": "siamese"}, {"streams": "single"}, {"architecture": "si-analytics"}]


def _patches(count: int, side: int = 64, seed: int = 0) -> list[Patch]:
    random = np.random.default_rng(seed)
    pairs = random.integers(0, 255, (count, 2, side, side, 3), np.uint8)
    return [Patch(0, 0, pre, post, np.ones((side, side), bool)) for pre, post in pairs]


def _inputs(network: DualHRNet, patches: list[Patch]) -> dict[str, torch.Tensor]:
    """What every norm gets in one pass over all windows: float64 [C, values]."""
    found: dict[str, list[torch.Tensor]] = {}
    hooks = [
        norm.register_forward_pre_hook(
            lambda _, x, name=name: found.setdefault(name, []).append(
                x[0].double().transpose(0, 1).flatten(1)
            )
        )
        for name, norm in network.named_modules()
        if isinstance(norm, nn.BatchNorm2d)
    ]
    with torch.no_grad():
        network(*images(patches, network, torch.device("cpu")))
    for hook in hooks:
        hook.remove()
    return {name: torch.cat(parts, 1) for name, parts in found.items()}


@pytest.mark.parametrize("fields", [KINDS[0], KINDS[2], KINDS[3]])
def test_without_a_prior_every_norm_has_the_statistics_of_what_it_gets(small, fields: dict) -> None:
    network = build_network(small(**fields), 0).eval()
    patches = _patches(3)
    estimate_statistics(network, patches, prior=0)
    for name, x in _inputs(network, patches).items():
        norm = network.get_submodule(name)
        torch.testing.assert_close(norm.running_mean.double(), x.mean(1), rtol=1e-3, atol=1e-3)
        variance = x.var(1, unbiased=False)
        torch.testing.assert_close(norm.running_var.double(), variance, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("fields", KINDS)
def test_a_prior_mixes_old_and_new_by_the_number_of_windows(small, fields: dict) -> None:
    network = build_network(small(**fields), 0).eval()
    before = copy.deepcopy(network)
    patches = _patches(6)
    assert estimate_statistics(network, patches, prior=2) == 6
    # No norm lies before the first, so its input is the same at any prior; both streams' where
    # they share it, and over batches.
    new = _inputs(before, patches)["pre.bn1"]
    old = before.pre.bn1
    mixed = 0.25 * old.running_mean.double() + 0.75 * new.mean(1)
    spread = 0.25 * old.running_var.double() + 0.75 * new.var(1, unbiased=False)
    bn1 = network.pre.bn1
    torch.testing.assert_close(bn1.running_mean.double(), mixed, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(bn1.running_var.double(), spread, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fields", KINDS)
def test_weights_stay_and_an_infinite_prior_keeps_all(small, fields: dict) -> None:
    network = build_network(small(**fields), 0).eval()
    before = copy.deepcopy(network.state_dict())
    estimate_statistics(network, _patches(2), prior=math.inf)
    assert all(torch.equal(before[name], each) for name, each in network.state_dict().items())
    estimate_statistics(network, _patches(2), prior=1)
    changed = {n for n, each in network.state_dict().items() if not torch.equal(before[n], each)}
    norms = [n for n, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)]
    assert changed == {f"{n}.{what}" for n in norms for what in ("running_mean", "running_var")}
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_pixels_that_are_not_known_do_not_count(small) -> None:
    """The first norm sees through a convolution, so what is unknown reaches one pixel further."""
    (patch,) = _patches(1)
    known = np.zeros_like(patch.known)
    known[:, :32] = True
    spoilt = patch.post.copy()
    spoilt[:, 34:] = 255
    networks = [build_network(small(), 0).eval() for _ in range(2)]
    for network, post in zip(networks, (patch.post, spoilt), strict=True):
        part = Patch(0, 0, patch.pre, post, known)
        assert estimate_statistics(network, [part], prior=0) == 0.5
    one, other = (each.post.bn1.running_mean for each in networks)
    torch.testing.assert_close(one, other)
