"""Training itself: it learns, it checks, it runs under torchrun, it keeps what it has."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from train.checkpoint import load_checkpoint
from train.evaluate import score_tiles
from train.precision import RECORDS, processor_flags
from train.xbd import find_tiles

REPOSITORY = Path(__file__).parents[2]
EPOCHS, STEPS = 2, 6
OVERRIDES = (
    "model.width=8", "model.stem_width=8", "model.blocks=1", "model.projection=16",
    "model.head_widths=[16,8]", "data.crop=64", "data.building_crops=1.0", "optim.batch_size=2",
    "optim.ema=0.9", "optim.save_every=2",
    "schedule=[{epochs: 1, rate: [0.001, 0.01]}, {epochs: 1, rate: 0.01, augment: light}]",
)  # fmt: skip
"""Twelve tiles: six steps an epoch, a save every second one."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, command: Callable) -> Path:
    """Twelve tiles to train on, three to validate on."""
    out = tmp_path_factory.mktemp("data") / "synthetic"
    result = command("train.synthesize", "--out", out, "--tiles", 15, "--size", 96)
    assert result.returncode == 0, result.stderr
    return out


def _arguments(data: Path, out: Path, *more: object) -> list[str]:
    config = REPOSITORY / "train" / "configs" / "demo.yaml"
    line = ["--config", config, "--data", data, "--out", out, *OVERRIDES, *more]
    return [str(part) for part in line]


def _torchrun_line(free_port: int, *arguments: str) -> list[str]:
    launch = ["-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_port}"]
    return [sys.executable, *launch, "-m", "train", *arguments]


def _torchrun(free_port: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    line = _torchrun_line(free_port, *arguments)
    return subprocess.run(line, capture_output=True, text=True, cwd=REPOSITORY)


def _kill_all(run: Path) -> None:
    """The launcher and its processes, which it gives sessions of their own."""
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(run).encode() in line.read_bytes():
                os.kill(int(line.parent.name), signal.SIGKILL)


def _curve(run: Path) -> dict[str, list[tuple[int, float]]]:
    """Every scalar that TensorBoard shows, by name."""
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    return {
        name: [(event.step, event.value) for event in events.Scalars(name)]
        for name in events.Tags()["scalars"]
    }


def _same_end(first: Path, second: Path) -> None:
    """Weights, averaged weights, optimiser and curves, to the last bit."""
    one, two = (load_checkpoint(run / "last.pt") for run in (first, second))
    assert (one.epoch, one.step, one.metrics) == (two.epoch, two.step, two.metrics)
    for name in ("batches", "best_score", "tiles"):
        assert one.resume[name] == two.resume[name]
    assert one.resume["learner"]["updates"] == two.resume["learner"]["updates"]
    states = zip(one.resume["random_states"], two.resume["random_states"], strict=True)
    assert all(torch.equal(a["cpu"], b["cpu"]) for a, b in states)
    for state in (
        lambda c: c.model_state,
        lambda c: c.resume["learner"]["network"],
        lambda c: {
            f"{index}.{name}": value
            for index, slots in c.optimizer_state["state"].items()
            for name, value in slots.items()
        },
    ):
        before, after = state(one), state(two)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)
    assert _curve(first) == _curve(second)


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory, command: Callable) -> Path:
    out = tmp_path_factory.mktemp("run")
    result = command("train", *_arguments(data, out))
    assert result.returncode == 0, result.stderr
    return out


def test_a_run_leaves_checkpoints_and_curves(trained: Path) -> None:
    last = load_checkpoint(trained / "last.pt")
    assert (last.epoch, last.step) == (EPOCHS, EPOCHS * STEPS)
    assert set(last.optimizer_state) == {"state", "param_groups"}
    assert last.config["optim"]["ema"] == 0.9
    curve = _curve(trained)
    wanted = {"loss/loss", "loss/building", "loss/damage", "optim/learning_rate"}
    wanted |= {"optim/gradient_norm", "val/score", "val/f1_destroyed"}
    assert wanted <= set(curve)
    assert [step for step, _ in curve["loss/loss"]] == list(range(1, EPOCHS * STEPS + 1))
    rates = [rate for _, rate in curve["optim/learning_rate"]]
    assert rates[:3] == pytest.approx([0.001, 0.0025, 0.004])
    assert rates[STEPS:] == pytest.approx([0.01] * STEPS)
    assert not list(trained.rglob("*.partial*"))


