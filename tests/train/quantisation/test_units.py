"""HRNet units: every convolution belongs to one, and a spared one stays in floating point."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from runtime.errors import ConfigError
from train.model import ModelConfig
from train.model.inference_form import inference_form
from train.quantisation.fake import QuantizedConv2d, Range, quantise
from train.quantisation.placement import convolutions, sites
from train.quantisation.units import unit_of, units


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("pre.conv1", "pre.stem"),
        ("network.post.conv2", "post.stem"),
        ("pre.layer1.0.downsample.0", "pre.layer1"),
        ("post.transition3.3.0.0", "post.transition3"),
        ("pre.stage3.2.branches.1.0.conv2", "pre.stage3.branch1"),
        ("pre.stage4.0.fuse_layers.0.3.0", "pre.stage4.fuse"),
        ("exchange.stage2.to_pre.0.reduce.0", "exchange.stage2"),
        ("heads.fuse.branches.3.residual.0", "heads.fuse"),
        ("heads.project.branches.2", "heads.projection"),
        ("heads.damage.project.branches.0", "heads.projection"),
        ("heads.damage.classify", "heads.damage"),
        ("heads.building.0.0", "heads.building"),
    ],
)
def test_a_path_names_its_unit(path: str, unit: str) -> None:
    assert unit_of(path) == unit


def test_a_foreign_path_is_refused() -> None:
    with pytest.raises(ValueError, match="belongs to no unit"):
        unit_of("backbone.conv1")


@pytest.mark.parametrize("architecture", ["dual-hrnet", "si-analytics"])
def test_a_spared_unit_reads_and_computes_floating_point(
    plausible: Callable, small_config: ModelConfig, architecture: str
) -> None:
    given = small_config.model_dump(exclude_defaults=True)
    config = ModelConfig.model_validate({**given, "architecture": architecture})
    core = inference_form(plausible(config))
    every = units(convolutions(core))
    spared = {"post.stage2.branch0", "heads.projection"}
    ranges = {site.name: Range(8.0, False) for site in sites(core)}
    quantise(core, ranges, "signed", spared)
    for path, module in core.named_modules():
        if isinstance(module, torch.nn.Conv2d | QuantizedConv2d):
            assert isinstance(module, torch.nn.Conv2d) == (unit_of(path) in spared), path
    for node in core.graph.nodes:
        if node.op == "call_module" and str(node.target).startswith("quantize_"):
            for reader in node.users:
                if reader.op == "call_module":
                    assert unit_of(str(reader.target)) not in spared
    assert spared < set(every)


def test_everything_spared_changes_nothing(plausible: Callable) -> None:
    core = inference_form(plausible())
    images = torch.randn(2, 1, 3, 64, 64)
    with torch.no_grad():
        expected = core(*images)
        ranges = {site.name: Range(0.1, False) for site in sites(core)}
        assert torch.equal(
            quantise(core, ranges, "signed", units(convolutions(core)))(*images), expected
        )


def test_an_unknown_unit_is_refused(plausible: Callable) -> None:
    core = inference_form(plausible())
    with pytest.raises(ConfigError, match=r"pre.stage9: no unit of this network; expected"):
        quantise(core, {}, "signed", ["pre.stage9"])
