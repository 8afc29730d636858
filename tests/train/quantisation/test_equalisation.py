"""Equalisation: the same function, channels of one size, and nothing where there is no need."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from train.model import DualHRNet
from train.model.inference_form import inference_form
from train.quantisation.equalisation import equalised, pairs
from train.quantisation.fake import Range, quantise
from train.quantisation.placement import sites

OPTIONS = [
    {}, {"bottlenecks": 2, "blocks": 2}, {"streams": "siamese"}, {"streams": "single"},
    {"squeeze_excitation": False}, {"architecture": "si-analytics"},
]  # fmt: skip


def _images() -> list[Tensor]:
    random = torch.Generator().manual_seed(0)
    return [torch.randn(1, 3, 64, 64, generator=random) for _ in range(2)]


def _rescaled(network: DualHRNet, decades: float, seed: int = 0) -> DualHRNet:
    """The same function, channels of very different size."""
    network, random = copy.deepcopy(network), torch.Generator().manual_seed(seed)
    modules = dict(network.named_modules())
    with torch.no_grad():
        for pair in pairs(network):
            norm, second = modules[pair.norm], modules[pair.second]
            factors = 10 ** (decades * (torch.rand(norm.num_features, generator=random) - 0.5))
            norm.weight *= factors
            norm.bias *= factors
            second.weight /= factors.view(1, -1, 1, 1)
    return network


@pytest.mark.parametrize("options", OPTIONS)
def test_the_function_stays_the_same_bit_for_bit(
    plausible: Callable, small: Callable, options: dict
) -> None:
    network = _rescaled(plausible(small(**options)), 4)
    after = equalised(network)
    assert not torch.equal(
        torch.cat([p.flatten() for p in network.parameters()]),
        torch.cat([p.flatten() for p in after.parameters()]),
    )
    with torch.no_grad():
        for before, now in zip(network(*_images()), after(*_images()), strict=True):
            torch.testing.assert_close(now, before, rtol=1e-5, atol=1e-5)
        assert torch.equal(inference_form(network)(*_images()), inference_form(after)(*_images()))


@pytest.mark.slow
@given(st.lists(st.sampled_from([0.0, 1e-30, 1e-7, 1.0, 1e5, -0.5]), min_size=8, max_size=8))
@settings(
    deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_gains_of_any_size_leave_the_function_the_same(plausible: Callable, gains: list) -> None:
    network = plausible()
    network.pre.layer1[0].bn1.weight.data = torch.tensor(gains)
    network.post.layer1[0].bn2.weight.data = torch.tensor(gains)
    after = equalised(network)
    assert all(p.isfinite().all() for p in after.parameters())
    with torch.no_grad():
        for before, now in zip(network(*_images()), after(*_images()), strict=True):
            assert torch.equal(now, before)


@pytest.mark.slow
def test_it_depends_on_the_weights_alone_and_leaves_its_argument(plausible: Callable) -> None:
    network = _rescaled(plausible(), 3)
    state = copy.deepcopy(network.state_dict())
    first, second = equalised(network), equalised(network)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
        assert torch.equal(state[name], network.state_dict()[name]), name


def test_channels_that_are_alike_stay_as_they_are(plausible: Callable) -> None:
    network = plausible()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.7, 1.4)
                module.bias.uniform_(-1, 1)
            if isinstance(module, torch.nn.Conv2d):
                module.weight.copy_(0.1 * module.weight.sign())
    for name, value in equalised(network).state_dict().items():
        assert torch.equal(value, network.state_dict()[name]), name


@pytest.mark.parametrize("options", OPTIONS)
def test_what_several_read_is_in_no_pair(
    plausible: Callable, small: Callable, options: dict
) -> None:
    network = plausible(small(**options))
    found = pairs(network)
    norms = [pair.norm for pair in found]
    assert len(set(norms)) == len(norms)
    assert "pre.layer1.0.bn1" in norms
    # Added to a skip, read by a gate and an addition, or read by two heads.
    assert not [n for n in norms if n.endswith(("layer1.0.bn3", "0.0.bn2", "reduce.1"))]
    assert not [n for n in norms if n in ("heads.bn", "pre.transition1.0.1")]


def _rounding_error(network: DualHRNet) -> float:
    """Of the logits, as a share of their deviation."""
    form = inference_form(network)
    spans: dict[str, Range] = {}

    class Watch(torch.fx.Interpreter):
        def run_node(self, node: torch.fx.Node) -> object:
            value = super().run_node(node)
            for name in (site.name for site in sites(form) if site.producer is node):
                spans[name] = Range(value.abs().max().item(), bool(value.min() >= 0))
            return value

    with torch.no_grad():
        exact = Watch(form).run(*_images())
        got = quantise(form, spans, "signed", scales=torch.float16)(*_images())
    return ((got - exact).abs().mean() / exact.std()).item()


def test_a_network_with_uneven_channels_is_rounded_as_well_as_an_even_one(
    plausible: Callable,
) -> None:
    even = plausible()
    uneven = _rescaled(even, 4)
    assert _rounding_error(equalised(uneven)) < 1.5 * _rounding_error(even)
    assert _rounding_error(uneven) > 2 * _rounding_error(even)
