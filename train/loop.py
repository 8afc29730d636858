"""The training loop: train epoch by epoch, validate, keep the last and the best."""

from __future__ import annotations

import contextlib
import copy
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from runtime import cli
from runtime.errors import CheckpointError, ConfigError, ToolkitError
from train.checkpoint import Checkpoint, load_checkpoint
from train.config import TrainConfig
from train.data_summary import data_summary
from train.distributed import World
from train.evaluate import summary
from train.gpu_memory import room_for
from train.initial import require_init
from train.interrupt import on_sigterm
from train.journal import Journal
from train.learner import Batch
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
from train.remarks import shared
from train.resume import Progress, find_run, restore
from train.run import BEST, LAST, Run
from train.scenes import scenes
from train.schedule import learning_rate
from train.scored import Scored
from train.splits import divide
from train.validation import LabelledPair, Score, Watch, drawn_evenly, validate
from train.writer import background_writer
from train.xbd import Tile

PANELS = 2
"""Validation tiles that TensorBoard shows."""


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
        _finish(run)
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
        _validate(run)
    else:
        _turn_epoch(progress)
        _save_within_epoch(run)


def _turn_epoch(progress: Progress) -> None:
    progress.epoch += 1
    progress.batches = 0


def _validate(run: Run) -> None:
    """The score of the weights that the epoch ended with, and what is kept for it."""
    progress, validation = run.progress, run.config.validation
    faster = validation.precision == "training"
    score = _score(run, run.learner.validated, run.drawn_tiles, faster=faster, watch=_panels(run))
    _turn_epoch(progress)
    better = score.counts.score > progress.best_score
    progress.best_score = max(score.counts.score, progress.best_score)
    # The best first: if only that is written, going on from the last one writes it again.
    if better:
        run.save_best(score)
    run.save_last(score)
    _write_down(run, "val", score)
    if run.world.leads:
        headline = summary(score.counts).splitlines()[0]
        of = "" if score.scored.exact else f" ({score.scored})"
        cli.note(f"epoch {progress.epoch}/{run.config.epochs}: {headline}{of}")


def _finish(run: Run) -> None:
    """The exact scores of the last weights and of the best ones, where what was validated along
    the way is less. The better of the two are the best from now on."""
    if run.scored is None or run.scored.exact:
        return
    run.settle()  # best.pt is read again
    last = _score(run, run.learner.validated, run.val_tiles)
    before = load_checkpoint(run.out / BEST) if run.world.leads else None
    if run.world.any(before is not None and before.step != run.progress.step):
        best = _exact_score(run, before)
    else:
        best = last
    if best is last or last.counts.score > best.counts.score:
        best = last
        run.save_best(last)
    elif before:
        run.write_best(before.weights_alone(best.counts.as_dict(), best.scored))
    run.progress.best_score = best.counts.score
    run.save_last(last)
    _write_down(run, "exact", last)
    if run.world.leads:
        for name, score in ((LAST, last), (BEST, best)):
            cli.note(f"{name}, {score.scored}: {summary(score.counts).splitlines()[0]}")


def _exact_score(run: Run, checkpoint: Checkpoint | None) -> Score:
    """Of the weights in `checkpoint`, which rank 0 has read; the run's own stay as they are."""
    network = copy.deepcopy(run.learner.deployed)
    if checkpoint:
        network.load_state_dict(checkpoint.model_state)
    run.world.share(list(network.state_dict().values()))
    return _score(run, run.learner.as_computed(network), run.val_tiles)


def _score(
    run: Run,
    network: nn.Module,
    tiles: list[Tile],
    *,
    faster: bool = False,
    watch: Watch | None = None,
) -> Score:
    """The official score over `tiles`, in fp32 or, `faster`, in the training's precision."""
    precision = run.learner.precision
    dtype = precision.dtype if faster else None
    try:
        counts = validate(network, tiles, run.masks, run.world, dtype, watch)
    except CheckpointError as error:
        epoch = min(run.progress.epoch + 1, run.config.epochs)
        raise ToolkitError(
            f"epoch {epoch}: the weights that it ended with map nothing: {error}; "
            "the best.pt of the epochs before is kept"
        ) from error
    name = precision.name if faster else "fp32"
    return Score(counts, Scored(tiles=len(tiles), of=len(run.val_tiles), precision=name))


def _panels(run: Run) -> Watch | None:
    """Shows the first pairs in TensorBoard."""
    journal, step = run.journal, run.progress.step
    if journal is None:
        return None

    def watch(index: int, pair: LabelledPair, damage: np.ndarray) -> None:
        if index < PANELS:
            picture = panel(pair.pre, pair.post, pair.damage, damage)
            journal.panel(step, pair.tile.name, picture)

    return watch


def _write_down(run: Run, name: str, score: Score) -> None:
    """For TensorBoard, after the checkpoint: one that goes on before it does this again."""
    if journal := run.journal:
        step = run.progress.step
        run.writer.submit(lambda: journal.scores(name, step, score.counts))
