"""What one training run holds, and what of it goes to its folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from torch.utils.data import DataLoader

from train.card import write_card
from train.checkpoint import Checkpoint, save_checkpoint
from train.config import TrainConfig
from train.data_summary import DataSummary
from train.distributed import World
from train.interrupt import Interrupt
from train.journal import Journal
from train.learner import Learner
from train.masks import MaskCache
from train.resume import Progress, checkpoint_of, weights_of
from train.sampling import EpochSampler
from train.scored import Scored
from train.validation import Score
from train.writer import BackgroundWriter, snapshot
from train.xbd import Tile

BEST, LAST = "best.pt", "last.pt"


@dataclass
class Run:
    """On every rank."""

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
    drawn_tiles: list[Tile]
    """Those of `val_tiles` that are validated on along the way."""
    masks: MaskCache
    progress: Progress
    scored: Scored | None
    """On what the scores in last.pt were counted."""
    interrupt: Interrupt
    journal: Journal | None
    writer: BackgroundWriter

    def save_last(self, score: Score | None = None) -> None:
        """Everything to go on from here; `score` is that of the weights, if it was taken."""
        args = self.learner, self.progress, self.tiles, self.data, score
        checkpoint = checkpoint_of(*args)  # on every rank
        self.scored = score.scored if score else None
        self._write(checkpoint, LAST)

    def save_best(self, score: Score) -> None:
        """The weights alone, and their model card."""
        self.write_best(weights_of(self.learner, self.progress, self.data, score))

    def write_best(self, best: Checkpoint) -> None:
        network = self.learner.deployed  # for its architecture
        self._write(best, BEST, lambda written: write_card(self.out, written, network))

    def settle(self) -> None:
        """Wait, on every rank, until all is written.

        Raises: what kept something from being written.
        """
        self.writer.drain()
        self.world.any(False)

    def _write(
        self,
        checkpoint: Checkpoint,
        name: str,
        then: Callable[[Checkpoint], None] | None = None,
    ) -> None:
        """Rank 0 copies what there is now, and writes it while all go on."""
        if not self.world.leads:
            return
        now = replace(
            checkpoint,
            model_state=snapshot(checkpoint.model_state),
            optimizer_state=snapshot(checkpoint.optimizer_state),
            resume=snapshot(checkpoint.resume),
        )

        def job() -> None:
            save_checkpoint(self.out / name, now)
            if then:
                then(now)

        self.writer.submit(job)
