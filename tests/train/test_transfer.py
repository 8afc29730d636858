"""Published and own weights in every variant: what was taken computes what it did there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from runtime.errors import CheckpointError
from tests.train import restated_hrnet as restated
from train.checkpoint import Checkpoint, save_checkpoint
from train.initial import start_from
from train.model import DualHRNet, ModelConfig, build_network
from train.transfer import Given, transfer

DEPTH = {"width": 8, "stem_width": 16, "bottlenecks": 2, "modules": (1, 1, 1), "blocks": 1}
HEADS = {"projection": 16, "head_widths": (16, 8)}
OTHER_MEAN, OTHER_STD = (0.3, 0.5, 0.6), (0.15, 0.3, 0.2)
VARIANTS: dict[str, dict[str, object]] = {
    "dual": {},
    "without squeeze-excitation": {"squeeze_excitation": False},
    "fusion by convolution": {"fusion": "conv"},
    "exchange once": {"exchange_stages": (4,)},
    "siamese": {"streams": "siamese"},
    "single stream": {"streams": "single"},
    "other std": {"std": OTHER_STD},
    "other mean and std": {"mean": OTHER_MEAN, "std": OTHER_STD},
    "siamese, other mean": {"streams": "siamese", "mean": OTHER_MEAN},
    "single stream, other mean and std": {
        "streams": "single", "mean": OTHER_MEAN, "std": OTHER_STD
    },
}  # fmt: skip


def _config(**fields: object) -> ModelConfig:
    return ModelConfig.model_validate({**DEPTH, **HEADS, **fields})


def _lively(state: dict[str, Tensor], seed: int = 0) -> dict[str, Tensor]:
    """With statistics and biases that no fresh network has."""
    random = torch.Generator().manual_seed(seed)

    def of(name: str, tensor: Tensor) -> Tensor:
        noise = torch.rand(tensor.shape, generator=random)
        if name.endswith("num_batches_tracked"):
            return torch.tensor(7)
        if name.endswith(("running_var", "bn1.weight", "bn2.weight", "bn3.weight", ".1.weight")):
            return noise + 0.5 if tensor.ndim == 1 else tensor.clone()
        return (noise - 0.5) * 0.4 if tensor.ndim == 1 else tensor.clone()

    return {name: of(name, tensor) for name, tensor in state.items()}


def _published() -> dict[str, Tensor]:
    """As HRNet's authors publish it: one backbone, and a classification head."""
    stream = _lively(build_network(_config(streams="siamese"), 5).pre.state_dict())
    head = {"incre_modules.0.0.bn1.bias": torch.rand(3), "classifier.weight": torch.rand(4, 3)}
    return stream | head


PUBLISHED = _published()
TENSORS = sum(not name.endswith("num_batches_tracked") for name in PUBLISHED) - 2
IMAGENET = ModelConfig(**DEPTH)


def _given(state: dict[str, Tensor] = PUBLISHED) -> Given:
    backbone = {f"pre.{n}": t for n, t in state.items() if not n.startswith(("incre", "class"))}
    return Given(IMAGENET, backbone, {"classifier": 1, "incre_modules": 1})


def _features(network: DualHRNet, stream: str, image: Tensor) -> list[Tensor]:
    """The four branches of one stream without exchange. `image`: uint8 [N, H, W, 3]."""
    backbone = getattr(network, stream)
    x = _seen(image, network.config)
    x = torch.cat([x, x], 1) if network.config.streams == "single" else x
    with torch.no_grad():
        branches = [backbone.layer1(backbone.stem(x))]
        for stage in (2, 3, 4):
            branches = backbone.stage(stage)(backbone.enter(stage, branches))
    return branches


def _seen(image: Tensor, config: ModelConfig) -> Tensor:
    """Scaled and normalised, float64 [N, 3, H, W]."""
    mean, std = (torch.tensor(each, dtype=torch.float64) for each in (config.mean, config.std))
    return ((image.double() / 255 - mean) / std).permute(0, 3, 1, 2)


def _truth(
    state: dict[str, Tensor], image: Tensor, of: ModelConfig, to: ModelConfig
) -> list[Tensor]:
    """What a backbone that sees images as `of` computes, where what surrounds them is black to
    a network that sees them as `to`."""
    outside = [(b - a) / s for a, b, s in zip(of.mean, to.mean, of.std, strict=True)]
    precise = {name: tensor.double() for name, tensor in state.items()}
    around = torch.tensor(outside, dtype=torch.float64)
    return restated.features(precise, _seen(image, of), around)


def _image(side: int = 64) -> Tensor:
    random = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (1, side, side, 3), dtype=torch.uint8, generator=random)


def _streams(config: ModelConfig) -> list[str]:
    return ["pre", "post"] if config.streams == "dual" else ["pre"]


