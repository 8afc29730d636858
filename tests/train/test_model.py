"""The network: published names, published outputs, exchange, and its inference form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from train.checkpoint import load_checkpoint
from train.model import DualHRNet, ModelConfig, build_network
from train.model.decode import building_logit, class_logits, decode
from train.model.dual_hrnet import normalise
from train.model.heads import PyramidProjection
from train.model.hrnet import HRNet, upsample
from train.model.inference_form import inference_form

PUBLISHED = {"architecture": "si-analytics"}


def _meta_network(**fields: object) -> DualHRNet:
    with torch.device("meta"):
        return DualHRNet(ModelConfig(**fields))


def test_a_stream_has_the_official_parameter_names_and_shapes(measurement_data: Path) -> None:
    listing = measurement_data.parent / "reference" / "hrnetv2_w48_imagenet_keys.txt"
    head = ("incre_modules", "downsamp_modules", "final_layer", "classifier")
    official = dict(line.split("\t") for line in listing.read_text().splitlines())
    official = {name: s for name, s in official.items() if not name.startswith(head)}
    assert len(official) == 1830
    with torch.device("meta"):
        stream = HRNet(ModelConfig(width=48))
    ours = {name: str(tuple(tensor.shape)) for name, tensor in stream.state_dict().items()}
    assert ours == official


@pytest.mark.parametrize(("width", "millions"), [(48, 65.3)])
def test_w48_has_the_published_size(width: int, millions: float) -> None:
    network = _meta_network(width=width, **PUBLISHED)
    stream = sum(p.numel() for p in network.pre.parameters())
    both = sum(p.numel() for p in network.parameters())
    assert stream / 1e6 == pytest.approx(millions, abs=0.05)
    assert both / 1e6 == pytest.approx(133, abs=0.5)


@pytest.mark.parametrize("architecture", ["dual-hrnet", "si-analytics"])
@pytest.mark.parametrize("width", [18, 32, 48, 64])
def test_every_width_builds_with_one_logit_map_a_class(width: int, architecture: str) -> None:
    network = _meta_network(width=width, architecture=architecture)
    image = torch.empty(1, 3, 64, 96, device="meta")
    building, damage = network(image, image)
    assert building.shape == (1, network.config.building_channels, 64, 96)
    assert damage.shape == (1, network.config.damage_channels, 64, 96)


def test_published_network_gives_the_published_outputs(
    measurement_data: Path, tmp_path: Path, command: Callable
) -> None:
    folder = measurement_data / "si-analytics"
    out = tmp_path / "imported.pt"
    weights = folder / "dual_hrnet_w8_random.pth"
    result = command("train.import_weights", "--source", "si-analytics", weights, "--out", out)
    assert result.returncode == 0, result.stderr
    stored = np.load(folder / "dual_hrnet_w8_random_io.npz")
    network = load_checkpoint(out).network()
    with torch.no_grad():
        loc, cls = network(torch.from_numpy(stored["pre"]), torch.from_numpy(stored["post"]))
    assert np.abs(loc.numpy() - stored["loc"]).max() < 1e-4
    assert np.abs(cls.numpy() - stored["cls"]).max() < 1e-4


@pytest.mark.parametrize("fields", [{}, PUBLISHED])
def test_every_parameter_takes_part(small_config: ModelConfig, fields: dict) -> None:
    config = small_config.model_copy(update=fields)
    network = build_network(config, 0)
    images = torch.randn(2, 2, 3, 64, 64)
    building, damage = network(*images)
    (building.square().mean() + damage.square().mean()).backward()
    idle = [name for name, p in network.named_parameters() if p.grad is None]
    assert idle == []


@pytest.mark.parametrize("fields", [{}, PUBLISHED])
def test_each_stream_sees_the_other(small_config: ModelConfig, fields: dict) -> None:
    network = build_network(small_config.model_copy(update=fields), 0).eval()
    pre, post = torch.randn(2, 1, 3, 64, 64)
    with torch.no_grad():
        building, damage = network(pre, post)
        other_building, _ = network(pre, post + 1)
        _, other_damage = network(pre + 1, post)
    assert not torch.allclose(building, other_building)
    assert not torch.allclose(damage, other_damage)


def test_resolutions_exchange_inside_a_stage(small_config: ModelConfig) -> None:
    module = build_network(small_config, 0).pre.stage4[0].eval()
    features = [torch.randn(1, 8 << b, 32 >> b, 32 >> b) for b in range(4)]
    with torch.no_grad():
        before = module(features)
        for source in range(4):
            moved = [f + (i == source) for i, f in enumerate(features)]
            after = module(moved)
            for target in range(4):
                assert not torch.allclose(before[target], after[target]), (source, target)


def test_projection_before_upsampling_equals_projection_after() -> None:
    widths = [4, 8, 16, 32]
    projection = PyramidProjection(widths, 6).double()
    features = [
        torch.randn(1, w, 32 >> b, 32 >> b, dtype=torch.float64) for b, w in enumerate(widths)
    ]
    stacked = torch.cat([f if b == 0 else upsample(f, 1 << b) for b, f in enumerate(features)], 1)
    weight = torch.cat([branch.weight for branch in projection.branches], 1)
    expected = nn.functional.conv2d(stacked, weight, projection.branches[0].bias)
    torch.testing.assert_close(projection(features), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("fields", [{}, PUBLISHED])
def test_inference_form_is_the_same_function(
    small_config: ModelConfig, fields: dict, plausible: Callable
) -> None:
    network = plausible(small_config.model_copy(update=fields)).double()
    before = {name: t.clone() for name, t in network.state_dict().items()}
    images = torch.randn(2, 1, 3, 64, 64, dtype=torch.float64)
    form = inference_form(network)
    with torch.no_grad():
        building, damage = network.coarse(*images)
        logits = form(*images)
    expected = torch.cat([building_logit(building), class_logits(damage)], 1)
    torch.testing.assert_close(logits, expected, rtol=1e-7, atol=1e-7)
    norms = [n for n, m in form.named_modules() if isinstance(m, nn.BatchNorm2d)]
    # Only the published stem has a batch norm that no convolution precedes directly.
    assert norms == (["network.pre.bn2", "network.post.bn2"] if fields else [])
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())


def test_decode_agrees_with_softmax_and_argmax() -> None:
    building, damage = torch.randn(2, 1, 16, 16) * 3, torch.randn(2, 4, 16, 16) * 3
    labels, probability, confidence = decode(building, damage, threshold=0.3)
    p = torch.sigmoid(building[:, 0])
    there = p >= 0.3
    expected = torch.where(there, damage.argmax(1) + 1, 0)
    assert torch.equal(labels.long(), expected)
    assert (probability.float() - 255 * p).abs().max() <= 0.5 + 1e-3
    sure = torch.where(there, torch.softmax(damage, 1).amax(1), 1 - p)
    assert (confidence.float() - 255 * sure).abs().max() <= 0.5 + 1e-3
    assert {labels.dtype, probability.dtype, confidence.dtype} == {torch.uint8}


def test_normalise_is_imagenets() -> None:
    config = ModelConfig(width=8)
    image = torch.randint(0, 256, (1, 4, 5, 3), dtype=torch.uint8)
    value = normalise(image, config)
    assert value.shape == (1, 3, 4, 5)
    expected = (image[0, 2, 3, 1].item() / 255 - 0.456) / 0.224
    assert value[0, 1, 2, 3].item() == pytest.approx(expected, abs=1e-6)
