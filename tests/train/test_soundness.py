"""Weights that are no numbers: refused by name wherever they enter, never written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from runtime.errors import CheckpointError
from train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from train.foreign import hrnet, si_analytics
from train.foreign.weights import read_state
from train.model import ModelConfig
from train.model.hrnet import HRNet

WEIGHT = "post.stage3.0.branches.1.0.conv1.weight"
SPOILT: dict[str, tuple[str, Callable[[Tensor], object], str]] = {
    "NaN": (WEIGHT, lambda t: _with(t, float("nan")), "has 1 of .* values that are NaN or inf"),
    "infinite": (WEIGHT, lambda t: _with(t, float("inf")), "has 1 of .* NaN or infinite"),
    "variance": ("pre.bn1.running_var", lambda t: _with(t, -0.5), r"is a variance below 0 \(-0.5"),
    "meta": (WEIGHT, lambda t: t.to("meta"), r"has no values \(it is on device meta\)"),
    "sparse": (WEIGHT, lambda t: t.to_sparse(), "is stored as sparse_coo, expected a dense"),
    "quantised": (
        WEIGHT,
        lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8),
        r"is quantised \(qint8\), expected floating point",
    ),
    "list": (WEIGHT, lambda t: t.flatten().tolist(), "is a list, expected a tensor"),
    "none": (WEIGHT, lambda t: None, "is a NoneType, expected a tensor"),
}


def _with(tensor: Tensor, value: float) -> Tensor:
    tensor = tensor.clone()
    tensor.view(-1)[0] = value
    return tensor


def _spoilt(checkpoint: Path, out: Path, fault: str) -> Path:
    """The same checkpoint with one entry replaced, written by PyTorch alone."""
    name, change, _ = SPOILT[fault]
    content = torch.load(checkpoint, weights_only=True)
    content["model_state"][name] = change(content["model_state"][name])
    torch.save(content, out)
    return out


@pytest.mark.parametrize("fault", SPOILT)
def test_a_checkpoint_with_a_spoilt_weight_is_refused_by_its_name(
    fault: str, small_checkpoint: Path, tmp_path: Path
) -> None:
    path = _spoilt(small_checkpoint, tmp_path / "spoilt.pt", fault)
    name, _, message = SPOILT[fault]
    with pytest.raises(CheckpointError, match=f"spoilt.pt: {name} {message}") as caught:
        load_checkpoint(path)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int8])
def test_weights_of_another_type_are_named(
    dtype: torch.dtype, small_checkpoint: Path, tmp_path: Path
) -> None:
    content = torch.load(small_checkpoint, weights_only=True)
    content["model_state"][WEIGHT] = content["model_state"][WEIGHT].to(dtype)
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=f"1 tensors differ .* first {WEIGHT} .found "):
        load_checkpoint(tmp_path / "other.pt").network()


COMMANDS: dict[str, Callable[[Path, Path, Path], tuple[object, ...]]] = {
    "train.evaluate": lambda ckpt, data, out: ("--checkpoint", ckpt, "--data", data),
    "train.visualize": lambda ckpt, data, out: (
        "--checkpoint", ckpt, "--data", data, "--out", out,
    ),
    "train.widen": lambda ckpt, data, out: ("--checkpoint", ckpt, "--width", 16, "--out", out),
    "calibration": lambda ckpt, data, out: (
        "--checkpoint", ckpt, "--data", data, "--tiles", 1, "--out", out,
    ),
    "export.to_onnx": lambda ckpt, data, out: (
        "--checkpoint", ckpt, "--size", 64, 64, "--out", out,
    ),
    "export.build_engine": lambda ckpt, data, out: (
        "--checkpoint", ckpt, "--size", 64, 64, "--target", "onnxruntime", "--out", out,
    ),
}  # fmt: skip


@pytest.mark.parametrize("module", COMMANDS)
def test_every_command_refuses_nan_and_writes_nothing(
    module: str, small_checkpoint: Path, synthetic: Path, tmp_path: Path, error_line: Callable
) -> None:
    spoilt = _spoilt(small_checkpoint, tmp_path / "spoilt.pt", "NaN")
    out = tmp_path / "out"
    line = error_line(module, *COMMANDS[module](spoilt, synthetic, out))
    assert f"{spoilt}: {WEIGHT} has 1 of " in line
    assert not out.exists()


@pytest.mark.parametrize("key", ["init", "distill.checkpoint"])
def test_training_refuses_nan_to_start_from_or_to_learn_from(
    key: str, small_checkpoint: Path, synthetic: Path, tmp_path: Path, error_line: Callable
) -> None:
    spoilt = _spoilt(small_checkpoint, tmp_path / "spoilt.pt", "NaN")
    config = Path(__file__).parents[2] / "train" / "configs" / "demo.yaml"
    line = error_line(
        "train", "--config", config, "--data", synthetic, "--out", tmp_path / "run",
        f"{key}={spoilt}", "data.crop=64",
    )  # fmt: skip
    assert f"{spoilt}: {WEIGHT} has 1 of " in line


def test_a_state_to_resume_from_is_looked_at_too(small_checkpoint: Path, tmp_path: Path) -> None:
    content = torch.load(small_checkpoint, weights_only=True)
    spoilt = {"state": {0: {"exp_avg": torch.tensor([1.0, float("inf")])}}}
    torch.save({**content, "optimizer_state": spoilt}, tmp_path / "last.pt")
    with pytest.raises(CheckpointError, match=r"optimizer.state.0.exp_avg has 1 of 2 values"):
        load_checkpoint(tmp_path / "last.pt")


@pytest.mark.parametrize("fault", ["NaN", "variance", "none"])
def test_spoilt_weights_are_not_written_and_the_last_good_ones_stay(
    fault: str, small_checkpoint: Path, tmp_path: Path
) -> None:
    path = tmp_path / "last.pt"
    good = load_checkpoint(small_checkpoint)
    save_checkpoint(path, good)
    before = path.read_bytes()
    name, change, message = SPOILT[fault]
    state = {**good.model_state, name: change(good.model_state[name])}
    with pytest.raises(CheckpointError, match=f"last.pt: {name} {message}.*not written"):
        save_checkpoint(path, Checkpoint(good.model, state))
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "key", ["model_state", "metrics", "epoch", "optimizer_state", "resume", "started_from"]
)
def test_an_entry_of_another_type_is_named(
    key: str, small_checkpoint: Path, tmp_path: Path
) -> None:
    content = torch.load(small_checkpoint, weights_only=True)
    torch.save({**content, key: [1]}, tmp_path / "odd.pt")
    with pytest.raises(CheckpointError, match=f"odd.pt: its {key} is a list; it was altered"):
        load_checkpoint(tmp_path / "odd.pt")


def _backbone() -> dict[str, Tensor]:
    stream = HRNet(ModelConfig(width=8, stem_width=16, bottlenecks=1, modules=(1, 1, 1), blocks=1))
    return {name: tensor.clone() for name, tensor in stream.state_dict().items()}


@pytest.mark.parametrize("fault", [name for name in SPOILT if name not in ("list", "none")])
def test_a_published_backbone_with_a_spoilt_tensor_is_refused(fault: str, tmp_path: Path) -> None:
    name, change, message = SPOILT[fault]
    name = name.partition(".")[2]
    state = _backbone()
    state[name] = change(state[name])
    torch.save(state, tmp_path / "hrnet.pth")
    path = tmp_path / "hrnet.pth"
    with pytest.raises(CheckpointError, match=f"hrnet.pth: {name} {message}"):
        hrnet.convert(path, read_state(path), seed=0)


def test_a_number_beyond_float32_is_refused_and_not_made_infinite() -> None:
    state = _backbone()
    state["conv1.weight"] = torch.full_like(state["conv1.weight"], 1e300, dtype=torch.float64)
    with pytest.raises(CheckpointError, match=r"conv1.weight has .* values that are NaN or inf"):
        hrnet.convert(Path("hrnet.pth"), state, seed=0)


def test_nan_in_a_head_that_is_dropped_is_no_fault() -> None:
    state = _backbone() | {"classifier.bias": torch.tensor([float("nan")])}
    hrnet.convert(Path("hrnet.pth"), state, seed=0)


def test_a_whole_published_network_with_nan_is_refused(measurement_data: Path) -> None:
    path = measurement_data / "si-analytics" / "dual_hrnet_w8_random.pth"
    state = read_state(path)
    name = "cls_net.stage3.1.branches.0.0.conv1.weight"
    state[name] = _with(state[name], float("nan"))
    with pytest.raises(CheckpointError, match=r"post.stage3.1.branches.0.0.conv1.weight has 1 of"):
        si_analytics.convert(path, state)


def test_a_run_whose_weights_become_nan_says_so_and_keeps_the_last_good_ones(
    synthetic: Path, small_config: ModelConfig, tmp_path: Path, error_line: Callable
) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(
        f"model: {small_config.model_dump_json()}\n"
        "data: {crop: 64, workers: 0}\n"
        "schedule: [{epochs: 1, rate: 1.0e-12}, {epochs: 1, rate: 1.0e+30}]\n"
        "optim: {optimizer: sgd, batch_size: 8, weight_decay: 1.0e+10}\n"
    )
    run = tmp_path / "run"
    arguments = ("--config", config, "--data", synthetic, "--out", run)
    line = error_line("train", *arguments)
    # The save before the validation, though it is written beside, by a thread.
    assert "NaN or infinite" in line
    assert "the last checkpoint that was saved is kept" in line
    for name in ("last.pt", "best.pt"):
        saved = load_checkpoint(run / name)
        assert (saved.epoch, saved.step) == (1, 1)
        assert all(tensor.isfinite().all() for tensor in saved.model_state.values())