def test_tensorboard_shows_example_panels(trained: Path) -> None:
    events = EventAccumulator(str(trained / "tensorboard"))
    events.Reload()
    assert len(events.Tags()["images"]) == 2


def test_the_stored_score_is_that_of_the_stored_averaged_weights(trained, data) -> None:
    best = load_checkpoint(trained / "best.pt")
    counts = score_tiles(best.network(), find_tiles(data, "test"))
    assert counts.as_dict() == best.metrics
    last = load_checkpoint(trained / "last.pt")
    raw = last.resume["learner"]["network"]
    assert any(not torch.equal(last.model_state[name], raw[name]) for name in raw)


def test_a_folder_that_holds_a_run_is_not_overwritten(trained, data, error_line) -> None:
    before = (trained / "last.pt").stat().st_mtime_ns
    assert "holds a run already" in error_line("train", *_arguments(data, trained))
    assert (trained / "last.pt").stat().st_mtime_ns == before


def _started(data: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    """A run that has saved in the middle of its first epoch."""
    line = [sys.executable, "-m", "train", *_arguments(data, out, *more)]
    process = subprocess.Popen(line, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)
    while not (out / "last.pt").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.005)
    return process


def test_a_killed_run_resumes_to_the_same_bits(trained, data, tmp_path, command) -> None:
    process = _started(data, tmp_path)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    saved = load_checkpoint(tmp_path / "last.pt")
    assert saved.step < EPOCHS * STEPS
    assert saved.resume["batches"] % 2 == 0
    (tmp_path / ".last.xyz.partial.pt").write_bytes(b"cut off")
    result = command("train", *_arguments(data, tmp_path, "--resume"))
    assert result.returncode == 0, result.stderr
    _same_end(trained, tmp_path)
    assert not list(tmp_path.rglob("*.partial*"))


def test_sigterm_saves_and_exits_with_0(trained, data, tmp_path, command) -> None:
    more = ("optim.save_every=1", "data.workers=1")  # neither changes what is learnt
    process = _started(data, tmp_path, *more)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "stopped and saved" in errors
    assert load_checkpoint(tmp_path / "last.pt").step < EPOCHS * STEPS
    result = command("train", *_arguments(data, tmp_path, "--resume", "data.workers=0"))
    assert result.returncode == 0, result.stderr
    _same_end(trained, tmp_path)


def test_resuming_a_finished_run_changes_nothing(trained, data, tmp_path, command) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    result = command("train", *_arguments(data, run, "--resume"))
    assert result.returncode == 0, result.stderr
    assert (run / "last.pt").read_bytes() == (trained / "last.pt").read_bytes()


def test_resume_without_a_run_starts_one(data, tmp_path, command) -> None:
    more = ("--resume", "schedule=[{epochs: 1, rate: 0.001}]")
    result = command("train", *_arguments(data, tmp_path / "run", *more))
    assert result.returncode == 0, result.stderr
    assert load_checkpoint(tmp_path / "run" / "last.pt").epoch == 1


def test_another_configuration_cannot_resume(trained, data, error_line) -> None:
    more = ("--resume", "optim.weight_decay=0.5", "data.crop=96")
    line = error_line("train", *_arguments(data, trained, *more))
    assert "optim.weight_decay (was 0.0001, is 0.5)" in line
    assert "data.crop (was 64, is 96)" in line