def _assert_same(found: list[Tensor], wanted: list[Tensor]) -> None:
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == other.shape
        assert (one - other).abs().max() < 1e-5 * other.abs().max()


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_stream_computes_what_the_published_backbone_does(variant: str) -> None:
    config = _config(**VARIANTS[variant])
    network = build_network(config, 1)
    transfer("x.pth", _given(), network)
    network.double().eval()
    wanted = _truth(PUBLISHED, _image(), IMAGENET, config)
    for stream in _streams(config):
        _assert_same(_features(network, stream, _image()), wanted)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_account_counts_every_tensor_once(variant: str) -> None:
    config = _config(**VARIANTS[variant])
    network = build_network(config, 1)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    account = transfer("x.pth", _given(), network)
    now = network.state_dict()
    counted = [name for name in before if not name.endswith("num_batches_tracked")]
    taken = TENSORS * len(_streams(config))
    parts = {"exchange": 0, "heads": 0}
    for name in counted:
        if (part := name.partition(".")[0]) in parts:
            parts[part] += 1
            assert torch.equal(now[name], before[name])
    assert account.taken == taken
    assert account.total == len(counted)
    assert account.fresh == {part: count for part, count in parts.items() if count}
    assert account.left == {"classifier": 1, "incre_modules": 1}


def test_only_a_constant_is_left_to_the_running_mean() -> None:
    """In training a batch's own mean takes its place, so the convolution has to be right."""
    config = _config(mean=OTHER_MEAN, std=OTHER_STD)
    network = build_network(config, 1)
    transfer("x.pth", _given(), network)
    weight = PUBLISHED["conv1.weight"].double()
    with torch.no_grad():
        found = network.double().pre.conv1(_seen(_image(), config))
    apart = found - F.conv2d(_seen(_image(), IMAGENET), weight, stride=2, padding=1)
    inner = apart[:, :, 1:, 1:]
    assert inner.abs().max() > 0.01
    assert (inner.amax((0, 2, 3)) - inner.amin((0, 2, 3))).max() < 1e-5


@pytest.mark.parametrize("of", ["dual", "single stream", "siamese, other mean"])
@pytest.mark.parametrize("to", ["dual", "siamese", "single stream", "other mean and std"])
def test_a_checkpoint_of_any_variant_starts_any_other(of: str, to: str, tmp_path: Path) -> None:
    given, wanted = _config(**VARIANTS[of]), _config(**VARIANTS[to])
    state = _lively(build_network(given, 2).state_dict())
    save_checkpoint(tmp_path / "last.pt", Checkpoint(given, state))
    network = build_network(wanted, 3)
    account, _ = start_from(tmp_path / "last.pt", network)
    if given == wanted:
        assert all(
            torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items()
        )
        count = f"{account.total} of {account.total}"
        assert str(account) == f"{count} tensors taken; nothing is fresh; nothing is left over"
    network.double().eval()
    for stream in _streams(wanted):
        source = stream if stream in _streams(given) else "pre"
        backbone = restated.inside(state, f"{source}.")
        if given.streams == "single":
            backbone["conv1.weight"] = sum(backbone["conv1.weight"].double().split(3, 1))
        _assert_same(
            _features(network, stream, _image()), _truth(backbone, _image(), given, wanted)
        )
    if (given.streams, wanted.streams) == ("dual", "siamese"):
        assert account.left == {"post": TENSORS}
        assert account.fresh == {}
    if (given.streams, wanted.streams) == ("single", "dual"):
        assert account.fresh.keys() == {"exchange", "heads"}  # heads.fuse alone


def test_exchange_and_heads_that_fit_are_taken_too() -> None:
    given = _config()
    state = _lively(build_network(given, 2).state_dict())
    network = build_network(_config(squeeze_excitation=False, head_widths=(16, 4)), 3)
    account = transfer("x.pt", Given(given, state), network)
    now = network.state_dict()
    assert torch.equal(
        now["exchange.stage3.to_pre.1.reduce.0.weight"],
        state["exchange.stage3.to_pre.1.reduce.0.weight"],
    )
    gates = [name for name in state if ".se." in name]
    exchanged = [name for name in gates if name.startswith("exchange.")]
    # In each head the second convolution, its norm, and the input of the last are narrower.
    narrower = 2 * (1 + 4 + 2)
    assert account.fresh == {"heads": narrower}
    assert account.left == {
        "exchange": len(exchanged),
        "heads": len(gates) - len(exchanged) + narrower,
    }
    assert f"of another shape: heads {narrower}" in str(account)


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"width": 12}, r"model.width \(is 8, config says 12\).*widen its network"),
        (
            {"width": 4},
            r"model.width \(is 8, config says 4\); give model the file's values, or set",
        ),
        (
            {"stem_width": 8, "width": 6},
            r"model.width .*; model.stem_width \(is 16, config says 8\)",
        ),
        ({"modules": (3, 4, 3), "blocks": 4}, r"model.modules \(is \(1, 1, 1\), config says"),
    ],
)
def test_too_little_of_a_backbone_is_an_error_and_changes_nothing(
    fields: dict[str, object], found: str
) -> None:
    network = build_network(_config(**fields), 1)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(
        CheckpointError, match=r"x.pth: only \d+ of the backbone's \d+ tensors fit.*" + found
    ):
        transfer("x.pth", _given(), network)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_a_backbone_of_a_module_less_is_taken_and_the_difference_is_said() -> None:
    network = build_network(_config(streams="siamese", bottlenecks=3), 1)
    account = transfer("x.pth", _given(), network)
    assert account.taken == TENSORS
    assert account.fresh["pre.layer1"] == 15
    assert "model.bottlenecks (is 2, config says 3)" in str(account)


