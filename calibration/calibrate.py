"""From a checkpoint and a data set to an artefact."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from calibration.observe import observe
from calibration.tiles import content_hashes, describe_choice, select
from runtime import cli
from runtime.files import sha256
from train.checkpoint import load_checkpoint
from train.model.inference_form import inference_form
from train.quantisation.artefact import Artefact, preprocessing_of
from train.quantisation.fake import Range
from train.xbd import Tile, find_tiles


def calibrate(
    checkpoint: Path,
    data: Path,
    split: str,
    count: int,
    method: str,
    progress: Callable[[list[Tile]], Iterable[Tile]] = iter,
) -> Artefact:
    """Observe the ranges of `checkpoint` on `count` tiles of `data/split`.

    Raises:
        CalibrationError: a tensor's range is 0, NaN or infinite on these tiles.
    """
    network = load_checkpoint(checkpoint).network()
    choices = select(find_tiles(data, split, labelled=False), count)
    for line in describe_choice(choices):
        cli.note(line)
    tiles = [choice.tile for choice in choices]
    form, config = inference_form(network), network.config
    del network  # a large one is not held twice
    observers = observe(form, config, progress(tiles), method)
    artefact = Artefact(
        checkpoint_sha256=sha256(checkpoint),
        preprocessing=preprocessing_of(config.mean, config.std),
        tiles=content_hashes(tiles),
        method=method,
        ranges={name: Range(o.amax(), o.minimum >= 0) for name, o in observers.items()},
    )
    artefact.check_ranges()
    return artefact
