"""What a graph is exported from: a checkpoint, and for INT8 the ranges that belong to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from calibration.tiles import content_hashes
from runtime.errors import CalibrationError, ConfigError
from runtime.files import sha256
from runtime.manifest import Precision
from train.card_parts import Training
from train.checkpoint import load_checkpoint, newest_checkpoint
from train.model import DualHRNet
from train.quantisation.artefact import Artefact, preprocessing_of, read_artefact
from train.xbd import find_tiles

RUNS = Path("runs")
CALIBRATION_SPLIT = "train"

METHODS = ("minmax", "mse", "percentile")
"""Tried in this order where none is asked for, before units are left in floating point."""


@dataclass(frozen=True)
class Source:
    """`calibration`: INT8's ranges, or None as long as they are to be observed."""

    checkpoint: Path
    checkpoint_sha256: str
    network: DualHRNet
    calibration: Artefact | None
    training: Training

    @property
    def deployed(self) -> DualHRNet:
        """The network whose weights are in the graph. It computes what `network` does."""
        return self.calibration.network(self.network) if self.calibration else self.network

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.network.parameters())


@dataclass(frozen=True)
class Ranges:
    """Where INT8's ranges come from: a file, or tiles of a data set to observe now."""

    file: Path | None = None
    data: Path | None = None
    method: str | None = None
    """The one that was asked for; None: `METHODS`, until one holds the accuracy gate."""
    tiles: int = 16

    @property
    def methods(self) -> tuple[str, ...]:
        return (self.method,) if self.method else METHODS

    @property
    def split(self) -> str:
        """Of `data`, to observe on: `train`, or the first that there is."""
        assert self.data is not None
        found = sorted(folder.parent.name for folder in self.data.glob("*/images"))
        return CALIBRATION_SPLIT if CALIBRATION_SPLIT in found or not found else found[0]


def load_source(checkpoint: Path | None) -> Source:
    """The checkpoint, or the newest under runs/; without ranges.

    Raises:
        CheckpointError: no such checkpoint, or one that cannot be used.
    """
    path = checkpoint or newest_checkpoint(RUNS)
    loaded = load_checkpoint(path)
    return Source(path, sha256(path), loaded.network(), None, Training.of(loaded))


def with_ranges(source: Source, precision: Precision, ranges: Ranges) -> Source:
    """With the ranges of the file, where one is given. Nothing is computed.

    Where `ranges.data` holds the tiles that the file's ranges were observed on, they must not
    have changed.

    Raises:
        ConfigError: ranges for another precision than INT8.
        CalibrationError: missing for INT8, unusable, or made for another checkpoint.
    """
    if precision != "int8":
        if ranges.file is not None:
            raise ConfigError(f"--calibration {ranges.file}: only --int8 uses ranges")
        return source
    if ranges.file is None:
        if ranges.data is None:
            raise CalibrationError(
                "--int8 needs ranges: pass --data DIR to calibrate now, or run `python -m "
                "calibration --checkpoint CKPT --data DIR --out calibration.json` and pass "
                "--calibration"
            )
        return source
    artefact, config = read_artefact(ranges.file), source.network.config
    artefact.check_belongs(source.checkpoint_sha256, preprocessing_of(config.mean, config.std))
    if ranges.data is not None:
        _check_tiles(artefact, ranges.data)
    return replace(source, calibration=artefact)


def _check_tiles(artefact: Artefact, data: Path) -> None:
    """Another data set is no fault: then no tile of the artefact is found, none compared."""
    names = {tile["name"] for tile in artefact.tiles}
    splits = sorted(folder.parent.name for folder in data.glob("*/images"))
    tiles = [t for s in splits for t in find_tiles(data, s, labelled=False) if t.name in names]
    if tiles:
        artefact.check_tiles(content_hashes(tiles))
