from __future__ import annotations

import pytest

from train.config import OptimConfig
from train.schedule import learning_rate

CONFIG = OptimConfig(epochs=100, warmup_epochs=5, learning_rate=1e-3, min_learning_rate=1e-5)


@pytest.mark.parametrize(
    ("progress", "rate"),
    [(0, 1e-5), (2.5, (1e-3 + 1e-5) / 2), (5, 1e-3), (52.5, (1e-3 + 1e-5) / 2), (100, 1e-5)],
)
def test_warm_up_then_cosine(progress: float, rate: float) -> None:
    assert learning_rate(CONFIG, progress) == pytest.approx(rate)


def test_no_warm_up_starts_at_the_top() -> None:
    config = CONFIG.model_copy(update={"warmup_epochs": 0.0})
    assert learning_rate(config, 0) == pytest.approx(1e-3)
