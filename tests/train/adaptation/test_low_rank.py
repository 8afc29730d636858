"""Low-rank updates: of the rank that was asked for, and gone into the weights at the end."""

from __future__ import annotations

import copy

import pytest
import torch

from train.adaptation.low_rank import add_updates, merge_updates
from train.model.dual_hrnet import build_network


@pytest.mark.parametrize(
    "fields", [{}, {"streams": "siamese"}, {"streams": "single"}, {"architecture": "si-analytics"}]
)
def test_merged_weights_compute_the_same_under_the_same_names(small, fields) -> None:
    network = build_network(small(**fields), 0).eval()
    before = copy.deepcopy(network.state_dict())
    pair = [torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(i)) for i in (1, 2)]
    with torch.no_grad():
        first = network(*pair)
        learnt = add_updates(network, rank=2, seed=0)
        assert all(torch.equal(a, b) for a, b in zip(first, network(*pair), strict=True))
        for each in learnt:
            each.normal_(std=0.1)
        apart = network(*pair)
        merge_updates(network)
        merged = network(*pair)
    assert not torch.allclose(first[0], apart[0])
    for one, other in zip(apart, merged, strict=True):
        torch.testing.assert_close(one, other)
    after = network.state_dict()
    assert {n: t.shape for n, t in after.items()} == {n: t.shape for n, t in before.items()}
    for name, weight in after.items():
        change = (weight - before[name]).double()
        if weight.ndim == 4:
            values = torch.linalg.svdvals(change.flatten(1))
            assert values[:2].min() > 1e-3 or min(change.flatten(1).shape) < 2
            assert (values[2:] < 1e-5).all()
        else:
            assert not change.any()


def test_only_the_updates_learn(small) -> None:
    network = build_network(small(), 0).eval()
    learnt = {id(each) for each in add_updates(network, rank=1, seed=0)}
    assert {id(each) for each in network.parameters() if each.requires_grad} == learnt