def test_a_run_of_before_goes_on(trained, data, tmp_path, command) -> None:
    """Its version wrote one name for a split, validated on `test` unasked, and had fewer keys."""
    content = torch.load(trained / "last.pt", weights_only=True)
    written = content["config"]["data"]
    del written["val_share"], written["leave_out"]
    written |= {"train_split": "train", "val_split": "test"}
    for key in ("left_out", "scale", "pixel_m"):
        del content["data"][key]
    (tmp_path / "run").mkdir()
    torch.save(content, tmp_path / "run" / "last.pt")
    assert load_checkpoint(tmp_path / "run" / "last.pt").data.scale is None
    result = command("train", *_arguments(data, tmp_path / "run", "--resume"))
    assert result.returncode == 0, result.stderr
    assert "no split hold, so split test chooses" in result.stderr


def test_other_tiles_cannot_resume(trained, data, tmp_path, error_line) -> None:
    run, fewer = shutil.copytree(trained, tmp_path / "run"), shutil.copytree(data, tmp_path / "d")
    name = find_tiles(fewer, "train")[0].name
    for path in (fewer / "train").rglob(f"{name}_*"):
        path.unlink()
    line = error_line("train", *_arguments(fewer, run, "--resume"))
    assert "started with other tiles" in line


@pytest.mark.parametrize("began", RECORDS)
def test_a_run_goes_on_in_the_precision_that_it_began_with(
    data, tmp_path, command, error_line, began
) -> None:
    """Its record is changed to what another machine would have taken."""
    epoch = "schedule=[{epochs: 1, rate: 0.001}]"
    result = command("train", *_arguments(data, tmp_path, epoch, "optim.save_every=null"))
    assert result.returncode == 0, result.stderr
    content = torch.load(tmp_path / "last.pt", weights_only=True)
    flags = processor_flags()
    fast = {"amx_bf16", "avx512_bf16"} & flags
    assert content["resume"]["precision"] == str(torch.bfloat16 if fast else None)
    content["resume"]["precision"] = began
    content.update(epoch=0, step=0)
    content["resume"].update(batches=0)
    scaler = torch.amp.GradScaler("cpu", enabled=began == "torch.float16")
    content["resume"]["learner"]["scaler"] = scaler.state_dict()
    torch.save(content, tmp_path / "last.pt")
    resumed = (epoch, "optim.save_every=null", "--resume")
    result = command("train", *_arguments(data, tmp_path, *resumed))
    assert result.returncode == 0, result.stderr
    assert f"precision {RECORDS[began]}: as the run began" in result.stderr
    assert load_checkpoint(tmp_path / "last.pt").resume["precision"] == began
    line = error_line("train", *_arguments(data, tmp_path, *resumed, "optim.precision=bf16"))
    assert "optim.precision (was auto, is bf16)" in line


def test_weights_alone_cannot_resume(trained, data, tmp_path, error_line, small_checkpoint) -> None:
    shutil.copy(small_checkpoint, tmp_path / "last.pt")
    line = error_line("train", *_arguments(data, tmp_path, "--resume"))
    assert "holds weights alone" in line


def test_two_processes_score_the_whole_split_and_resume_to_the_same_bits(
    data: Path, tmp_path: Path, free_port: int, error_line: Callable
) -> None:
    more = ("data.sampling=balanced", "optim.batch_size=1", "optim.accumulate=2")
    result = _torchrun(free_port, *_arguments(data, tmp_path, *more))
    assert result.returncode == 0, result.stderr
    last = load_checkpoint(tmp_path / "last.pt")
    assert last.step == EPOCHS * STEPS / 2
    # Three tiles on two ranks; the score of all in one process, to the last pixel.
    counts = score_tiles(last.network(), find_tiles(data, "test"))
    assert counts.as_dict() == last.metrics
    again = tmp_path / "again"
    line = _torchrun_line(free_port, *_arguments(data, again, *more))
    process = subprocess.Popen(line, cwd=REPOSITORY)
    while not (again / "last.pt").exists():
        assert process.poll() is None
        time.sleep(0.005)
    _kill_all(again)
    process.wait()
    assert load_checkpoint(again / "last.pt").step < last.step
    result = _torchrun(free_port, *_arguments(data, again, *more, "--resume"))
    assert result.returncode == 0, result.stderr
    _same_end(tmp_path, again)
    line = error_line("train", *_arguments(data, tmp_path, "--resume", *more))
    assert "written by 2 processes, this run has 1" in line


