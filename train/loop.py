"""The training loop: train epoch by epoch, validate, keep the last and the best."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from tqdm import tqdm

from runtime import cli
from runtime.errors import ConfigError, ToolkitError
from train.config import TrainConfig
from train.data_summary import data_summary
from train.distributed import World
from train.gpu_memory import room_for
from train.initial import require_init
from train.interrupt import on_sigterm
from train.journal import Journal
from train.learner import Batch
from train.loader import check_loader, ending
from train.masks import MaskCache
from train.prepare import (
    build_learner,
    build_loader,
    fingerprints,
    usable_tiles,
    window_cache,
)
from train.remarks import shared
from train.resume import Progress, find_run, restore
from train.run import LAST, Run
from train.scenes import scenes
from train.schedule import learning_rate
from train.scoring import finish, validate_epoch
from train.splits import divide
from train.validation import drawn_evenly
from train.writer import background_writer


class Interrupted(Exception):
    """SIGTERM came; the run is saved."""


def train(
    config: TrainConfig, data: Path, out: Path, world: World, *, resume: bool, skip_bad: bool
) -> None:
    """Train to the end, or until SIGTERM; `out/best.pt` and `out/last.pt` hold the result, and
    `out/README.md` is the model card of the former. What is written is written by a thread of
    rank 0, and all is there at the end.

    Raises:
        ToolkitError: whatever cannot be trained on, or has diverged; the last save stays.
        Interrupted: SIGTERM; everything is saved and `resume` goes on from there.
    """
    last = out / LAST
    if last.exists() and not resume:
        raise ConfigError(
            f"--out {out}: holds a run already; go on with it (--resume), choose another "
            "folder, or remove it"
        )
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out}: is a file; expected a folder, or a new name")
    check_loader(config)
    if world.leads:
        for left_over in out.glob(".*.partial*"):  # of a process killed while it wrote
            if left_over.is_dir():  # of scenes that were being drawn
                shutil.rmtree(left_over)
            else:
                left_over.unlink()
    before = find_run(last, config, world)
    if config.init and not before:
        require_init(config.init)
    masks = MaskCache(config.data.masks or out / "masks")
    windows = window_cache(config, out)
    division = divide(data, config.data)
    train_tiles, val_tiles = usable_tiles(
        data, division, config, masks, out, world, skip_bad=skip_bad, windows=windows
    )
    synthetic = scenes(config, out, masks, world, windows)
    if world.leads:
        # A synthetic data set of the same seed holds the very scenes.
        for line in shared("data.synthetic", synthetic, division.val.name, val_tiles):
            cli.note(f"note: {line}; set another seed")
    torch.manual_seed(config.seed)  # PyTorch starts every process with another
    learnt = [*train_tiles, *synthetic]
    used = fingerprints(learnt, val_tiles)
    drawn = drawn_evenly(val_tiles, config.validation.tiles)
    names = division.train.name, division.val.name
    summarised = data_summary(data, config, names[0], learnt, names[1], val_tiles)
    loader, sampler = build_loader(train_tiles, synthetic, config, masks, world, windows)
    learner = build_learner(config, world, before)
    if world.leads:
        cli.note(f"precision {learner.precision.name}: {learner.precision.why}")
    progress = restore(before, learner, used, sampler.steps) if before else Progress()
    scored = before.scored if before else None
    del before  # a second copy of all weights
    with (
        on_sigterm() as interrupt,
        _journal(out, progress.step + 1, world) as journal,
        background_writer() as writer,
    ):
        run = Run(
            config, world, out, learner, sampler, loader, used[0], summarised,
            [fact.tile for fact in val_tiles], [fact.tile for fact in drawn],
            masks, progress, scored, interrupt, journal, writer,
        )  # fmt: skip
        with ending(loader):
            while progress.epoch < config.epochs:
                _train_epoch(run)
                _end_epoch(run)
        finish(run)
        run.settle()


@contextlib.contextmanager
def _journal(out: Path, first_step: int, world: World) -> Iterator[Journal | None]:
    """Rank 0's."""
    if not world.leads:
        yield None
        return
    with contextlib.closing(Journal(out / "tensorboard", first_step)) as journal:
        yield journal


def _train_epoch(run: Run) -> None:
    """The rest of the epoch that is under way."""
    config, progress = run.config, run.progress
    run.sampler.epoch, run.sampler.skip = progress.epoch, progress.batches
    bar = tqdm(
        total=run.sampler.steps,
        initial=progress.batches,
        desc=f"epoch {progress.epoch + 1}/{config.epochs}",
        unit="batch",
        disable=None if run.world.leads else True,
        leave=False,
    )
    with bar:
        for batches in _windows(run.loader, config.optim.accumulate):
            rate = learning_rate(
                config.schedule, progress.epoch + progress.batches / run.sampler.steps
            )
            _step(run, batches, rate)
            bar.update(len(batches))


def _windows(loader: Iterable[Batch | ToolkitError], size: int) -> Iterator[list[Batch]]:
    """`size` batches at a time; an error of the loader is raised here."""
    window: list[Batch] = []
    for batch in loader:
        if isinstance(batch, ToolkitError):
            raise batch
        window.append(batch)
        if len(window) == size:
            yield window
            window = []


def _step(run: Run, batches: list[Batch], rate: float) -> None:
    progress = run.progress
    run.writer.check()
    advice = "lower optim.batch_size (and raise optim.accumulate), or set optim.checkpointing=true"
    with room_for(f"step {progress.step + 1}", advice):
        try:
            report = run.learner.step(batches, rate)
        except ToolkitError as error:
            raise ToolkitError(
                f"step {progress.step + 1}: {error}; what was saved is kept, lower the schedule's "
                "rates or look at these tiles"
            ) from error
    progress.step += 1
    progress.batches += len(batches)
    if run.journal:
        run.journal.step(progress.step, report, rate)
    every = run.config.optim.save_every
    due = every is not None and progress.step % every == 0
    if run.world.any(run.interrupt.asked) or due:
        _save_within_epoch(run)


def _save_within_epoch(run: Run) -> None:
    """So that nothing done is lost; and the end of the run, if SIGTERM has come."""
    if run.journal:
        run.journal.flush()
    run.save_last()
    if run.world.any(run.interrupt.asked):
        run.settle()
        raise Interrupted


def _end_epoch(run: Run) -> None:
    progress, every = run.progress, run.config.validation.every
    done = progress.epoch + 1
    if done % every == 0 or done == run.config.epochs:
        # Validation may take longer than whoever sends a SIGTERM is ready to wait.
        _save_within_epoch(run)
        run.writer.drain()  # what it was not able to write is told before what the weights map
        validate_epoch(run)
    else:
        progress.turn_epoch()
        _save_within_epoch(run)
