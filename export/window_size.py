"""The window that maps a scene of a known size with the fewest computed pixels.

Windows overlap, and those at a scene's end may show ground that others keep: how much depends on
both sizes. What an engine costs a pixel is taken to be the same for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from runtime import cli
from runtime.errors import ConfigError
from runtime.scene.windows import window_rows
from runtime.scene.work import REACH, default_halo

STEP = 32
"""Of a window's sides, pixels: the network's largest stride."""

LEAST, MOST = 256, 1024
"""Pixels a side. Memory grows with a window, and a smaller one keeps hardly more than its halo."""


LARGEST = 10_000_000
"""Pixels a side of a scene; at 0.3 m that is 3,000 km."""


@dataclass(frozen=True)
class Choice:
    """Windows of `height` x `width` pixels: how many a scene takes, and what they compute.

    share: pixels computed for each pixel of the scene.
    """

    height: int
    width: int
    windows: int
    share: float

    def __str__(self) -> str:
        return (
            f"{self.height}x{self.width} ({self.windows} of them, {self.share:.2f} pixels computed "
            "a pixel)"
        )


NEXT = 3
"""How many of the others are told."""


def chosen_size(height: int, width: int, square: bool) -> tuple[int, int]:
    """Height and width of the best, which is told beside the next.

    Raises ConfigError for a scene without a pixel.
    """
    if not 1 <= min(height, width) <= max(height, width) <= LARGEST:
        raise ConfigError(
            f"--scene {height} {width}: expected height and width in pixels, 1 to {LARGEST}"
        )
    first, *others = best_sizes(height, width, square)
    cli.note(f"--scene {height} {width}: windows of {first}")
    if others:
        cli.note(f"  next: {', '.join(map(str, others[:NEXT]))}")
    return first.height, first.width


def best_sizes(height: int, width: int, square: bool = False) -> list[Choice]:
    """The windows for a scene of height x width pixels, from the cheapest on.

    Where two compute the same, the smaller window comes first. The halo is that of a network
    that sees no further than the runtime takes at least: its reach is measured with the engine.

    square: both sides alike.
    """
    choices = [
        choice(height, width, tall, wide)
        for tall in sides(height)
        for wide in sides(width)
        if tall == wide or not square
    ]
    if not choices:  # one side of the scene is small, the other is not
        choices = [choice(height, width, side, side) for side in sides(max(height, width))]
    return sorted(choices, key=lambda each: (each.share, each.height * each.width, each.height))


def sides(length: int) -> Iterator[int]:
    """Of windows, for a dimension of a scene: one where it is smaller than the least of them."""
    if length < LEAST:
        yield -(-length // STEP) * STEP
    else:
        yield from range(LEAST, MOST + 1, STEP)


def choice(height: int, width: int, tall: int, wide: int) -> Choice:
    """Windows of tall x wide for a scene of height x width, pixels."""
    halo = default_halo(min(tall, wide), REACH)
    count = window_rows((height, width), (tall, wide), halo).count
    return Choice(tall, wide, count, count * tall * wide / (height * width))