@pytest.mark.slow
def test_learning_on_few_tiles_finds_buildings(data: Path, tmp_path: Path, command) -> None:
    more = ("schedule=[{epochs: 20, rate: 0.01}]", "optim.ema=null", "data.val_split=train")
    result = command("train", *_arguments(data, tmp_path, *more))
    assert result.returncode == 0, result.stderr
    assert load_checkpoint(tmp_path / "best.pt").metrics["localization_f1"] > 0.3


def test_training_starts_from_given_weights(data, trained, tmp_path, command) -> None:
    more = (f"init={trained / 'best.pt'}", "schedule=[{epochs: 1, rate: 1.0e-12}]")
    more += ("optim.freeze_batch_norm=true", "optim.weight_decay=0")
    result = command("train", *_arguments(data, tmp_path, *more))
    assert result.returncode == 0, result.stderr
    start, end = (load_checkpoint(run / "best.pt").model_state for run in (trained, tmp_path))
    for name, value in start.items():
        torch.testing.assert_close(end[name], value, rtol=1e-5, atol=1e-6)


def test_weights_of_another_width_are_no_start(data, trained, tmp_path, error_line) -> None:
    more = (f"init={trained / 'best.pt'}", "model.width=12")
    line = error_line("train", *_arguments(data, tmp_path / "run", *more))
    assert "tensors fit" in line
    assert "model.width (is 8, config says 12)" in line


def test_a_student_learns_from_a_teacher(data, trained, tmp_path, command) -> None:
    more = (f"distill={{checkpoint: {trained / 'best.pt'}}}", "model.width=4")
    result = command("train", *_arguments(data, tmp_path, *more))
    assert result.returncode == 0, result.stderr
    curve = _curve(tmp_path)
    assert len(curve["loss/teacher"]) == EPOCHS * STEPS
    step, total = curve["loss/loss"][0]
    parts = {name: curve[f"loss/{name}"][0] for name in ("building", "damage", "teacher")}
    assert {each for each, _ in parts.values()} == {step}
    expected = 0.3 * parts["building"][1] + 0.7 * parts["damage"][1] + 0.5 * parts["teacher"][1]
    assert total == pytest.approx(expected, rel=1e-5)


def test_a_teacher_that_is_no_checkpoint_is_named(data, tmp_path, error_line) -> None:
    more = (f"distill={{checkpoint: {tmp_path / 'none.pt'}}}",)
    assert "none.pt: no such checkpoint" in error_line("train", *_arguments(data, tmp_path, *more))


def test_a_gpu_that_is_absent_is_an_error(data: Path, tmp_path: Path, error_line) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    line = error_line("train", *_arguments(data, tmp_path / "run"), "--device", "cuda")
    assert "PyTorch sees no GPU here" in line


def test_a_diverging_loss_names_step_and_tiles_and_keeps_the_checkpoint(
    data: Path, tmp_path: Path, error_line: Callable
) -> None:
    more = ("optim.ema=null", "schedule=[{epochs: 4, rate: 1.0e+30}]", "optim.save_every=1")
    line = error_line("train", *_arguments(data, tmp_path, *more))
    assert "step 2: the loss is nan on " in line or "step 2: the loss is inf on " in line
    assert "synthetic" in line or any(t.name in line for t in find_tiles(data, "train"))
    assert load_checkpoint(tmp_path / "last.pt").step == 1


@pytest.fixture
def spoilt(data: Path, tmp_path: Path) -> tuple[Path, list[str]]:
    """The data set with three bad tiles, and their names."""
    root = shutil.copytree(data, tmp_path / "spoilt")
    truncated, garbled, lonely = (t.name for t in find_tiles(root, "train")[:3])
    image = root / "train" / "images" / f"{truncated}_post_disaster.png"
    image.write_bytes(image.read_bytes()[:-200])
    (root / "train" / "labels" / f"{garbled}_post_disaster.json").write_text("{")
    (root / "train" / "images" / f"{lonely}_pre_disaster.png").unlink()
    return root, [truncated, garbled, lonely]


