"""What training minimises: buildings, damage, and what a teacher says."""

from train.losses.sums import StepSums, dice_sums, target_sums
from train.losses.total import step_losses

__all__ = ["StepSums", "dice_sums", "step_losses", "target_sums"]
