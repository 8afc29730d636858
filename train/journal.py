"""What a run writes down for TensorBoard; rank 0 alone keeps one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch.utils.tensorboard import SummaryWriter

from runtime.damage import CLASS_NAMES, DAMAGE_CLASSES
from runtime.score import Counts
from train.learner import StepReport


class Journal:
    def __init__(self, folder: Path, first_step: int) -> None:
        """Entries of `first_step` and later, from before an interruption, are void."""
        self.writer = SummaryWriter(str(folder), purge_step=first_step)

    def step(self, step: int, report: StepReport, rate: float) -> None:
        for name, value in report.losses.items():
            self.writer.add_scalar(f"loss/{name}", value, step)
        self.writer.add_scalar("optim/learning_rate", rate, step)
        self.writer.add_scalar("optim/gradient_norm", report.gradient_norm, step)

    def scores(self, name: str, step: int, counts: Counts) -> None:
        """`name`: what begins those of the curves. Everything so far is then on the disk."""
        self.writer.add_scalar(f"{name}/score", counts.score, step)
        self.writer.add_scalar(f"{name}/localization_f1", counts.localization_f1, step)
        self.writer.add_scalar(f"{name}/damage_f1", counts.damage_f1, step)
        for value, f1 in zip(DAMAGE_CLASSES, counts.class_f1, strict=True):
            self.writer.add_scalar(f"{name}/f1_{CLASS_NAMES[value]}", f1, step)
        self.flush()

    def panel(self, step: int, name: str, picture: np.ndarray) -> None:
        """uint8 [H, W, 3] RGB."""
        self.writer.add_image(f"panel/{name}", picture, step, dataformats="HWC")

    def flush(self) -> None:
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()
