"""Published weights: every tensor arrives where it belongs, or the file is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from runtime.errors import CheckpointError, ConfigError
from train import import_weights
from train.checkpoint import Checkpoint, load_checkpoint
from train.foreign import hrnet, si_analytics
from train.foreign.weights import infer_backbone, read_state
from train.model import ModelConfig, build_network
from train.model.hrnet import HRNet

DEPTH = {"stem_width": 16, "bottlenecks": 2, "modules": (1, 2, 1), "blocks": 1}
HEAD = {
    "incre_modules.0.0.conv1.weight": 3,
    "incre_modules.0.0.bn1.weight": 3,
    "classifier.bias": 9,
}
LAYOUTS: dict[str, Callable[[dict[str, Tensor]], object]] = {
    "official": lambda state: state,
    "timm, state_dict": lambda state: {"state_dict": state, "epoch": 3, "arch": "hrnet_w8"},
    "timm, model": lambda state: {"model": state},
    "DataParallel": lambda state: {"state_dict": _under("module.", state)},
    "OpenMMLab": lambda state: {"meta": {"epoch": 3}, "state_dict": _under("backbone.", state)},
    "OpenMMLab, DataParallel": lambda state: _under("module.backbone.", state),
}
BACKBONE = re.compile(r"(conv|bn|layer|transition|stage)\d")


def _under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The backbone's names under a prefix; heads stand beside it, as OpenMMLab has them."""
    outer = "module." if prefix.startswith("module.") else ""
    return {(prefix if BACKBONE.match(n) else outer) + n: t for n, t in state.items()}


def _filled(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, Tensor]:
    """Tensors of these shapes that cannot be mistaken for one another."""
    random = torch.Generator().manual_seed(seed)
    return {
        name: torch.tensor(index)
        if name.endswith("num_batches_tracked")
        else torch.rand(shape, generator=random).add_(index)
        for index, (name, shape) in enumerate(shapes.items())
    }


