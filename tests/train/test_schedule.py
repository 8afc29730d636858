"""The learning rate over a run, phase by phase."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.config import SOURCE_SCHEDULE, Phase
from train.config_file import load_config
from train.schedule import learning_rate, phase_at

CONFIGS = Path(__file__).parents[2] / "train" / "configs"


@pytest.mark.parametrize(
    ("epoch", "rate", "level"),
    [
        (0, 1e-5, "light"), (2.5, (1e-3 + 1e-5) / 2, "light"),
        (5, 1e-3, "full"), (40, (1e-3 + 1e-4) / 2, "full"), (74.999, 1e-4, "full"),
        (75, 1e-4, "medium"), (89.9, 1e-4, "medium"),
        (90, 1e-5, "light"), (99.9, 1e-5, "light"),
    ],
)  # fmt: skip
def test_the_source_schedule(epoch: float, rate: float, level: str) -> None:
    assert learning_rate(SOURCE_SCHEDULE, epoch) == pytest.approx(rate, rel=1e-4)
    assert phase_at(SOURCE_SCHEDULE, epoch)[0].augment == level


@pytest.mark.parametrize("width", [18, 32, 48, 64])
def test_shipped_configurations_follow_the_source(width: int) -> None:
    config = load_config(CONFIGS / f"w{width}.yaml")
    assert config.schedule == SOURCE_SCHEDULE
    assert config.epochs == 100
    assert (config.optim.batch_size, config.optim.weight_decay) == (4, 1e-4)


@given(st.floats(0, 30))
def test_the_rate_stays_between_the_ends_of_its_phase(epoch: float) -> None:
    schedule = (
        Phase(epochs=3, rate=(1e-4, 1e-2)),
        Phase(epochs=7, rate=(1e-2, 1e-3), shape="cosine"),
        Phase(epochs=1, rate=5e-4),
    )
    low, high = sorted(phase_at(schedule, epoch)[0].rates)
    assert low * (1 - 1e-9) <= learning_rate(schedule, epoch) <= high * (1 + 1e-9)
