"""Where Q/DQ goes: every convolution's input, residual skips, and nothing else."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import torch
from torch import fx, nn

from calibration.observe import observe
from runtime.errors import CalibrationError
from train.model import ModelConfig
from train.model.dual_hrnet import normalise
from train.model.inference_form import inference_form
from train.quantisation.fake import QuantizedConv2d, Range, quantise
from train.quantisation.placement import convolutions, sites
from train.xbd import find_tiles

SIAMESE = {"streams": "siamese"}
OPTIONS = [
    {}, {"exchange_stages": ()}, {"fusion": "conv"}, {"squeeze_excitation": False},
    SIAMESE, {"streams": "single"},
]  # fmt: skip


class _Recorder(fx.Interpreter):
    """Every node's value, kept by node."""

    def run_node(self, node: fx.Node) -> object:
        self.env_kept = getattr(self, "env_kept", {})
        self.env_kept[node] = super().run_node(node)
        return self.env_kept[node]


def _true_ranges(graph: fx.GraphModule, images: Iterable[torch.Tensor]) -> dict[str, Range]:
    """By brute force: every value of every tensor of a name, put together."""
    recorder = _Recorder(graph)
    recorder.run(*images)
    values: dict[str, torch.Tensor] = {}
    for site in sites(graph):
        value = recorder.env_kept[site.producer].flatten()
        values[site.name] = torch.cat([values.get(site.name, value[:0]), value])
    return {name: Range(v.abs().max().item(), bool(v.min() >= 0)) for name, v in values.items()}


@pytest.fixture
def graph(plausible: Callable) -> fx.GraphModule:
    return inference_form(plausible())


@pytest.fixture
def graph_of(plausible: Callable, small_config: ModelConfig) -> Callable[..., fx.GraphModule]:
    """The inference form of the small network with other options."""

    def make(**options: object) -> fx.GraphModule:
        given = small_config.model_dump(exclude_defaults=True)
        return inference_form(plausible(ModelConfig.model_validate({**given, **options})))

    return make


@pytest.mark.parametrize("options", OPTIONS)
def test_every_convolution_reads_a_quantised_tensor(graph_of: Callable, options: dict) -> None:
    graph = graph_of(**options)
    modules = dict(graph.named_modules())
    convs = [
        n for n in graph.graph.nodes
        if n.op == "call_module" and isinstance(modules[n.target], nn.Conv2d)
    ]  # fmt: skip
    read = {reader for site in sites(graph) for reader in site.readers}
    assert set(convs) <= read
    assert {n.target for n in convs} == set(convolutions(graph))


@pytest.mark.parametrize("options", OPTIONS)
def test_only_a_siamese_stream_has_two_sites_of_a_name(graph_of: Callable, options: dict) -> None:
    names = Counter(site.name for site in sites(graph_of(**options)))
    assert "pre.conv1" in names
    for name, count in names.items():
        assert count == (2 if options == SIAMESE and name.startswith("pre.") else 1), name


def test_fusion_without_a_gate_quantises_its_skip_not_what_feeds_its_add(
    graph_of: Callable,
) -> None:
    placed = {s.name: s for s in sites(graph_of(squeeze_excitation=False))}
    fuse = "exchange.stage2.to_pre.0"
    (reader,) = placed[f"{fuse}.reduce.2:skip"].readers
    assert reader.target is operator.add
    producers = {str(site.producer.target) for site in placed.values()}
    assert f"network.{fuse}.residual.0" not in producers


def test_sites_have_distinct_telling_names(graph: fx.GraphModule) -> None:
    names = [site.name for site in sites(graph)]
    assert len(set(names)) == len(names)
    assert "pre.conv1" in names
    assert "post.stage4.0.branches.3.0.conv2" in names
    assert "pre.layer1.0.downsample.0:skip" in names


def test_a_block_quantises_its_input_and_skip_once_and_not_what_feeds_its_add(
    graph: fx.GraphModule,
) -> None:
    placed = {site.name: site for site in sites(graph)}
    block = "pre.stage2.0.branches.0.0"
    entry = placed[f"{block}.conv1"]
    kinds = {"conv" if reader.op == "call_module" else "add" for reader in entry.readers}
    assert kinds == {"conv", "add"}
    producers = {str(site.producer.target) for site in placed.values()}
    assert f"network.{block}.conv2" not in producers


def test_squeeze_excitation_stays_float(graph: fx.GraphModule) -> None:
    assert not [name for name in convolutions(graph) if ".se." in name]
    assert not [site.name for site in sites(graph) if ".se." in site.name]


def test_quantising_needs_a_range_for_every_site(graph: fx.GraphModule) -> None:
    ranges = {site.name: Range(4.0, False) for site in sites(graph)}
    del ranges["post.conv2"]
    with pytest.raises(
        CalibrationError, match=r"no range for 1 of \d+ quantised tensors.*post.conv2"
    ):
        quantise(graph, ranges, "signed")


def test_a_range_covers_both_calls_of_a_siamese_module(
    graph_of: Callable, small_config: ModelConfig, synthetic: Path
) -> None:
    graph = graph_of(**SIAMESE)
    tile = find_tiles(synthetic, "train")[0]
    found = observe(graph, small_config, [tile], "minmax")
    images = [normalise(torch.from_numpy(image)[None], small_config) for image in tile.images()]
    for name, span in _true_ranges(graph, images).items():
        assert found[name].amax() == pytest.approx(span.amax, rel=1e-6), name
        assert (found[name].minimum >= 0) == span.non_negative, name


@pytest.mark.parametrize("form", ["signed", "unsigned"])
@pytest.mark.parametrize("options", OPTIONS)
def test_quantised_graph_is_close_and_weights_are_int8(
    graph_of: Callable, options: dict, form: str
) -> None:
    graph = graph_of(**options)
    images = torch.randn(2, 1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = graph(*images)
        quantise(graph, _true_ranges(graph, images), form)
        got = graph(*images)
    # A sanity bound: a random network amplifies each rounding. Exactness is the export's test.
    assert 0 < (got - expected).abs().mean() < 0.5 * expected.std()
    quantised = [m for m in graph.modules() if isinstance(m, QuantizedConv2d)]
    assert {m.weight.dtype for m in quantised} == {torch.int8}
    assert not [m for m in graph.modules() if isinstance(m, nn.Conv2d)]


def test_signed_and_unsigned_two_sided_forms_are_the_same_values(plausible: Callable) -> None:
    images = torch.randn(2, 1, 3, 64, 64)
    results = []
    for form in ("signed", "unsigned"):
        graph = inference_form(plausible())
        ranges = {site.name: Range(8.0, False) for site in sites(graph)}
        with torch.no_grad():
            results.append(quantise(graph, ranges, form)(*images))
    assert torch.equal(*results)
