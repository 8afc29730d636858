"""What a graph is exported from: a checkpoint, and for INT8 the ranges that belong to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from calibration.calibrate import calibrate
from calibration.tiles import content_hashes
from runtime import cli
from runtime.errors import CalibrationError, ConfigError
from runtime.files import sha256
from runtime.manifest import Precision
from train.card_parts import Training
from train.checkpoint import load_checkpoint, newest_checkpoint
from train.model import DualHRNet
from train.progress import progress
from train.quantisation.artefact import Artefact, preprocessing_of, read_artefact
from train.xbd import find_tiles

RUNS = Path("runs")
CALIBRATION_SPLIT = "train"


@dataclass(frozen=True)
class Source:
    checkpoint: Path
    checkpoint_sha256: str
    network: DualHRNet
    calibration: Artefact | None
    training: Training

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.network.parameters())


@dataclass(frozen=True)
class Ranges:
    """Where INT8's ranges come from: a file, or tiles of a data set to observe now."""

    file: Path | None = None
    data: Path | None = None
    method: str = "minmax"
    tiles: int = 16


def open_source(checkpoint: Path | None, precision: Precision, ranges: Ranges) -> Source:
    """Load and check before anything slow starts, calibration aside.

    Where `ranges.data` holds the tiles that the file's ranges were observed on, they must not
    have changed. Without a file, the ranges are observed on its `train` split (or the first
    there is), and the user is told.

    Raises:
        CheckpointError: no such checkpoint, or one that cannot be used.
        CalibrationError: missing for INT8, unusable, or made for another checkpoint.
    """
    if precision != "int8" and ranges.file is not None:
        raise ConfigError(f"--calibration {ranges.file}: only --int8 uses ranges")
    if precision == "int8" and ranges.file is None and ranges.data is None:
        raise CalibrationError(
            "--int8 needs ranges: pass --data DIR to calibrate now, or run `python -m calibration "
            "--checkpoint CKPT --data DIR --out calibration.json` and pass --calibration"
        )
    artefact = None if ranges.file is None else read_artefact(ranges.file)
    path = checkpoint or newest_checkpoint(RUNS)
    loaded = load_checkpoint(path)
    digest = sha256(path)
    if artefact is not None:
        artefact.check_belongs(digest, preprocessing_of(loaded.model.mean, loaded.model.std))
        if ranges.data is not None:
            _check_tiles(artefact, ranges.data)
    elif precision == "int8":
        artefact = _observe(path, ranges)
    return Source(path, digest, loaded.network(), artefact, Training.of(loaded))


def _observe(checkpoint: Path, ranges: Ranges) -> Artefact:
    assert ranges.data is not None
    found = sorted(folder.parent.name for folder in ranges.data.glob("*/images"))
    split = CALIBRATION_SPLIT if CALIBRATION_SPLIT in found or not found else found[0]
    cli.note(
        f"no --calibration given: observing {ranges.method} ranges on {ranges.tiles} tiles of "
        f"{ranges.data / split}"
    )
    with progress("calibrate", "tile") as bar:
        return calibrate(checkpoint, ranges.data, split, ranges.tiles, ranges.method, bar)


def _check_tiles(artefact: Artefact, data: Path) -> None:
    """Another data set is no fault: then no tile of the artefact is found, none compared."""
    names = {tile["name"] for tile in artefact.tiles}
    splits = sorted(folder.parent.name for folder in data.glob("*/images"))
    tiles = [t for s in splits for t in find_tiles(data, s, labelled=False) if t.name in names]
    if tiles:
        artefact.check_tiles(content_hashes(tiles))
