"""Training samples: reproducible random crops of xBD tiles."""

from __future__ import annotations

import signal
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from runtime.damage import DAMAGE_CLASSES
from runtime.errors import DataError, ToolkitError, reason
from train.augment import PairAugmentation, Sample
from train.check import require_side, smallest_side
from train.config import TrainConfig
from train.masks import MaskCache
from train.sampling import Draw
from train.scales import window_side
from train.schedule import phase_at
from train.tile_images import LoadedTile, StoredTiles, decoded
from train.xbd import Tile

Item = dict[str, Tensor | str]


class CropDataset(Dataset[Item]):
    """Random crops. An item depends on (seed, epoch, position, tile) alone, whatever loads it."""

    def __init__(
        self,
        tiles: Sequence[Tile],
        config: TrainConfig,
        masks: MaskCache | None = None,
        stored: StoredTiles | None = None,
    ) -> None:
        self.tiles, self.config, self.masks, self.stored = tiles, config, masks, stored
        self.levels = {name: PairAugmentation(level) for name, level in config.augment}
        self._kept: dict[int, LoadedTile] = {}

    def __len__(self) -> int:
        return len(self.tiles) * self.config.data.crops_per_tile

    def __getitem__(self, draw: Draw) -> Item:
        """The crop of an epoch, a position in it, and a tile.

        Returns:
            pre, post: uint8 [crop, crop, 3]; building, damage: uint8 [crop, crop]; name: str.
        """
        epoch, position, tile = draw
        random = np.random.default_rng((self.config.seed, epoch, position, tile))
        phase, _ = phase_at(self.config.schedule, epoch)
        augment = self.levels[phase.augment]
        sample = self._crop(self._tile(tile), random.uniform(*augment.level.scale), random)
        item: Item = {"name": self.tiles[tile].name}
        for name, array in augment(sample, random).items():
            item[name] = torch.from_numpy(np.ascontiguousarray(array))
        return item

    def _tile(self, index: int) -> LoadedTile:
        if index in self._kept:
            return self._kept[index]
        tile = self.tiles[index]
        images = self.stored.images(index, tile) if self.stored else decoded(tile)
        size = images.height, images.width
        require_side(tile, *size, smallest_side(self.config.data))
        targets = self.masks.targets if self.masks else Tile.targets
        loaded = LoadedTile(images, *targets(tile, *size))
        if self.config.data.cache == "memory":
            self._kept[index] = loaded
        return loaded

    def _crop(self, tile: LoadedTile, zoom: float, random: np.random.Generator) -> Sample:
        """A window of the tile in its own resolution, then resized: the rest of the tile
        costs its decoding and no more."""
        data = self.config.data
        height, width = tile.images.height, tile.images.width
        lowest, highest = data.windows
        side = window_side(random.integers(lowest, highest + 1), zoom, min(height, width))
        top, left = random.integers(height - side + 1), random.integers(width - side + 1)
        if random.random() < data.building_crops:
            centre = _building_pixel(tile.damage, random)
            if centre is not None:
                jitter = random.integers(-side // 4, side // 4 + 1, 2)
                top = np.clip(centre[0] + jitter[0] - side // 2, 0, height - side)
                left = np.clip(centre[1] + jitter[1] - side // 2, 0, width - side)
        window = tile.window(int(top), int(left), side)
        return {name: _resize(array, data.crop) for name, array in window.items()}


def _resize(array: np.ndarray, side: int) -> np.ndarray:
    """A square image or mask as [side, side]; a mask's values are not mixed."""
    before = array.shape[0]
    if before == side:
        return array
    if array.ndim == 2:
        return cv2.resize(array, (side, side), interpolation=cv2.INTER_NEAREST_EXACT)
    if before < side:
        return cv2.resize(array, (side, side), interpolation=cv2.INTER_LINEAR)
    if before < 2 * side:
        # OpenCV halves areas three times as fast as it averages them over an odd factor, so
        # the image is first brought to twice the size: no detail is lost by enlarging.
        array = cv2.resize(array, (2 * side, 2 * side), interpolation=cv2.INTER_LINEAR)
    return cv2.resize(array, (side, side), interpolation=cv2.INTER_AREA)


def _building_pixel(damage: np.ndarray, random: np.random.Generator) -> tuple[int, int] | None:
    """A random pixel of a random damage class among those present, so rare classes count."""
    for value in random.permutation(DAMAGE_CLASSES):
        places = np.flatnonzero(damage == value)
        if len(places):
            row, column = divmod(int(random.choice(places)), damage.shape[1])
            return row, column
    return None


class Reporting(Dataset[Item | ToolkitError]):
    """`dataset`, with an error of the toolkit given back as an item instead of raised.

    A loader process that raises buries the message under its traceback; `collate` lets the
    error through, and the training process raises it.
    """

    def __init__(self, dataset: CropDataset) -> None:
        self.dataset = dataset

    def __getitem__(self, draw: Draw) -> Item | ToolkitError:
        try:
            return self.dataset[draw]
        except ToolkitError as error:
            return error
        except OSError as error:
            name = error.filename or self.dataset.tiles[draw[2]].pre
            return DataError(f"{name}: {error.strerror}; see to the disk and resume")
        except (MemoryError, cv2.error) as error:  # OpenCV has its own for both of its failures
            name = self.dataset.tiles[draw[2]].pre
            return ToolkitError(
                f"{name}: cannot be loaded ({reason(error)[:120]}); where memory is short lower "
                "data.workers or set data.cache=none, and go on with --resume"
            )


def collate(items: list[Item | ToolkitError]) -> dict[str, Tensor | list[str]] | ToolkitError:
    """A batch, or the first error among its items, or that there is no memory to share it."""
    for item in items:
        if isinstance(item, ToolkitError):
            return item
    try:
        return default_collate(items)
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise
        return ToolkitError(
            f"a batch cannot be passed on ({reason(error)[:120]}); give the container more shared "
            "memory (docker run --shm-size=1g), or set data.workers=0, and go on with --resume"
        )


def worker_init(worker: int) -> None:
    """For a loader process: each has one core, which OpenCV's own threads would crowd.

    A SIGTERM to the whole process group is for the training process to answer.
    """
    cv2.setNumThreads(0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
