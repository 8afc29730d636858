"""Which tile is drawn when, and by which rank."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

from runtime.damage import DAMAGE_CLASSES
from runtime.errors import DataError

Draw = tuple[int, int, int]
"""Epoch, position in the epoch over all ranks, tile."""


class EpochSampler(Sampler[Draw]):
    """The draws of one rank: an order that all ranks agree on, dealt out in turn.

    Without `groups`, a shuffle of every tile `crops_per_tile` times. With them (a group per
    tile), as many draws, each group as often as any other, its tiles drawn with replacement.

    Draws are cut so that each rank makes the same number of whole optimiser steps, of
    `accumulate` batches of `batch` draws each.

    synthetic: tiles, numbered after the others, that take the place of some draws: of the share
    that `shares` gives for the epoch.
    """

    def __init__(
        self,
        tiles: int,
        crops_per_tile: int,
        batch: int,
        seed: int,
        rank: int,
        world: int,
        groups: Sequence[int] | None = None,
        accumulate: int = 1,
        synthetic: int = 0,
        shares: Sequence[float] = (),
    ) -> None:
        self.tiles, self.length = tiles, tiles * crops_per_tile
        self.synthetic, self.shares = synthetic, shares
        self.batch, self.seed, self.rank, self.world = batch, seed, rank, world
        self.groups, self.accumulate = groups, accumulate
        self.epoch = 0
        self.skip = 0
        """Batches of this epoch that are done already; the draws start after them."""
        if self.steps == 0:
            raise DataError(
                f"{self.length} draws an epoch do not fill one optimiser step of {accumulate} x "
                f"{batch} on each of {world} ranks; lower optim.batch_size or optim.accumulate, "
                "or raise data.crops_per_tile"
            )

    @property
    def steps(self) -> int:
        """Batches an epoch on each rank, a multiple of `accumulate`."""
        return self.length // (self.batch * self.world * self.accumulate) * self.accumulate

    def __len__(self) -> int:
        return (self.steps - self.skip) * self.batch

    def __iter__(self) -> Iterator[Draw]:
        order = self._order()
        first, end = self.skip * self.batch, self.steps * self.batch
        mine = range(self.rank, len(order), self.world)[first:end]
        return iter([(self.epoch, position, int(order[position])) for position in mine])

    def _order(self) -> np.ndarray:
        """int [length]: the tiles of the epoch, the same on all ranks."""
        random = np.random.default_rng((self.seed, self.epoch))
        order = self._real(random)
        if self.synthetic:
            places = random.permutation(self.length)
            places = places[: round(self.shares[self.epoch] * self.length)]
            scenes = random.permutation(self.synthetic)
            order[places] = self.tiles + np.resize(scenes, len(places))
        return order

    def _real(self, random: np.random.Generator) -> np.ndarray:
        """int [length]: of the data set's own tiles."""
        if self.groups is None:
            return random.permutation(self.length) % self.tiles
        members = [np.flatnonzero(np.equal(self.groups, g)) for g in sorted(set(self.groups))]
        # Each run of len(members) draws holds every group once, so that no cut favours one.
        runs = np.tile(np.arange(len(members)), (-(-self.length // len(members)), 1))
        chosen = random.permuted(runs, axis=1).ravel()[: self.length]
        order = np.empty(self.length, np.int64)
        for group, tiles in enumerate(members):
            places = chosen == group
            order[places] = random.choice(tiles, np.count_nonzero(places))
        return order


def group_by_rarest_class(pixels: Sequence[np.ndarray]) -> list[int]:
    """The group of each tile: the damage class it holds that has the fewest pixels in all.

    Args:
        pixels: pixels per damage class of each tile, int64 [5] each.

    Returns:
        1..4; 0 for a tile that holds no damage class.
    """
    classes = np.stack(pixels)[:, list(DAMAGE_CLASSES)]
    total = classes.sum(0)
    rarity = np.where(classes > 0, total, np.iinfo(np.int64).max)
    return [
        DAMAGE_CLASSES[int(row.argmin())] if held.any() else 0
        for row, held in zip(rarity, classes > 0, strict=True)
    ]
