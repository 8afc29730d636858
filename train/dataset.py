"""Training samples: reproducible random crops of xBD tiles, and which rank draws which."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler, default_collate

from runtime.damage import IGNORE
from runtime.errors import DataError, ToolkitError
from runtime.manifest import STRIDE
from train.augment import PairAugmentation
from train.config import TrainConfig
from train.xbd import Tile

Sample = dict[str, np.ndarray]


class CropDataset(Dataset):
    """Random crops. An item depends on (seed, epoch, index) alone, whatever loads it."""

    def __init__(self, tiles: list[Tile], config: TrainConfig) -> None:
        self.tiles = tiles
        self.config = config
        self.augment = PairAugmentation(config.augment)
        self._decoded: dict[int, Sample] = {}

    def __len__(self) -> int:
        return len(self.tiles) * self.config.data.crops_per_tile

    def __getitem__(self, draw: tuple[int, int]) -> dict[str, Tensor]:
        """`draw` is (epoch, index).

        Returns:
            pre, post: uint8 [crop, crop, 3]; building, damage: uint8 [crop, crop].
        """
        epoch, index = draw
        random = np.random.default_rng((self.config.seed, epoch, index))
        sample = self._crop(self._tile(index % len(self.tiles)), random)
        sample = self.augment(sample, random)
        return {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in sample.items()}

    def _tile(self, index: int) -> Sample:
        if index in self._decoded:
            return self._decoded[index]
        tile = self.tiles[index]
        pre, post = tile.images()
        building, damage = tile.targets(*pre.shape[:2])
        sample = {"pre": pre, "post": post, "building": building, "damage": damage}
        if self.config.data.cache:
            self._decoded[index] = sample
        return sample

    def _crop(self, sample: Sample, random: np.random.Generator) -> Sample:
        side = self.config.data.crop
        height, width = sample["pre"].shape[:2]
        if height < side or width < side:
            raise DataError(
                f"a tile of {height}x{width} cannot give crops of {side}x{side}; "
                f"set data.crop={min(height, width) // STRIDE * STRIDE} or less"
            )
        top, left = random.integers(height - side + 1), random.integers(width - side + 1)
        if random.random() < self.config.data.building_crops:
            centre = _building_pixel(sample["damage"], random)
            if centre is not None:
                jitter = random.integers(-side // 4, side // 4 + 1, 2)
                top = np.clip(centre[0] + jitter[0] - side // 2, 0, height - side)
                left = np.clip(centre[1] + jitter[1] - side // 2, 0, width - side)
        window = (slice(top, top + side), slice(left, left + side))
        return {name: array[window] for name, array in sample.items()}


class Reporting(Dataset):
    """`dataset`, with an error of the toolkit given back as an item instead of raised.

    A loader process that raises buries the message under its traceback; `collate` lets the
    error through, and the training process raises it.
    """

    def __init__(self, dataset: CropDataset) -> None:
        self.dataset = dataset

    def __getitem__(self, draw: tuple[int, int]) -> dict[str, Tensor] | ToolkitError:
        try:
            return self.dataset[draw]
        except ToolkitError as error:
            return error


def collate(items: list[dict[str, Tensor] | ToolkitError]) -> dict[str, Tensor] | ToolkitError:
    """A batch, or the first error among its items."""
    return next((i for i in items if isinstance(i, ToolkitError)), None) or default_collate(items)


def _building_pixel(damage: np.ndarray, random: np.random.Generator) -> tuple[int, int] | None:
    """A random pixel of a random damage class among those present, so rare classes count."""
    present = [value for value in np.unique(damage) if value not in (0, IGNORE)]
    if not present:
        return None
    rows, columns = np.nonzero(damage == random.choice(present))
    pick = random.integers(len(rows))
    return int(rows[pick]), int(columns[pick])


class EpochSampler(Sampler):
    """(epoch, index) draws of one rank: a shuffle all ranks agree on, dealt out in turn.

    The draws are cut so that every rank makes the same number of full batches.
    """

    def __init__(self, length: int, batch: int, seed: int, rank: int, world: int) -> None:
        self.length, self.batch, self.seed = length, batch, seed
        self.rank, self.world = rank, world
        self.epoch = 0
        if self.steps == 0:
            raise DataError(
                f"{length} samples an epoch do not fill one batch of {batch} on each of "
                f"{world} ranks; lower optim.batch_size or raise data.crops_per_tile"
            )

    @property
    def steps(self) -> int:
        """Batches an epoch."""
        return self.length // (self.batch * self.world)

    def __len__(self) -> int:
        return self.steps * self.batch

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.length)
        mine = order[self.rank :: self.world][: len(self)]
        return iter([(self.epoch, int(index)) for index in mine])