def test_a_partial_backbone_is_taken_and_what_lacks_is_named() -> None:
    """Pose HRNets put out the finest branch alone, so that the last fuse layers are missing."""
    lost = [
        n for n in PUBLISHED if n.startswith(tuple(f"stage4.0.fuse_layers.{i}." for i in (1, 2, 3)))
    ]
    network = build_network(_config(streams="siamese"), 1)
    account = transfer(
        "x.pth", _given({n: t for n, t in PUBLISHED.items() if n not in lost}), network
    )
    missing = sum(not name.endswith("num_batches_tracked") for name in lost)
    assert account.fresh["pre.stage4"] == missing > 0
    assert account.taken == TENSORS - missing


@settings(deadline=None, max_examples=5)
@given(chosen=st.data())
def test_half_a_layer_is_refused_by_name(chosen: st.DataObject) -> None:
    state = dict(PUBLISHED)
    norms = [n for n in state if n.endswith(("running_mean", "running_var"))]
    lost = chosen.draw(st.sampled_from(norms))
    del state[lost]
    network = build_network(_config(), 1)
    with pytest.raises(
        CheckpointError, match=rf"x.pth: has pre\.\S+ without pre\.{lost}, and half a"
    ):
        transfer("x.pth", _given(state), network)


def test_weights_without_any_statistics_are_refused() -> None:
    state = {n: t for n, t in PUBLISHED.items() if "running_" not in n}
    with pytest.raises(CheckpointError, match="without pre.bn1.running_mean"):
        transfer("x.pth", _given(state), build_network(_config(), 1))


def test_convolutions_that_hold_their_norms_are_no_start() -> None:
    """A file made for inference: batch norm is in the convolutions, which have biases for it."""
    norms = {n.rpartition(".")[0] for n in PUBLISHED if n.endswith("running_mean")}
    convs = {n: t for n, t in PUBLISHED.items() if n.rpartition(".")[0] not in norms}
    convs |= {n.replace("weight", "bias"): torch.zeros(len(t)) for n, t in convs.items()}
    with pytest.raises(CheckpointError, match=r"only 0 of the backbone's \d+ tensors fit"):
        transfer("x.pth", _given(convs), build_network(_config(), 1))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("stage3.0.branches.0.0.conv1.weight", float("nan"), "has 1 of .* NaN or infinite"),
        ("conv1.weight", float("inf"), "has 1 of .* NaN or infinite"),
        ("bn1.running_var", -1.0, "is a variance below 0"),
    ],
)
def test_a_spoilt_tensor_is_refused(name: str, value: float, message: str) -> None:
    state = {n: t.clone() for n, t in PUBLISHED.items()}
    state[name].view(-1)[0] = value
    with pytest.raises(CheckpointError, match=rf"x.pth: pre.{name} {message}"):
        transfer("x.pth", _given(state), build_network(_config(streams="single"), 1))


def test_whole_numbers_are_no_weights() -> None:
    state = PUBLISHED | {"layer1.0.conv1.weight": PUBLISHED["layer1.0.conv1.weight"].to(torch.int8)}
    with pytest.raises(
        CheckpointError, match="pre.layer1.0.conv1.weight is int8, expected floating"
    ):
        transfer("x.pth", _given(state), build_network(_config(), 1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_number_formats_become_single_precision(dtype: torch.dtype) -> None:
    state = {n: t.to(dtype) if t.is_floating_point() else t for n, t in PUBLISHED.items()}
    network = build_network(_config(), 1)
    transfer("x.pth", _given(state), network)
    for name, tensor in network.pre.state_dict().items():
        assert tensor.dtype in (torch.float32, torch.int64)
        assert torch.equal(tensor, state[name].to(tensor.dtype))


def test_streams_do_not_share_memory() -> None:
    network = build_network(_config(), 1)
    transfer("x.pth", _given(), network)
    with torch.no_grad():
        network.pre.conv1.weight.zero_()
    assert network.post.conv1.weight.abs().sum() > 0
    assert PUBLISHED["conv1.weight"].abs().sum() > 0


def test_another_order_in_the_stem_is_said() -> None:
    network = build_network(_config(architecture="si-analytics"), 1)
    assert "the stem's ReLU stands elsewhere" in str(transfer("x.pth", _given(), network))
