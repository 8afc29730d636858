"""Files of others: what is in them is named, nothing in them runs, wrappers are taken off."""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from runtime.errors import CheckpointError
from train.checkpoint import load_checkpoint
from train.foreign import hrnet, si_analytics
from train.foreign.weights import read_state
from train.model import ModelConfig
from train.model.hrnet import HRNet

MODEL = ModelConfig(width=8, stem_width=16, bottlenecks=1, modules=(1, 1, 1), blocks=1)


def _backbone() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return dict(HRNet(MODEL).state_dict())


STATE = _backbone()

FOREIGN: dict[str, tuple[Callable[[], object], str]] = {
    "namespace": (lambda: {"args": argparse.Namespace(lr=1), "state_dict": STATE}, "argparse.Nam"),
    "NumPy scalar": (
        lambda: {"best": np.float64(0.5), "state_dict": STATE},
        r"numpy.*multiarray.scalar",
    ),
    "NumPy array": (lambda: {"mean": np.zeros(3), "state_dict": STATE}, "numpy"),
    "network": (lambda: nn.Sequential(nn.Conv2d(3, 3, 1)), "torch.nn.modules.c"),
    "network inside": (lambda: {"model": nn.Conv2d(3, 3, 1)}, "torch.nn.modules.conv.Conv2d"),
    "path": (lambda: {"config": Path("a.yaml"), "state_dict": STATE}, "pathlib"),
}


@pytest.mark.parametrize("modern", [True, False])
@pytest.mark.parametrize("kind", FOREIGN)
def test_an_object_in_a_file_is_named_with_the_way_out(
    kind: str, modern: bool, tmp_path: Path
) -> None:
    path = tmp_path / "published.pth"
    content, name = FOREIGN[kind]
    torch.save(content(), path, _use_new_zipfile_serialization=modern)
    for read in (read_state, load_checkpoint):
        with pytest.raises(
            CheckpointError, match=rf"published.pth: .*holds objects of .*{name}"
        ) as e:
            read(path)
        message = str(e.value)
        assert "torch.save({'state_dict': network.state_dict()}, FILE)" in message
        assert len(message.splitlines()) == 1
        assert "weights_only" not in message


def test_a_torchscript_program_is_named(tmp_path: Path) -> None:
    path = tmp_path / "traced.pt"
    torch.jit.save(torch.jit.trace(nn.Conv2d(3, 3, 1), torch.zeros(1, 3, 8, 8)), str(path))
    with pytest.raises(CheckpointError, match="traced.pt: .* a TorchScript program; save the tens"):
        read_state(path)


def test_the_command_says_it_in_one_line(tmp_path: Path, error_line: Callable) -> None:
    path = tmp_path / "published.pth"
    torch.save(FOREIGN["namespace"][0](), path)
    line = error_line("train.import_weights", "--source", "hrnet", path, "--out", tmp_path / "out")
    assert f"{path}: not readable as weights: holds objects of argparse.Namespace" in line
    assert not (tmp_path / "out").exists()


def _same_backbone(state: dict[str, Tensor]) -> bool:
    imported = hrnet.convert(Path("file.pth"), state, seed=0)
    return all(torch.equal(imported.weights[f"pre.{name}"], each) for name, each in STATE.items())


PREFIXES = [
    "".join(each)
    for count in (1, 2, 3)
    for each in itertools.permutations(("module.", "_orig_mod.", "model.", "backbone."), count)
]


@pytest.mark.parametrize("prefix", [*PREFIXES, "module.module.", "net.", "module.module.net."])
def test_any_combination_of_wrappers_is_taken_off(prefix: str) -> None:
    assert _same_backbone({prefix + name: each for name, each in STATE.items()})


def test_a_compiled_part_is_found_too() -> None:
    names = {name: name.replace("stage3.", "stage3._orig_mod.") for name in STATE}
    assert _same_backbone({names[name]: each for name, each in STATE.items()})


CONTAINERS: dict[str, Callable[[object], object]] = {
    "state_dict": lambda s: {"state_dict": s, "epoch": 3},
    "model_state_dict": lambda s: {"epoch": 3, "model_state_dict": s, "optimizer_state_dict": {}},
    "model": lambda s: {"model": s},
    "net": lambda s: {"net": s, "acc": 0.5},
    "beside a description": lambda s: {"model": {"name": "hrnet_w8"}, "state_dict": s},
    "nested": lambda s: {"model": {"state_dict": s}},
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_weights_under_a_key_are_found(container: str, tmp_path: Path) -> None:
    wrapped = {f"module._orig_mod.{name}": each for name, each in STATE.items()}
    torch.save(CONTAINERS[container](wrapped), tmp_path / "published.pth")
    assert _same_backbone(read_state(tmp_path / "published.pth"))


def test_two_networks_in_one_file_are_not_chosen_from(tmp_path: Path) -> None:
    torch.save({"model": STATE, "net": {"a": torch.zeros(1)}}, tmp_path / "two.pth")
    with pytest.raises(CheckpointError, match="two.pth: holds several networks, under model and n"):
        read_state(tmp_path / "two.pth")
    both = STATE | {"model.conv1.weight": torch.zeros(16, 3, 3, 3)}
    with pytest.raises(CheckpointError, match=r"more than one backbone .conv1.weight and model.c"):
        hrnet.convert(Path("two.pth"), both, seed=0)


def test_wrappers_of_the_whole_published_network_are_taken_off(measurement_data: Path) -> None:
    path = measurement_data / "si-analytics" / "dual_hrnet_w8_random.pth"
    plain = read_state(path)
    wrapped = {f"module._orig_mod.model.{name}": each for name, each in plain.items()}
    one, other = (si_analytics.convert(path, state) for state in (plain, wrapped))
    assert one.weights.keys() == other.weights.keys()
    assert all(torch.equal(each, other.weights[name]) for name, each in one.weights.items())
    assert (one.renamed, other.renamed) == (174, len(plain))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_safetensors_are_read(dtype: torch.dtype, tmp_path: Path) -> None:
    save_file = pytest.importorskip("safetensors.torch").save_file
    stored = {n: t.to(dtype) if t.is_floating_point() else t for n, t in STATE.items()}
    save_file(stored, tmp_path / "model.safetensors")
    imported = hrnet.convert(tmp_path, read_state(tmp_path / "model.safetensors"), seed=0)
    for name, tensor in stored.items():
        assert torch.equal(imported.weights[f"post.{name}"], tensor.to(STATE[name].dtype))


def test_damaged_safetensors_are_one_line(tmp_path: Path) -> None:
    save_file = pytest.importorskip("safetensors.torch").save_file
    path = tmp_path / "model.safetensors"
    save_file(STATE, path)
    whole = path.read_bytes()
    for content in (b"", b"garbage", whole[:100], whole[:-50], b"\xff" * 64):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="model.safetensors: not readable as") as caught:
            read_state(path)
        assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(CheckpointError, match="none.safetensors: no such file"):
        read_state(tmp_path / "none.safetensors")


def test_without_the_package_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(CheckpointError, match="needs the package safetensors.* pip install safet"):
        read_state(tmp_path / "model.safetensors")
