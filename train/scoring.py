"""What a run's weights score, along the way and at its end, and which of them are the best."""

from __future__ import annotations

import copy

import numpy as np
from torch import nn

from runtime import cli
from runtime.errors import CheckpointError, ToolkitError
from train.checkpoint import Checkpoint, load_checkpoint
from train.evaluate import summary
from train.panels import panel
from train.run import BEST, LAST, Run
from train.scored import Scored
from train.validation import LabelledPair, Score, Watch, validate
from train.xbd import Tile

PANELS = 2
"""Validation tiles that TensorBoard shows."""


def validate_epoch(run: Run) -> None:
    """The score of the weights that the epoch ended with, and what is kept for it."""
    progress, validation = run.progress, run.config.validation
    faster = validation.precision == "training"
    score = _score(run, run.learner.validated, run.drawn_tiles, faster=faster, watch=_panels(run))
    progress.turn_epoch()
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


def finish(run: Run) -> None:
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
