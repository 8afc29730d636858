"""`init`: which files it takes, in which layouts, and what a run says and records of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from runtime.errors import CheckpointError
from runtime.files import sha256
from tests.train import restated_hrnet as restated
from train import import_weights
from train.checkpoint import load_checkpoint
from train.config_file import load_config
from train.initial import read_given, require_init, start_from
from train.model import ModelConfig, build_network
from train.shipped import shipped

DEPTH = {"width": 8, "stem_width": 8, "bottlenecks": 1, "modules": (1, 1, 1), "blocks": 1}
SMALL = ModelConfig(**DEPTH, projection=16, head_widths=(16, 8))
STREAM = build_network(SMALL, 5).pre.state_dict()
OTHER = {name: torch.zeros_like(tensor) for name, tensor in STREAM.items()}
HEADS: dict[str, dict[str, Tensor]] = {
    # The authors' and timm's; in timm's SSLD files the head's convolutions have no biases.
    "authors": {
        "incre_modules.0.0.conv1.weight": torch.rand(3),
        "downsamp_modules.0.0.weight": torch.rand(3),
        "downsamp_modules.0.0.bias": torch.rand(3),
        "final_layer.0.weight": torch.rand(3),
        "classifier.weight": torch.rand(3),
    },
    "SSLD": {"downsamp_modules.0.0.weight": torch.rand(3), "classifier.weight": torch.rand(3)},
    "mmpretrain": {"neck.0.increase_layers.0.0.conv1.weight": torch.rand(3)},
    "mmsegmentation": {"decode_head.conv_seg.weight": torch.rand(3)},
    "mmpose": {"head.final_layer.weight": torch.rand(3)},
}


def _under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


LAYOUTS: dict[str, tuple[object, set[str]]] = {
    "authors": (STREAM | HEADS["authors"], {n.partition(".")[0] for n in HEADS["authors"]}),
    "timm's SSLD": (STREAM | HEADS["SSLD"], {"downsamp_modules", "classifier"}),
    "timm, training with an average": (
        {"arch": "hrnet_w8", "state_dict": OTHER, "state_dict_ema": _under("module.", STREAM)},
        set(),
    ),
    "an average under another key": ({"model": OTHER, "model_ema": STREAM}, set()),
    "mmpretrain": (
        {"meta": {}, "state_dict": _under("backbone.", STREAM) | HEADS["mmpretrain"]},
        {"neck"},
    ),
    "mmsegmentation with its average, which it puts first": (
        {
            "meta": {"epoch": 1},
            "state_dict": _under("backbone.", STREAM) | HEADS["mmsegmentation"],
            "ema_state_dict": _under("module.backbone.", OTHER) | {"steps": torch.tensor(3)},
        },
        {"decode_head"},
    ),
    "mmpose, distributed": (
        {"state_dict": _under("module.", _under("backbone.", STREAM) | HEADS["mmpose"])},
        {"head"},
    ),
    "Lightning, compiled": ({"state_dict": _under("model._orig_mod.", STREAM)}, set()),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_published_file_is_taken_as_it_is(layout: str, tmp_path: Path) -> None:
    content, left = LAYOUTS[layout]
    suffix = ".bin" if layout.startswith("timm") else ".pth"
    torch.save(content, tmp_path / f"weights{suffix}")
    network = build_network(SMALL, 1)
    account, started_from = start_from(tmp_path / f"weights{suffix}", network)
    for stream in (network.pre, network.post):
        assert all(torch.equal(t, STREAM[name]) for name, t in stream.state_dict().items())
    assert account.left.keys() == left
    assert started_from == (
        f"weights{suffix} (sha256 {sha256(tmp_path / f'weights{suffix}')}), {account.share}"
    )


def test_safetensors_in_half_precision_are_taken(tmp_path: Path) -> None:
    save_file = pytest.importorskip("safetensors.torch").save_file
    half = {n: t.half() if t.is_floating_point() else t for n, t in STREAM.items()}
    save_file(half, tmp_path / "model.safetensors")
    network = build_network(SMALL, 1)
    start_from(tmp_path / "model.safetensors", network)
    assert torch.equal(network.post.conv1.weight, half["conv1.weight"].float())


def test_a_file_without_counters_starts_them_at_zero(tmp_path: Path) -> None:
    torch.save({n: t for n, t in STREAM.items() if "num_batches" not in n}, tmp_path / "old.pth")
    network = build_network(SMALL, 1)
    account, _ = start_from(tmp_path / "old.pth", network)
    assert account.fresh.keys() == {"exchange", "heads"}
    assert int(network.pre.bn1.num_batches_tracked) == 0


def test_a_narrower_network_of_few_blocks_says_what_to_set(tmp_path: Path) -> None:
    """As HRNet-W18-small-v2 is to W18: the same widths, half of the blocks."""
    torch.save(STREAM, tmp_path / "small.pth")
    network = build_network(SMALL.model_copy(update={"blocks": 4, "modules": (1, 4, 3)}), 1)
    with pytest.raises(CheckpointError) as error:
        start_from(tmp_path / "small.pth", network)
    assert "model.modules (is (1, 1, 1), config says (1, 4, 3))" in str(error.value)
    assert "model.blocks (is 1, config says 4)" in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"conv1.weight": torch.zeros(64, 3, 7, 7)}, "not an HRNetV2; expected tensors named"),
        ([1], "not an HRNetV2"),
        (STREAM | {"model.conv1.weight": torch.zeros(8, 3, 3, 3)}, "holds more than one backbone"),
        (
            {n: t for n, t in STREAM.items() if not n.startswith(("stage3", "stage4"))},
            "only .* tensors fit, expected 75%, .*: it holds too little of one; take a whole one",
        ),
    ],
    ids=["ResNet", "list", "two", "beginning alone"],
)
def test_another_file_is_an_error(content: object, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match=f"odd.pth: {message}"):
        start_from(tmp_path / "odd.pth", build_network(SMALL, 1))


def test_a_checkpoint_of_a_checkpoint_names_both(tmp_path: Path) -> None:
    torch.save(STREAM, tmp_path / "published.pth")
    line = ["--source", "hrnet", str(tmp_path / "published.pth"), "--out", str(tmp_path / "a.pt")]
    import_weights.main(import_weights.parser().parse_args(line))
    _, started_from = start_from(
        tmp_path / "a.pt", build_network(load_checkpoint(tmp_path / "a.pt").model, 1)
    )
    digest = "[0-9a-f]{64}"
    assert re.fullmatch(
        rf"a.pt \(sha256 {digest}\), (\d+) of \1 tensors, which started from "
        rf"published.pth \(sha256 {digest}\)",
        started_from,
    )


def test_shipped_full_size_configurations_name_files_that_fit_their_networks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    named = {
        name: load_config(Path(name)) for name in shipped() if re.fullmatch(r"w\d+\.yaml", name)
    }
    assert named.keys() >= {"w18.yaml", "w32.yaml", "w48.yaml", "w64.yaml"}
    for config in named.values():
        assert config.init is not None
        width = config.model.width
        assert config.init.name == f"hrnetv2_w{width}_imagenet_pretrained.pth"
        with pytest.raises(CheckpointError) as error:
            require_init(config.init)
        (line,) = str(error.value).splitlines()
        for word in (
            config.init.name,
            "no such file",
            f"HRNetV2-W{width}",
            "init=FILE",
            "init=null",
        ):
            assert word in line
        assert "http" not in line


def test_another_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    for path, found in ((tmp_path / "none.pt", "no such file"), (tmp_path, "is a folder")):
        with pytest.raises(CheckpointError, match=f"init={path}: {found}; expected a checkpoint"):
            require_init(path)


def _line(data: Path, out: Path, *more: object) -> list[object]:
    small = [f"model.{key}={list(v) if isinstance(v, tuple) else v}" for key, v in DEPTH.items()]
    return [
        "--config", "demo", "--data", data, "--out", out, *small, "model.projection=16",
        "model.head_widths=[16,8]", "data.crop=64", "optim.batch_size=4",
        "schedule=[{epochs: 1, rate: 0.001}]", *more,
    ]  # fmt: skip


def test_a_run_says_and_records_what_it_started_from(
    synthetic: Path, tmp_path: Path, command: Callable
) -> None:
    published = tmp_path / "hrnet_w8.pth"
    torch.save(STREAM | HEADS["authors"], published)
    run = tmp_path / "run"
    more = (
        f"init={published}",
        "model.streams=single",
        "model.mean=[0.5, 0.5, 0.5]",
        "model.squeeze_excitation=true",
    )
    result = command("train", *_line(synthetic, run, *more))
    assert result.returncode == 0, result.stderr
    (note,) = [line for line in result.stderr.splitlines() if line.startswith("init=")]
    assert re.fullmatch(
        rf"init={published}: (\d+) of (\d+) tensors taken; fresh: heads \d+; left over: "
        r"classifier 1, .*; the first convolution's weights are shared between six channels and "
        r"three; another normalisation is folded into the first convolution, exact but .*",
        note,
    )
    best, last = (load_checkpoint(run / name) for name in ("best.pt", "last.pt"))
    assert best.started_from == last.started_from
    assert best.started_from.startswith(f"hrnet_w8.pth (sha256 {sha256(published)}), ")
    assert "Finetuned from:** hrnet\\_w8.pth (sha256 " in (run / "README.md").read_text()
    published.unlink()
    again = command("train", *_line(synthetic, run, *more), "--resume")
    assert again.returncode == 0, again.stderr
    assert load_checkpoint(run / "last.pt").started_from == best.started_from


def test_a_missing_file_ends_the_run_before_its_tiles_are_read(
    tmp_path: Path, error_line: Callable
) -> None:
    (tmp_path / "data").mkdir()
    line = error_line("train", *_line(tmp_path / "data", tmp_path / "run", "init=none.pt"))
    assert "init=none.pt: no such file" in line


def test_training_through_int8_takes_no_other_network(
    small_checkpoint: Path, calibration_file: Path, synthetic: Path, tmp_path: Path,
    error_line: Callable,
) -> None:  # fmt: skip
    more = (
        f"init={small_checkpoint}", f"qat.calibration={calibration_file}",
        "model.streams=siamese",
    )  # fmt: skip
    line = error_line("train", *_line(synthetic, tmp_path / "run", *more))
    assert "another architecture than qat.calibration's: model.streams (is dual, config" in line


def _si_analytics(width: int = 4) -> dict[str, Tensor]:
    """Their names and layout, of a small network with statistics that no fresh one has."""
    config = ModelConfig(**{**DEPTH, "width": width}, architecture="si-analytics")
    random = torch.Generator().manual_seed(1)
    state: dict[str, Tensor] = {}
    for name, tensor in build_network(config, 4).state_dict().items():
        if tensor.ndim == 1:
            tensor = torch.rand(tensor.shape, generator=random) + 0.3
        theirs = re.sub(r"^pre\.", "loc_net.", re.sub(r"^post\.", "cls_net.", name))
        theirs = re.sub(r"transition(\d)", lambda m: f"transitions.{int(m[1]) - 1}", theirs)
        theirs = re.sub(
            r"^exchange\.stage(\d)\.to_(pre|post)",
            lambda m: f"fuse_{ {'pre': 'loc', 'post': 'cls'}[m[2]] }_stage{int(m[1]) - 1}",
            theirs,
        )
        if match := re.fullmatch(r"heads\.(building|damage)\.(.*)", theirs):
            net = {"building": "loc_net", "damage": "cls_net"}[match[1]]
            rest = match[2]
            if "project.branches" in rest and rest.endswith("weight"):
                whole = f"{net}.last_layer.0.weight"
                state[whole] = torch.cat([state[whole], tensor], 1) if whole in state else tensor
                continue
            rest = rest.replace("project.branches.0", "0").replace("bn.", "1.")
            theirs = f"{net}.last_layer.{rest.replace('classify', '3')}"
        state[theirs] = tensor
    return state


@pytest.mark.parametrize("prefix", ["", "module.model."])
def test_the_xview2_network_computes_what_its_authors_describe(prefix: str, tmp_path: Path) -> None:
    """Also with the names that its wrappers for the loss and for several GPUs give."""
    theirs = _si_analytics()
    content = {"epoch": 500, "state_dict": _under(prefix, theirs), "optimizer": {}}
    torch.save(content, tmp_path / "weight.pth")
    line = ["--source", "si-analytics", str(tmp_path / "weight.pth"), "--out"]
    import_weights.main(import_weights.parser().parse_args([*line, str(tmp_path / "a.pt")]))
    imported = load_checkpoint(tmp_path / "a.pt")
    straight = build_network(imported.model, 1)
    start_from(tmp_path / "weight.pth", straight)
    images = torch.randn(
        2, 1, 3, 64, 96, dtype=torch.float64, generator=torch.Generator().manual_seed(2)
    )
    wanted = restated.si_analytics({n: t.double() for n, t in theirs.items()}, *images)
    for network in (imported.network(), straight):
        with torch.no_grad():
            found = network.double().eval().coarse(*images)
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("part", ["fpn_loc.0.0.weight", "fuse_last.0.0.weight"])
def test_another_form_of_the_xview2_network_is_refused(part: str, tmp_path: Path) -> None:
    torch.save(_si_analytics() | {part: torch.zeros(4, 8, 1, 1)}, tmp_path / "other.pth")
    with pytest.raises(
        CheckpointError, match=f"other.pth: has {part.partition('.')[0]}, another form"
    ):
        read_given(tmp_path / "other.pth")


def test_the_xview2_backbones_start_a_network_of_this_toolkit(tmp_path: Path) -> None:
    theirs = _si_analytics(width=8)
    torch.save(theirs, tmp_path / "weight.pth")
    network = build_network(SMALL, 1)
    account, _ = start_from(tmp_path / "weight.pth", network)
    assert torch.equal(
        network.post.stage4[0].branches[3][0].conv1.weight,
        theirs["cls_net.stage4.0.branches.3.0.conv1.weight"],
    )
    assert account.fresh.keys() == {"exchange", "heads"}
    assert "the stem's ReLU stands elsewhere" in str(account)
