"""From a checkpoint and a data set to an artefact."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch

from calibration.observe import observe
from calibration.observers import METHODS, HistogramObserver
from calibration.tiles import content_hashes, describe_choice, select
from runtime import cli
from runtime.errors import DataError
from runtime.files import sha256
from runtime.manifest import STRIDE
from train.checkpoint import load_checkpoint
from train.model import DualHRNet
from train.model.inference_form import inference_form
from train.quantisation.artefact import Artefact, preprocessing_of
from train.quantisation.equalisation import equalised
from train.quantisation.fake import Range
from train.xbd import Tile, find_tiles


def calibrate(
    checkpoint: Path,
    data: Path,
    split: str,
    count: int,
    method: str,
    progress: Callable[[list[Tile]], Iterable[Tile]] = iter,
    device: torch.device | None = None,
) -> Artefact:
    """Observe the ranges of `checkpoint` on `count` tiles of `data/split`, on `device` (None: the
    processor).

    Raises:
        DataError: see `calibration_tiles`.
        CalibrationError: a tensor's range is 0, NaN or infinite on these tiles.
    """
    network = load_checkpoint(checkpoint).network().to(device or torch.device("cpu"))
    tiles = calibration_tiles(data, split, count)
    (artefact,) = observed(network, sha256(checkpoint), tiles, [method], progress)
    return artefact


def calibration_tiles(data: Path, split: str, count: int) -> list[Tile]:
    """`count` tiles of `data/split`, or all there are, each read once; the user is told which.

    Raises:
        DataError: the split is absent, or a tile's size is not what the network takes.
    """
    choices = select(find_tiles(data, split, labelled=False), count)
    for line in describe_choice(choices):
        cli.note(line)
    tiles = [choice.tile for choice in choices]
    for tile in tiles:
        height, width = tile.images()[0].shape[:2]
        if height % STRIDE or width % STRIDE:
            raise DataError(
                f"{tile.pre}: {height}x{width} (height x width); ranges are observed on whole "
                f"tiles, expected multiples of {STRIDE}; crop or remove it, or use another split"
            )
    return tiles


def observed(
    network: DualHRNet,
    checkpoint_sha256: str,
    tiles: list[Tile],
    methods: Sequence[str],
    progress: Callable[[list[Tile]], Iterable[Tile]] = iter,
) -> list[Artefact]:
    """The ranges by each of `methods`, after one pass over the tiles on the network's device. They
    are those of the equalised network.

    Raises:
        CalibrationError: a tensor's range is 0, NaN or infinite on these tiles.
    """
    # Who keeps a histogram has kept the extremes, too.
    histograms = [name for name in methods if issubclass(METHODS[name], HistogramObserver)]
    watching = (histograms or methods)[0]
    config = network.config
    observers = observe(inference_form(equalised(network)), config, progress(tiles), watching)
    hashes = content_hashes(tiles)
    artefacts = []
    for method in methods:
        views = {name: each.seen_as(METHODS[method]) for name, each in observers.items()}
        artefact = Artefact(
            checkpoint_sha256=checkpoint_sha256,
            preprocessing=preprocessing_of(config.mean, config.std),
            tiles=hashes,
            method=method,
            ranges={name: Range(o.amax(), o.minimum >= 0) for name, o in views.items()},
            equalised=True,
        )
        artefact.check_ranges()
        artefacts.append(artefact)
    return artefacts
