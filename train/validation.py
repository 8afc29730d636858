"""The official score of a network on whole tiles, counted by all ranks together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from runtime.damage import CLASS_NAMES, DAMAGE_CLASSES
from runtime.errors import CheckpointError, ConfigError
from runtime.score import Counts
from train.ahead import ahead
from train.check import TileFacts
from train.distributed import World
from train.inference import predict_maps
from train.masks import MaskCache
from train.sampling import group_by_rarest_class
from train.scored import Scored
from train.xbd import Tile


@dataclass(frozen=True, eq=False)
class Score:
    """What was counted, and on what."""

    counts: Counts
    scored: Scored


@dataclass(frozen=True, eq=False)
class LabelledPair:
    """A tile as it is validated: images uint8 [H, W, 3] RGB, targets uint8 [H, W]."""

    tile: Tile
    pre: np.ndarray
    post: np.ndarray
    building: np.ndarray
    damage: np.ndarray


Watch = Callable[[int, LabelledPair, np.ndarray], None]
"""Is shown each pair with its number on this rank and its predicted classes, uint8 [H, W]."""


def validate(
    network: nn.Module,
    tiles: Sequence[Tile],
    masks: MaskCache,
    world: World,
    dtype: torch.dtype | None = None,
    watch: Watch | None = None,
) -> Counts:
    """Counts over `tiles`, the same on every rank and for every number of ranks.

    Args:
        network: as `predict_maps` takes it; the running statistics become rank 0's.
        dtype: of the forward pass; None: the weights'. A pair on which its numbers overflow is
            computed without it.
    Raises:
        CheckpointError: logits that are no numbers.
        ToolkitError: a tile that a GPU's memory does not hold.
    """
    network.eval()
    world.share(list(network.buffers()))
    counts = Counts()

    def load(tile: Tile) -> LabelledPair:
        pre, post = tile.images()
        return LabelledPair(tile, pre, post, *masks.targets(tile, *pre.shape[:2]))

    for index, pair in enumerate(ahead(load, tiles[world.rank :: world.size])):
        damage = _classes(network, pair, dtype)
        counts.add(damage, damage, pair.building, pair.damage)
        if watch:
            watch(index, pair, damage)
    return Counts(world.sum(counts.localization), world.sum(counts.confusion))


def _classes(network: nn.Module, pair: LabelledPair, dtype: torch.dtype | None) -> np.ndarray:
    try:
        return predict_maps(network, pair.pre, pair.post, dtype=dtype)[0]
    except CheckpointError:
        if dtype is None:
            raise
        return predict_maps(network, pair.pre, pair.post)[0]


def drawn_evenly(facts: Sequence[TileFacts], count: int | None) -> list[TileFacts]:
    """`count` of the tiles, always the same ones; all, where `count` is None or not below.

    Every disaster, and in it every group of tiles by their rarest damage class, is there in
    proportion: the tiles are put in that order, and those at even distances are taken.

    Raises:
        ConfigError: a damage class of the split is on none of them, so that its F1, and with it
            the score, would be close to 0 whatever the network does.
    """
    if count is None or count >= len(facts):
        return list(facts)
    groups = group_by_rarest_class([fact.pixels for fact in facts])
    keys = [(f.tile.disaster, g, f.tile.name) for f, g in zip(facts, groups, strict=True)]
    order = sorted(range(len(facts)), key=keys.__getitem__)
    chosen = sorted(order[(2 * i + 1) * len(facts) // (2 * count)] for i in range(count))
    drawn = [facts[index] for index in chosen]
    there, held = (sum(fact.pixels for fact in each) > 0 for each in (facts, drawn))
    absent = [CLASS_NAMES[value] for value in DAMAGE_CLASSES if there[value] and not held[value]]
    if absent:
        raise ConfigError(
            f"validation.tiles={count}: no tile of these shows {', '.join(absent)}, which others "
            f"of the split's {len(facts)} do, so that the score would be close to 0; raise it, or "
            "take null for all"
        )
    return drawn
