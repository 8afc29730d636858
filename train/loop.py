"""The training loop: train epoch by epoch, validate, keep the last and the best."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from runtime import cli
from runtime.errors import CheckpointError, ConfigError, ToolkitError
from runtime.score import Counts
from train.card import write_card
from train.checkpoint import Checkpoint, save_checkpoint
from train.config import TrainConfig
from train.data_summary import DataSummary, data_summary
from train.distributed import World
from train.evaluate import damage_maps, summary
from train.interrupt import Interrupt, on_sigterm
from train.journal import Journal
from train.learner import Batch, Learner
from train.loader import check_loader, ending
from train.masks import MaskCache
from train.panels import panel
from train.prepare import (
    build_learner,
    build_loader,
    fingerprints,
    usable_tiles,
    window_cache,
)
from train.resume import Progress, checkpoint_of, find_run, restore
from train.sampling import EpochSampler
from train.schedule import learning_rate
from train.xbd import Tile

PANELS = 2
"""Validation tiles that TensorBoard shows."""


@dataclass
class Run:
    """What one training run holds on every rank."""

    config: TrainConfig
    world: World
    out: Path
    learner: Learner
    sampler: EpochSampler
    loader: DataLoader
    tiles: str
    """Fingerprint of what is trained and validated on."""
    data: DataSummary
    val_tiles: list[Tile]
    masks: MaskCache
    progress: Progress
    interrupt: Interrupt
    journal: Journal | None

    def save(self, name: str, counts: Counts | None = None) -> Checkpoint:
        """Write a checkpoint; its scores are those of `counts`."""
        metrics = counts.as_dict() if counts else None
        checkpoint = checkpoint_of(self.learner, self.progress, self.tiles, self.data, metrics)
        if self.world.leads:
            save_checkpoint(self.out / name, checkpoint)
        return checkpoint


class Interrupted(Exception):
    """SIGTERM came; the run is saved."""


def train(
    config: TrainConfig, data: Path, out: Path, world: World, *, resume: bool, skip_bad: bool
) -> None:
    """Train to the end, or until SIGTERM; `out/best.pt` and `out/last.pt` hold the result, and
    `out/README.md` is the model card of the former.

    Raises:
        ToolkitError: whatever cannot be trained on, or has diverged; the last save stays.
        Interrupted: SIGTERM; everything is saved and `resume` goes on from there.
    """
    last = out / "last.pt"
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
            left_over.unlink()
    before = find_run(last, config, world)
    masks = MaskCache(config.data.masks or out / "masks")
    windows = window_cache(config, out)
    train_tiles, val_tiles = usable_tiles(
        data, config, masks, out, world, skip_bad=skip_bad, windows=windows
    )
    torch.manual_seed(config.seed)  # PyTorch starts every process with another
    used = fingerprints(train_tiles, val_tiles)
    splits = config.data.train_split, config.data.val_split
    summarised = data_summary(data, splits[0], train_tiles, splits[1], val_tiles)
    loader, sampler = build_loader(train_tiles, config, masks, world, windows)
    learner = build_learner(config, world, before)
    if world.leads:
        cli.note(f"precision {learner.precision.name}: {learner.precision.why}")
    progress = restore(before, learner, used, sampler.steps) if before else Progress()
    with on_sigterm() as interrupt:
        journal = Journal(out / "tensorboard", progress.step + 1) if world.leads else None
        run = Run(
            config, world, out, learner, sampler, loader, used[0], summarised,
            [fact.tile for fact in val_tiles], masks, progress, interrupt, journal,
        )  # fmt: skip
        try:
            with ending(loader):
                while progress.epoch < config.epochs:
                    _train_epoch(run)
                    # Validation may take longer than whoever sends a SIGTERM is ready to wait.
                    _save_within_epoch(run)
                    _validate(run)
        finally:
            if journal:
                journal.close()


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
    try:
        report = run.learner.step(batches, rate)
    except ToolkitError as error:
        raise ToolkitError(
            f"step {progress.step + 1}: {error}; what was saved is kept, lower the schedule's "
            "rates or look at these tiles"
        ) from error
    except torch.OutOfMemoryError as error:
        raise ToolkitError(
            f"step {progress.step + 1}: the GPU's memory does not hold it; lower optim.batch_size "
            "(and raise optim.accumulate), or set optim.checkpointing=true"
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
    run.save("last.pt")
    if run.world.any(run.interrupt.asked):
        raise Interrupted


def _maps(run: Run, network: nn.Module, tiles: list[Tile]) -> Iterator[tuple[Tile, np.ndarray]]:
    try:
        yield from damage_maps(network, tiles)
    except CheckpointError as error:
        raise ToolkitError(
            f"epoch {run.progress.epoch + 1}: the weights that it ended with map nothing: {error}; "
            "the best.pt of the epochs before is kept"
        ) from error


def _validate(run: Run) -> None:
    """The official score over the validation split, its tiles dealt out over the ranks."""
    network, world, progress = run.learner.validated, run.world, run.progress
    network.eval()
    world.share(list(network.buffers()))
    counts = Counts()
    mine = run.val_tiles[world.rank :: world.size]
    for index, (tile, damage) in enumerate(_maps(run, network, mine)):
        truth = run.masks.targets(tile, *damage.shape)
        counts.add(damage, damage, *truth)
        if run.journal and index < PANELS:
            run.journal.panel(progress.step, tile.name, panel(*tile.images(), truth[1], damage))
    counts = Counts(world.sum(counts.localization), world.sum(counts.confusion))
    progress.epoch += 1
    progress.batches = 0
    better = counts.score > progress.best_score
    progress.best_score = max(counts.score, progress.best_score)
    # The best first: if only that is written, going on from the last one writes it again.
    if better:
        best = run.save("best.pt", counts)
        if world.leads:
            write_card(run.out, best, run.learner.deployed)
    run.save("last.pt", counts)
    if run.journal:
        run.journal.scores(progress.step, counts)
        run.journal.flush()
        headline = summary(counts).splitlines()[0]
        cli.note(f"epoch {progress.epoch}/{run.config.epochs}: {headline}")
