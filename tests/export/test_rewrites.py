"""Every rewrite, alone and with the others, computes what the network does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import fx, nn

from export.rewrites import REWRITES, rewrite
from export.rewrites.channel_dot import ChannelDot
from export.rewrites.indexed_upsampling import IndexedUpsampling
from export.rewrites.shapes import propagate_shapes, shape
from export.rewrites.sums import is_addition
from train.model import ModelConfig, build_network
from train.model.dual_hrnet import DualHRNet
from train.model.inference_form import inference_form

SIDE = (64, 96)
NETWORKS = {
    "native": {},
    "si-analytics": {"architecture": "si-analytics"},
    "siamese": {"streams": "siamese"},
    "single": {"streams": "single"},
    "no-gate": {"squeeze_excitation": False},
}


@pytest.fixture(scope="module", params=NETWORKS)
def network(request: pytest.FixtureRequest, plausible: Callable, small_config: ModelConfig):
    given = small_config.model_dump(exclude_defaults=True)
    return plausible(ModelConfig.model_validate({**given, **NETWORKS[request.param]})).double()


def _logits(network: DualHRNet, names: tuple[str, ...]) -> torch.Tensor:
    core = inference_form(network)
    if names:
        # Constants that a rewrite makes are FP32; here everything is as exact as can be.
        core = rewrite(core.float(), names, *SIDE).double()
    images = torch.randn(2, 1, 3, *SIDE, generator=torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        return core(*images)


@pytest.mark.parametrize("names", [*[(name,) for name in REWRITES], tuple(REWRITES)], ids="+".join)
def test_a_rewritten_network_has_the_same_logits(network: DualHRNet, names: tuple) -> None:
    expected, got = _logits(network, ()), _logits(network, names)
    assert got.shape == expected.shape
    assert (got - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.fixture(scope="module")
def published_core() -> Callable[..., fx.GraphModule]:
    """The published network, W8, after some rewrites."""
    network = build_network(
        ModelConfig(architecture="si-analytics", width=8, stem_width=8, blocks=1), 0
    ).eval()
    return lambda *names: rewrite(inference_form(network), names, 64, 64)


@pytest.fixture
def published(published_core: Callable) -> Callable[..., int]:
    """Nodes of a kind in it."""

    def count(kind: Callable[[nn.Module | None, object], bool], *names: str) -> int:
        core = published_core(*names)
        modules = dict(core.named_modules())
        return sum(kind(modules.get(str(n.target)), n.target) for n in core.graph.nodes)

    return count


def _is_convolution(module: nn.Module | None, _: object) -> bool:
    return isinstance(module, nn.Conv2d)


def test_rewrites_do_what_they_are_for(published: Callable) -> None:
    def upsamples(_: nn.Module | None, target: object) -> bool:
        return target is F.interpolate

    plain = published(_is_convolution)
    # Stage 3: two 1x1 of the third branch. Stage 4: two of the third, three of the fourth,
    # whose results are upsampled; of both streams, in 4 and 3 modules.
    assert published(_is_convolution, "shared-input") == plain - 2 * (4 * 1 + 3 * 3)
    # layer1's skip, and the two chains that end in the fourth branch.
    assert published(_is_convolution, "shared-sum") == plain - 2 * (1 + 3)
    assert published(_is_convolution, "finest-pair") == plain - 2
    assert published(_is_convolution, "channel-dot") == plain - 2
    # Alone in their sums: of stage 2 and 3, and of the third branch of stage 4.
    assert published(upsamples, "indexed-upsampling") == 2 * (1 + 4 * 1 + 3 * 1)


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    factor=st.sampled_from([2, 4, 8]),
    seed=st.integers(0, 99),
)
def test_indexed_upsampling_is_bilinear_interpolation(height, width, factor, seed) -> None:
    x = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(seed))
    expected = F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
    got = IndexedUpsampling(height, width, factor)(x)
    assert torch.allclose(got, expected, atol=1e-6)


def test_upsamplings_of_one_sum_are_added_to_each_other_first(published_core: Callable) -> None:
    """So that the compiler puts them into one kernel, rather than into convolutions'."""
    core = published_core("indexed-upsampling")
    modules = dict(core.named_modules())

    def is_upsampling(node: fx.Node) -> bool:
        return isinstance(modules.get(str(node.target)), IndexedUpsampling)

    def is_sum(node: fx.Node) -> bool:
        return is_addition(node) and all(is_upsampling(arg) or is_sum(arg) for arg in node.args)

    found = [node for node in core.graph.nodes if is_upsampling(node)]
    assert found
    for node in found:
        (reader,) = node.users
        assert is_sum(reader)


def test_channel_dot_is_relu_and_convolution() -> None:
    terms = torch.randn(3, 2, 20, 5, 7)
    conv = nn.Conv2d(20, 4, 1)
    expected = conv(torch.relu(terms.sum(0)))
    assert torch.allclose(ChannelDot(conv)(*terms), expected, atol=1e-5)


def test_shapes_are_found_without_data(small_config: ModelConfig) -> None:
    core = inference_form(build_network(small_config, 0))
    propagate_shapes(core, 64, 96)
    (output,) = core.graph.find_nodes(op="output")
    assert shape(output.all_input_nodes[0]) == (1, 5, 16, 24)


def test_rewriting_leaves_the_network_alone(plausible: Callable) -> None:
    network = plausible()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    rewrite(inference_form(network), tuple(REWRITES), 64, 64)
    assert all(np.array_equal(before[name], t) for name, t in network.state_dict().items())
