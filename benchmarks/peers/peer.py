"""What takes part in a comparison: a call to time, and the damage map that it amounts to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runtime.manifest import Precision

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from train.model import ModelConfig

    Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]

END_TO_END = "end to end"
"""Scope: two uint8 images in memory to three uint8 maps."""

ALONE = "network alone"
"""Scope: two float images that are normalised already to logits at full size."""

PYTORCH, PLAIN_EXPORT, DEPLOY_GRAPH, ENGINE = "PyTorch", "plain export", "deploy graph", "engine"

EAGER = "PyTorch eager"
"""The name of what all others are compared with."""


@dataclass(frozen=True)
class Peer:
    """`damage` makes the damage map, uint8 [H, W], of what `call` returned; it is not timed."""

    name: str
    group: str
    scope: str
    call: Callable[[], Any]
    damage: Callable[[Any], NDArray[np.uint8]]
    precision: Precision = "fp32"

    @property
    def key(self) -> str:
        return f"{self.name}, {self.scope}"


@dataclass(frozen=True)
class Task:
    """What every peer is given: images uint8 [H, W, 3] RGB, and how they are to be computed."""

    pair: Pair
    config: ModelConfig
    threshold: float
    threads: int

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.pair[0].shape[:2]
        return height, width