def _listed(measurement_data: Path, name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a published file."""
    listing = measurement_data.parent / "reference" / name
    rows = [line.split("\t") for line in listing.read_text().splitlines()]
    return {key: tuple(map(int, re.findall(r"\d+", shape))) for key, shape in rows}


def _backbone() -> dict[str, Tensor]:
    with torch.device("meta"):
        stream = HRNet(ModelConfig(width=8, **DEPTH))
    return _filled({name: tuple(t.shape) for name, t in stream.state_dict().items()})


BASE = _backbone()


def _small() -> dict[str, Tensor]:
    return BASE | {name: torch.rand(size) for name, size in HEAD.items()}


def _import(source: str, content: object, folder: Path, *options: str) -> Checkpoint:
    """What `python -m train.import_weights` writes of a file with this content."""
    file, out = folder / "published.pth", folder / "imported.pt"
    torch.save(content, file)
    command = ["--source", source, str(file), "--out", str(out), *options]
    import_weights.main(import_weights.parser().parse_args(command))
    file.unlink()
    return load_checkpoint(out)


def _same(state: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return state.keys() == other.keys() and all(torch.equal(t, other[n]) for n, t in state.items())


def _of(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}


def test_every_official_w48_tensor_lands_in_both_streams(measurement_data: Path) -> None:
    published = _filled(_listed(measurement_data, "hrnetv2_w48_imagenet_keys.txt"))
    imported = hrnet.convert(Path("w48.pth"), published, seed=0)
    backbone = {name: t for name, t in published.items() if BACKBONE.match(name)}
    assert len(backbone) == 1830
    assert imported.model == ModelConfig(width=48)
    assert _same(_of(imported.weights, "pre."), backbone)
    assert _same(_of(imported.weights, "post."), backbone)
    assert (imported.loaded, imported.renamed, imported.filled) == (1830, 0, 0)
    head = {"classifier": 2, "downsamp_modules": 21, "final_layer": 7, "incre_modules": 96}
    assert (imported.dropped, imported.unknown) == (head, [])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_network(
    layout: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published = _small()
    checkpoint = _import("hrnet", LAYOUTS[layout](published), tmp_path, "--json")
    assert _same(_of(checkpoint.model_state, "pre."), BASE)
    assert _same(_of(checkpoint.model_state, "post."), BASE)
    account = json.loads(capsys.readouterr().out)
    wrapped = "DataParallel" in layout or "OpenMMLab" in layout
    assert account["loaded"] == len(BASE)
    assert account["renamed"] == (len(BASE) if wrapped else 0)
    assert account["dropped"] == {"classifier": 1, "incre_modules": 2}
    assert account["unknown"] == []
    assert account["filled"] == 0


@pytest.mark.parametrize("width", [18, 30, 32, 40, 44, 48, 64])
def test_every_published_width_is_inferred(width: int) -> None:
    config = ModelConfig(width=width)
    with torch.device("meta"):
        stream = HRNet(config).state_dict()
    assert infer_backbone(Path("file.pth"), stream) == config


def test_the_other_parts_are_those_of_a_new_network_with_that_seed(tmp_path: Path) -> None:
    states = [
        _import("hrnet", _small(), tmp_path, "--seed", str(seed)).model_state for seed in (0, 3)
    ]
    new = build_network(ModelConfig(width=8, **DEPTH), seed=3).state_dict()
    fresh = [name for name in new if not name.startswith(("pre.", "post."))]
    assert fresh
    assert all(torch.equal(states[1][name], new[name]) for name in fresh)
    assert not torch.equal(*(s["exchange.stage2.to_pre.0.reduce.0.weight"] for s in states))


def test_streams_do_not_share_memory(tmp_path: Path) -> None:
    """Else training, which writes in place, would keep them equal."""
    network = _import("hrnet", _small(), tmp_path).network()
    with torch.no_grad():
        network.pre.conv1.weight.zero_()
        network.pre.bn1.running_mean.zero_()
    assert network.post.conv1.weight.abs().sum() > 0
    assert network.post.bn1.running_mean.abs().sum() > 0


def test_half_precision_files_become_single_precision(tmp_path: Path) -> None:
    half = {n: t.half() if t.is_floating_point() else t for n, t in _small().items()}
    state = _import("hrnet", half, tmp_path).model_state
    assert all(t.dtype in (torch.float32, torch.int64) for t in state.values())
    assert torch.equal(state["pre.conv1.weight"], half["conv1.weight"].float())


def test_missing_batch_counters_are_zero_and_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = {n: t for n, t in _small().items() if not n.endswith("num_batches_tracked")}
    state = _import("hrnet", old, tmp_path).model_state
    counters = [n for n in BASE if n.endswith("num_batches_tracked")]
    assert f"{len(counters)} missing num_batches_tracked set to 0" in capsys.readouterr().err
    for name in counters:
        assert torch.equal(state[f"pre.{name}"], torch.tensor(0))
        assert torch.equal(state[f"post.{name}"], torch.tensor(0))
    assert torch.equal(state["pre.bn1.running_var"], old["bn1.running_var"])


@settings(deadline=None, max_examples=25)
@given(lost=st.data())
def test_a_backbone_with_missing_tensors_is_refused_by_name(lost: st.DataObject) -> None:
    state = dict(BASE)
    needed = [name for name in state if not name.endswith("num_batches_tracked")]
    missing = lost.draw(st.lists(st.sampled_from(needed), min_size=1, max_size=3, unique=True))
    for name in missing:
        del state[name]
    with pytest.raises(CheckpointError, match=r"file.pth: \S+ is missing") as error:
        hrnet.convert(Path("file.pth"), state, seed=0)
    first = min(missing, key=needed.index)
    assert f"{first} is missing, {len(missing)} of " in str(error.value)


@settings(deadline=None, max_examples=25)
@given(chosen=st.data())
def test_a_tensor_of_another_shape_is_refused_by_name(chosen: st.DataObject) -> None:
    state = dict(BASE)
    name = chosen.draw(st.sampled_from(list(state)))
    was = tuple(state[name].shape)
    state[name] = torch.zeros(*was, 2, dtype=state[name].dtype)
    with pytest.raises(CheckpointError) as error:
        hrnet.convert(Path("file.pth"), state, seed=0)
    kind = str(state[name].dtype).removeprefix("torch.")
    message = f"{name} is {kind} {(*was, 2)}, expected {kind} {was}; 1 of "
    assert message in str(error.value)


def test_integer_weights_are_refused() -> None:
    state = dict(BASE)
    state["conv1.weight"] = state["conv1.weight"].to(torch.int8)
    with pytest.raises(CheckpointError, match=r"conv1.weight is int8 .* expected float32"):
        hrnet.convert(Path("file.pth"), state, seed=0)


def test_unknown_tensors_are_dropped_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = _small() | {"ocr.gather.weight": torch.zeros(2), "stage4.0.gate": torch.zeros(1)}
    _import("hrnet", state, tmp_path)
    notes = capsys.readouterr().err
    assert "5 dropped: classifier 1, incre_modules 2, ocr 1, stage4 1" in notes
    assert "not known to this toolkit: ocr.gather.weight, stage4.0.gate" in notes


def test_two_backbones_in_one_file_are_refused() -> None:
    state = BASE | {"backbone.conv1.weight": torch.zeros(16, 3, 3, 3)}
    with pytest.raises(CheckpointError, match="more than one backbone"):
        hrnet.convert(Path("file.pth"), state, seed=0)


@pytest.mark.parametrize(
    "content",
    [
        {"conv1.weight": torch.zeros(64, 3, 7, 7), "layer1.0.bn1.weight": torch.zeros(64)},
        {"state_dict": {}},
        {"loc_net.stage2.0.branches.0.0.conv1.weight": torch.zeros(8, 8, 3, 3)},
        torch.zeros(3),
        [1, 2],
    ],
    ids=["ResNet", "empty", "SI Analytics", "tensor", "list"],
)
def test_another_network_is_not_an_hrnet(content: object, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not an HRNetV2; expected tensors named conv1, bn1"):
        _import("hrnet", content, tmp_path)


@pytest.mark.parametrize("source", ["hrnet", "si-analytics"])
def test_a_checkpoint_of_this_toolkit_is_not_a_published_file(
    source: str, small_checkpoint: Path, tmp_path: Path, error_line: Callable
) -> None:
    out = tmp_path / "out.pt"
    line = error_line("train.import_weights", "--source", source, small_checkpoint, "--out", out)
    name = {"hrnet": "not an HRNetV2", "si-analytics": "not a network published by SI Analytics"}
    assert name[source] in line
    assert not out.exists()


@settings(deadline=None, max_examples=100)
@given(length=st.integers(0), modern=st.booleans())
def test_a_truncated_file_is_one_line(
    length: int, modern: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The authors' files are of PyTorch before 1.6, in the format that is not a ZIP."""
    path = tmp_path_factory.getbasetemp() / "cut.pth"
    torch.save({"conv1.weight": torch.zeros(4, 3)}, path, _use_new_zipfile_serialization=modern)
    whole = path.read_bytes()
    path.write_bytes(whole[: length % len(whole)])
    with pytest.raises(CheckpointError, match=r"cut.pth: not readable as weights .* damaged"):
        read_state(path)


def test_files_that_are_no_weights_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "note.pth").write_text("not weights")
    with pytest.raises(
        CheckpointError, match=r"note.pth: not readable as weights .*fetch it again"
    ):
        read_state(tmp_path / "note.pth")
    with pytest.raises(
        CheckpointError, match=r"none.pth: no such file; expected published weights"
    ):
        read_state(tmp_path / "none.pth")


