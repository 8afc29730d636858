"""A training run through INT8's rounding, from its command to its checkpoint."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from runtime.errors import ConfigError
from runtime.files import sha256
from train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from train.config_file import load_config, parse_config
from train.distributed import World
from train.loop import train
from train.model.inference_form import inference_form

REPOSITORY = Path(__file__).parents[3]
ALONE = World(0, 1, torch.device("cpu"))


def _arguments(data: Path, out: Path, init: Path, calibration: Path, *more: object) -> list[str]:
    line = [
        "--config", REPOSITORY / "train" / "configs" / "qat.yaml", "--data", data, "--out", out,
        "model.width=8", "model.stem_width=8", "model.blocks=1", "model.projection=16",
        "model.head_widths=[16,8]", "data.crop=64", "data.building_crops=1.0",
        "optim.batch_size=4", "schedule.0.epochs=2", f"init={init}",
        f"qat.calibration={calibration}", *more,
    ]  # fmt: skip
    return [str(part) for part in line]


def test_a_run_ends_in_an_ordinary_checkpoint_and_resumes(
    synthetic: Path, small_checkpoint: Path, calibration_file: Path, tmp_path: Path,
    command: Callable, error_line: Callable,
) -> None:  # fmt: skip
    init = shutil.copy(small_checkpoint, tmp_path / "init.pt")
    ranges = shutil.copy(calibration_file, tmp_path / "calibration.json")
    given = (synthetic, tmp_path / "run", init, ranges)
    result = command("train", *_arguments(*given))
    assert result.returncode == 0, result.stderr
    last = load_checkpoint(tmp_path / "run" / "last.pt")
    start = load_checkpoint(small_checkpoint)
    assert (last.epoch, last.step) == (2, 4)
    assert list(last.model_state) == list(start.model_state)
    assert not torch.equal(
        last.model_state["pre.conv1.weight"], start.model_state["pre.conv1.weight"]
    )
    inference_form(last.network())
    out = tmp_path / "again.json"
    line = ("--checkpoint", tmp_path / "run" / "best.pt", "--data", synthetic, "--tiles", 2)
    result = command("calibration", *line, "--out", out)
    assert result.returncode == 0, result.stderr
    Path(init).unlink()  # a run goes on without it
    result = command("train", *_arguments(*given), "--resume")
    assert result.returncode == 0, result.stderr
    shutil.copy(out, ranges)
    line = error_line("train", *_arguments(*given), "--resume")
    assert "started with another content of qat.calibration" in line


@pytest.mark.slow
def test_a_resumed_run_ends_in_the_same_bits(
    synthetic: Path, small_checkpoint: Path, calibration_file: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    more = ("optim.ema=0.9", f"data.masks={tmp_path / 'masks'}")
    line = _arguments(synthetic, tmp_path, small_checkpoint, calibration_file, *more)
    config = load_config(Path(line[1]), line[6:])
    train(config, synthetic, tmp_path / "whole", ALONE, resume=False, skip_bad=False)
    with monkeypatch.context() as patch:
        patch.setattr("train.loop.validate_epoch", _cut)  # after the first epoch's last save
        with pytest.raises(KeyboardInterrupt):
            train(config, synthetic, tmp_path / "cut", ALONE, resume=False, skip_bad=False)
    train(config, synthetic, tmp_path / "cut", ALONE, resume=True, skip_bad=False)
    whole, cut = (load_checkpoint(tmp_path / run / "last.pt") for run in ("whole", "cut"))
    assert whole.metrics == cut.metrics
    assert all(torch.equal(cut.model_state[n], value) for n, value in whole.model_state.items())


def _cut(_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"qat": {"calibration": "c.json"}}, "qat: .*needs the calibrated checkpoint.*init=CKPT"),
        (
            {"init": "a.pt", "qat": {"calibration": "c.json"}, "optim": {"checkpointing": True}},
            r"qat: .*optim\.checkpointing=false",
        ),
        (
            {"init": "a.pt", "qat": {"calibration": "c.json"}, "optim": {"compile": True}},
            r"qat: .*optim\.compile=false",
        ),
        ({"init": "a.pt", "qat": {"calibration": "c.json", "bits": 4}}, "qat.bits: unknown key"),
        ({"init": "a.pt", "qat": {}}, "qat.calibration: Field required"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(more: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse_config({"model": {"width": 8}, **more}, "x.yaml")
    assert "\n" not in str(caught.value)


def test_a_calibration_that_cannot_be_used_is_refused_before_the_first_step(
    synthetic: Path, small_checkpoint: Path, calibration_file: Path, tmp_path: Path,
    error_line: Callable,
) -> None:  # fmt: skip
    other = tmp_path / "other.pt"
    network = load_checkpoint(small_checkpoint).network()
    save_checkpoint(other, Checkpoint(network.config, network.state_dict(), epoch=7))
    assert sha256(other) != sha256(small_checkpoint)
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    for init, calibration, message in (
        (small_checkpoint, tmp_path / "none.json", "none.json: no such calibration"),
        (small_checkpoint, broken, "broken.json: not a calibration file"),
        (other, calibration_file, "calibration is of another checkpoint"),
    ):
        run = tmp_path / "run"
        line = error_line("train", *_arguments(synthetic, run, init, calibration))
        assert message in line
        assert not (run / "last.pt").exists()