def test_every_bad_tile_is_reported_before_the_first_step(spoilt, tmp_path, error_line) -> None:
    root, names = spoilt
    run = tmp_path / "run"
    line = error_line("train", *_arguments(root, run))
    listing = (run / "bad-tiles.txt").read_text()
    assert "--skip-bad" in line
    assert str(run / "bad-tiles.txt") in line
    assert all(name in listing for name in names)
    assert not (run / "last.pt").exists()


def test_skip_bad_trains_on_the_rest(spoilt, tmp_path, command) -> None:
    root, _ = spoilt
    result = command("train", *_arguments(root, tmp_path / "run", "--skip-bad"))
    assert result.returncode == 0, result.stderr
    assert load_checkpoint(tmp_path / "run" / "last.pt").step == EPOCHS * 4  # of nine tiles
    assert "skipping" in result.stderr


def test_an_empty_split_is_an_error(data: Path, tmp_path: Path, error_line: Callable) -> None:
    root = tmp_path / "data"
    shutil.copytree(data / "test", root / "test")
    (root / "train" / "images").mkdir(parents=True)
    assert "holds no tile" in error_line("train", *_arguments(root, tmp_path / "run"))


def _of_resume(**fields: object) -> Callable:
    return lambda content: content["resume"].update(fields)


def _of_optimizer(change: Callable) -> Callable:
    return lambda content: change(content["optimizer_state"])


ALTERED = {
    "epoch -3": (lambda c: c.update(epoch=-3), "its epoch is -3, expected 0 or more"),
    "epoch true": (lambda c: c.update(epoch=True), "its epoch is a bool"),
    "epoch large": (lambda c: c.update(epoch=10**18), "its epoch is 1000000000000000000, expected"),
    "epoch of another step": (lambda c: c.update(epoch=1), "its step is 12, expected 6 after 1"),
    "step -5": (lambda c: c.update(step=-5), "its step is -5, expected 0 or more"),
    "batches text": (_of_resume(batches="x"), "its batches is a str"),
    "batches many": (_of_resume(batches=10**6), "its batches are 1000000, expected 0 to 6"),
    "batches -1": (_of_resume(batches=-1), "its batches are -1, expected 0 to 6"),
    "score nan": (_of_resume(best_score=float("nan")), "its best_score is nan, expected 0 to 1"),
    "score text": (_of_resume(best_score="x"), "its best_score is a str"),
    "precision": (_of_resume(precision="x"), "its precision is x, expected None, torch.bfloat16"),
    "learner": (_of_resume(learner=5), "its learner is a int"),
    "betas": (
        _of_optimizer(lambda o: o["param_groups"][0].update(betas=(5, 5))),
        "its optimiser's betas is (5, 5), expected (0.9, 0.999)",
    ),
    "no lr": (_of_optimizer(lambda o: o["param_groups"][0].pop("lr")), "its optimiser has no lr"),
    "variance": (
        _of_optimizer(lambda o: o["state"][0]["exp_avg_sq"].sub_(9)),
        "optimizer.state.0.exp_avg_sq is a variance below 0",
    ),
    "moment's shape": (
        _of_optimizer(lambda o: o["state"][0].update(exp_avg=torch.zeros(3))),
        "its optimiser's exp_avg is (3,), expected (",
    ),
    "no moment": (
        _of_optimizer(lambda o: o["state"][0].pop("exp_avg")),
        "its optimiser holds step, exp_avg_sq of a parameter",
    ),
    "moment's step": (
        _of_optimizer(lambda o: o["state"][0].update(step=torch.tensor(-7.0))),
        "its optimiser's step is -7, expected 0 or more",
    ),
}


@pytest.mark.parametrize("name", ALTERED)
def test_an_altered_run_is_not_gone_on_with(name, trained, data, tmp_path, error_line) -> None:
    change, message = ALTERED[name]
    content = torch.load(trained / "last.pt", weights_only=True)
    change(content)
    torch.save(content, tmp_path / "last.pt")
    line = error_line("train", *_arguments(data, tmp_path, "--resume", f"data.masks={trained}/m"))
    assert f"{tmp_path / 'last.pt'}: {message}" in line