@pytest.mark.parametrize("seed", ["-1", str(1 << 63)])
def test_a_seed_out_of_range_is_refused(seed: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--seed"):
        _import("hrnet", {}, tmp_path, "--seed", seed)


def test_every_published_si_analytics_w32_tensor_has_its_place(measurement_data: Path) -> None:
    published = _filled(_listed(measurement_data, "si_analytics_dual_hrnet_w32_keys.txt"))
    assert len(published) == 3786
    imported = si_analytics.convert(Path("w32.pth"), published)
    assert imported.model == ModelConfig(architecture="si-analytics", width=32, bn_momentum=0.01)
    assert (imported.loaded, imported.filled, imported.dropped) == (3786, 0, {})
    left = dict(imported.weights)
    for net, head in (("loc_net", "building"), ("cls_net", "damage")):
        whole = torch.cat(
            [left.pop(f"heads.{head}.project.branches.{b}.weight") for b in range(4)], 1
        )
        assert torch.equal(published.pop(f"{net}.last_layer.0.weight"), whole)
    # The tensors differ from one another, so the place of each is found by its content alone.
    places = {_content(tensor): name for name, tensor in left.items()}
    assert len(places) == len(left) == len(published)
    for name, tensor in published.items():
        assert _expected_place(name) == places[_content(tensor)]


def _content(tensor: Tensor) -> tuple[object, ...]:
    return tensor.dtype, tuple(tensor.shape), tensor.numpy().tobytes()


def _expected_place(name: str) -> str:
    """Where a tensor of theirs belongs, rule by rule, as DESIGN.md describes both networks."""
    rules = [
        (r"loc_net\.last_layer\.", "heads.building."),
        (r"cls_net\.last_layer\.", "heads.damage."),
        (r"^(heads\.\w+)\.0\.bias", r"\1.project.branches.0.bias"),
        (r"^(heads\.\w+)\.1\.", r"\1.bn."),
        (r"^(heads\.\w+)\.3\.", r"\1.classify."),
        (r"^loc_net\.", "pre."),
        (r"^cls_net\.", "post."),
        (r"\.transitions\.0\.", ".transition1."),
        (r"\.transitions\.1\.", ".transition2."),
        (r"\.transitions\.2\.", ".transition3."),
        (r"^fuse_loc_stage1\.", "exchange.stage2.to_pre."),
        (r"^fuse_loc_stage2\.", "exchange.stage3.to_pre."),
        (r"^fuse_loc_stage3\.", "exchange.stage4.to_pre."),
        (r"^fuse_cls_stage1\.", "exchange.stage2.to_post."),
        (r"^fuse_cls_stage2\.", "exchange.stage3.to_post."),
        (r"^fuse_cls_stage3\.", "exchange.stage4.to_post."),
    ]
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


@pytest.fixture
def si_analytics_w8(measurement_data: Path) -> dict[str, Tensor]:
    return read_state(measurement_data / "si-analytics" / "dual_hrnet_w8_random.pth")


def test_si_analytics_reports_what_became_of_its_tensors(
    si_analytics_w8: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = {"state_dict": si_analytics_w8 | {"optimizer.step": torch.zeros(1)}}
    _import("si-analytics", content, tmp_path)
    notes = capsys.readouterr().err
    # 48 of transitions, 108 of their exchange and 18 of the heads; the rest keep their names.
    assert "3786 tensors loaded, 174 of them renamed" in notes
    assert "1 dropped: optimizer 1" in notes
    assert "not known to this toolkit: optimizer.step" in notes


def test_si_analytics_names_a_missing_and_a_misshapen_tensor(
    si_analytics_w8: dict[str, Tensor], tmp_path: Path
) -> None:
    short = dict(si_analytics_w8)
    del short["cls_net.stage3.1.branches.0.0.conv1.weight"]
    with pytest.raises(CheckpointError, match="post.stage3.1.branches.0.0.conv1.weight is missing"):
        _import("si-analytics", {"state_dict": short}, tmp_path)
    narrow = {**si_analytics_w8, "loc_net.last_layer.0.weight": torch.zeros(120, 64, 1, 1)}
    with pytest.raises(CheckpointError, match=r"last_layer.0.weight has shape .* expected 120"):
        _import("si-analytics", {"state_dict": narrow}, tmp_path)
    bare = {**si_analytics_w8, "cls_net.last_layer.0.bias": torch.zeros(7)}
    with pytest.raises(CheckpointError, match=r"project.branches.0.bias is float32 \(7,\)"):
        _import("si-analytics", {"state_dict": bare}, tmp_path)


def test_the_command_prints_json_alone_on_stdout(tmp_path: Path, command: Callable) -> None:
    torch.save(_small(), tmp_path / "published.pth")
    result = command(
        "train.import_weights", "--source", "hrnet", tmp_path / "published.pth",
        "--out", tmp_path / "imported.pt", "--json",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    account = json.loads(result.stdout)
    assert account["model"]["width"] == 8
    assert account["fresh"] > 0
    assert (
        f"{account['loaded']} tensors loaded into each stream, 0 of them renamed" in result.stderr
    )
    network = load_checkpoint(tmp_path / "imported.pt").network()
    assert account["parameters"] == sum(p.numel() for p in network.parameters())


def test_a_container_that_holds_itself_is_looked_into_once(tmp_path: Path) -> None:
    content: dict[str, object] = {"conv1.weight": torch.zeros(4, 3, 3, 3)}
    content["model"] = content
    torch.save(content, tmp_path / "self.pth")
    assert list(read_state(tmp_path / "self.pth")) == ["conv1.weight"]


def test_a_width_that_no_memory_holds_is_refused(tmp_path: Path) -> None:
    names = ("conv1.weight", "stage2.0.branches.0.0.conv1.weight")
    state = {name: torch.zeros(1).expand(10**9, 3, 3, 3) for name in names}
    with pytest.raises(CheckpointError, match="wide.pth: width: Input should be less than or"):
        hrnet.convert(tmp_path / "wide.pth", state, 0)
