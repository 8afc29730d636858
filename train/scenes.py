"""Synthetic scenes that a run learns from beside its data set."""

from __future__ import annotations

from pathlib import Path

from runtime import cli, host
from runtime.errors import ConfigError
from train.check import TileFacts, check_together, smallest_side
from train.config import TrainConfig
from train.distributed import World
from train.masks import MaskCache
from train.synthesize import synthesize
from train.window_cache import WindowCache
from train.xbd import find_tiles

_SPLIT = "train"


def scenes(
    config: TrainConfig,
    out: Path,
    masks: MaskCache,
    world: World,
    windows: WindowCache | None = None,
) -> list[TileFacts]:
    """Those of `data.synthetic`, drawn once into `out/synthetic-seedK`; none where it is not set.

    Raises:
        ConfigError: the folder holds other scenes.
        ToolkitError: a process that draws was killed.
    """
    wanted = config.data.synthetic
    if wanted is None:
        return []
    folder = out / f"synthetic-seed{config.seed}"  # another seed, other scenes
    if world.leads and not folder.exists():
        cli.note(f"drawing {wanted.tiles} synthetic scenes into {folder}")
        workers = max(1, min(host.physical_cores(), wanted.tiles))
        synthesize(folder, [_SPLIT] * wanted.tiles, wanted.size, config.seed, workers)
    world.gather(None)  # until they are drawn
    tiles = find_tiles(folder, _SPLIT)
    checked = check_together(tiles, masks, smallest_side(config.data), world, windows)
    sizes = {(fact.height, fact.width) for fact in checked.good}
    if checked.bad or len(tiles) != wanted.tiles or sizes != {(wanted.size, wanted.size)}:
        raise ConfigError(
            f"{folder}: holds {len(tiles)} scenes ({len(checked.bad)} of them damaged), not the "
            f"{wanted.tiles} of {wanted.size}x{wanted.size} pixels that data.synthetic asks for; "
            "remove it, it is drawn anew"
        )
    return checked.good
