"""Every option of the native network: what it changes, and that it survives the whole way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runtime.errors import ConfigError
from train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from train.config_file import load_config, parse_config
from train.model import DualHRNet, ModelConfig, build_network
from train.model.decode import building_logit, class_logits
from train.model.exchange import ResidualFusion
from train.model.inference_form import inference_form

CONFIGS = Path(__file__).parents[2] / "train" / "configs"

OPTIONS = [
    {"exchange_stages": ()},
    {"exchange_stages": (2,)},
    {"exchange_stages": (3, 4)},
    {"fusion": "conv"},
    {"squeeze_excitation": False},
    {"streams": "siamese"},
    {"streams": "siamese", "exchange_stages": (), "fusion": "conv"},
    {"streams": "single"},
]


@pytest.mark.parametrize(
    ("architecture", "digest"),
    [
        ("dual-hrnet", "eaee600d183e40c94e67e88b6eb4cffd94707ae001d04cd02aa6fa6381142b0c"),
        ("si-analytics", "a0715e6277b2f7db608420103934b520a05a9b5c2d05343012593cd356536064"),
    ],
)
def test_default_networks_keep_their_tensors_in_name_shape_and_order(
    architecture: str, digest: str
) -> None:
    with torch.device("meta"):
        state = DualHRNet(ModelConfig(architecture=architecture, width=8)).state_dict()
    listing = "\n".join(f"{name} {tuple(tensor.shape)}" for name, tensor in state.items())
    assert hashlib.sha256(listing.encode()).hexdigest() == digest


@pytest.mark.parametrize("options", OPTIONS)
def test_every_parameter_takes_part_in_the_gradient(small: Callable, options: dict) -> None:
    network = build_network(small(**options), 0)
    building, damage = network(*torch.randn(2, 2, 3, 64, 64))
    (building.square().mean() + damage.square().mean()).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("options", OPTIONS)
def test_inference_form_is_the_same_function(
    small: Callable, plausible: Callable, options: dict
) -> None:
    network = plausible(small(**options)).double()
    images = torch.randn(2, 1, 3, 64, 64, dtype=torch.float64)
    form = inference_form(network)
    with torch.no_grad():
        building, damage = network.coarse(*images)
        logits = form(*images)
    expected = torch.cat([building_logit(building), class_logits(damage)], 1)
    torch.testing.assert_close(logits, expected, rtol=1e-7, atol=1e-7)
    assert not [m for m in form.modules() if isinstance(m, nn.BatchNorm2d)]


@pytest.mark.parametrize("options", OPTIONS)
def test_a_checkpoint_brings_its_options(small: Callable, options: dict, tmp_path: Path) -> None:
    network = build_network(small(**options), 0).eval()
    save_checkpoint(tmp_path / "c.pt", Checkpoint(network.config, network.state_dict()))
    loaded = load_checkpoint(tmp_path / "c.pt").network()
    images = torch.randn(2, 1, 3, 64, 64)
    assert loaded.config == network.config
    with torch.no_grad():
        for ours, expected in zip(loaded(*images), network(*images), strict=True):
            assert torch.equal(ours, expected)


@pytest.mark.parametrize("stages", [(), (2,), (3,), (4,), (2, 4), (2, 3, 4)])
def test_a_stream_sees_the_other_from_its_first_exchange_on(
    small: Callable, stages: tuple[int, ...]
) -> None:
    network = build_network(small(exchange_stages=stages), 0).eval()
    assert sorted(network.exchange) == [f"stage{stage}" for stage in stages]
    seen: dict[int, list[Tensor]] = {2: [], 3: [], 4: []}
    for stage, outputs in seen.items():
        network.pre.stage(stage)[-1].register_forward_hook(
            lambda module, inputs, output, outputs=outputs: outputs.append(output[0])
        )
    pre, post, other = torch.randn(3, 1, 3, 64, 64)
    with torch.no_grad():
        network(pre, post)
        network(pre, other)
    for stage, (first, second) in seen.items():
        assert torch.equal(first, second) == (stage < min(stages, default=5)), stage


def test_a_siamese_network_is_a_dual_one_with_equal_streams(
    small: Callable, plausible: Callable
) -> None:
    siamese = plausible(small(streams="siamese")).double()
    state = siamese.state_dict()
    assert not [name for name in state if name.startswith("post.")]
    copies = {f"post.{k.removeprefix('pre.')}": t for k, t in state.items() if k[:4] == "pre."}
    dual = DualHRNet(small()).double().eval()
    dual.load_state_dict({**state, **copies})
    images = torch.randn(2, 1, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        for ours, expected in zip(siamese(*images), dual(*images), strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)


def test_a_single_stream_takes_six_channels_pre_first(small: Callable) -> None:
    network = build_network(small(streams="single"), 0).eval()
    assert {name.split(".")[0] for name in network.state_dict()} == {"pre", "heads"}
    assert not [name for name in network.state_dict() if name.startswith("heads.fuse")]
    assert network.pre.conv1.weight.shape[1] == 6
    pre, post = torch.randn(2, 1, 3, 64, 64)
    with torch.no_grad():
        both = network(pre, post)
        assert not torch.allclose(both[0], network(pre, post + 1)[0])
        network.pre.conv1.weight[:, 3:] = 0
        assert torch.equal(network(pre, post)[1], network(pre, post + 1)[1])
        assert not torch.allclose(network(pre, post)[1], network(pre + 1, post)[1])


def test_conv_fusion_is_a_convolution_batch_norm_and_relu(small: Callable) -> None:
    network = build_network(small(fusion="conv"), 0)
    for fuse in (network.exchange["stage3"].to_post[1], network.heads.fuse.branches[1]):
        conv, norm = fuse[0], fuse[1]
        pair = torch.randn(2, 32, 8, 8)
        mixed = torch.einsum("oi,nihw->nohw", conv.weight[:, :, 0, 0], pair)
        expected = F.batch_norm(mixed, None, None, norm.weight, norm.bias, training=True).relu()
        torch.testing.assert_close(fuse(pair), expected, rtol=1e-4, atol=1e-4)


def test_fusion_without_squeeze_excitation_is_fusion_with_an_open_gate() -> None:
    plain = ResidualFusion(8, gated=False).double()
    gated = ResidualFusion(8, gated=True).double()
    assert not [name for name in plain.state_dict() if name.startswith("se.")]
    gated.load_state_dict(plain.state_dict(), strict=False)
    nn.init.zeros_(gated.se.excite.weight)
    nn.init.constant_(gated.se.excite.bias, 50)
    pair = torch.randn(2, 16, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(plain(pair), gated(pair), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"exchange_stages": [2, 2]}, "model.exchange_stages: .*at most once"),
        ({"exchange_stages": [1]}, "model.exchange_stages.0: Input should be 2, 3 or 4"),
        ({"streams": "triple"}, "model.streams: Input should be 'dual', 'siamese' or 'single'"),
        ({"streams": "single", "exchange_stages": [2]}, "exchange_stages: a single stream"),
        ({"streams": "single", "fusion": "conv"}, "fusion: not an option with streams single"),
        (
            {"fusion": "conv", "squeeze_excitation": False},
            "squeeze_excitation: not an option with fusion conv",
        ),
        *(
            (
                {"architecture": "si-analytics", option: value},
                f"{option}: not an option with architecture si-analytics; leave it out",
            )
            for option, value in (
                ("streams", "siamese"),
                ("exchange_stages", [2]),
                ("fusion", "conv"),
                ("squeeze_excitation", False),
            )
        ),
    ],
)
def test_options_without_effect_are_refused_in_one_line(fields: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse_config({"model": fields}, "c.yaml")
    assert "\n" not in str(caught.value)


def test_a_single_stream_alone_is_a_whole_config() -> None:
    config = ModelConfig(streams="single")
    assert config.exchange_stages == ()
    assert ModelConfig.model_validate(config.model_dump()) == config


@pytest.mark.parametrize(
    "path", sorted((CONFIGS / "ablation").glob("*.yaml")), ids=lambda p: p.stem
)
def test_an_ablation_is_the_demo_with_one_option_changed(path: Path) -> None:
    demo, ablation = load_config(CONFIGS / "demo.yaml"), load_config(path)
    assert ablation.model_copy(update={"model": demo.model}) == demo
    changed = {
        name
        for name in ModelConfig.model_fields
        if getattr(ablation.model, name) != getattr(demo.model, name)
    }
    # A single stream has no other to exchange with; without residual fusion there is no gate.
    single = ablation.model.streams == "single"
    also = {"exchange_stages"} if single else set()
    if single or ablation.model.fusion == "conv":
        also.add("squeeze_excitation")
    assert len(changed - also) == 1
    DualHRNet(ablation.model)
