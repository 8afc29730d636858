"""What a graph is exported from: a checkpoint, and for INT8 the ranges that belong to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from calibration.tiles import content_hashes
from export.deploy import DeployOptions
from runtime.errors import CalibrationError, ConfigError
from runtime.files import sha256
from train.checkpoint import load_checkpoint, newest_checkpoint
from train.model import DualHRNet
from train.quantisation.artefact import Artefact, preprocessing_of, read_artefact
from train.xbd import find_tiles

RUNS = Path("runs")


@dataclass(frozen=True)
class Source:
    checkpoint: Path
    checkpoint_sha256: str
    network: DualHRNet
    calibration: Artefact | None

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.network.parameters())


def open_source(
    checkpoint: Path | None,
    calibration: Path | None,
    options: DeployOptions,
    data: Path | None = None,
) -> Source:
    """Load and check before anything slow starts.

    Where `data` holds the tiles that the ranges were observed on, they must not have changed.

    Raises:
        CheckpointError: no such checkpoint, or one that cannot be used.
        CalibrationError: missing for INT8, unusable, or made for another checkpoint.
    """
    artefact = None
    if options.precision == "int8":
        if calibration is None:
            raise CalibrationError(
                "--int8 needs ranges: run `python -m calibration --checkpoint CKPT --data DIR "
                "--out calibration.json`, then pass --calibration calibration.json"
            )
        artefact = read_artefact(calibration)
    elif calibration is not None:
        raise ConfigError(f"--calibration {calibration}: only --int8 uses ranges")
    path = checkpoint or newest_checkpoint(RUNS)
    loaded = load_checkpoint(path)
    digest = sha256(path)
    if artefact is not None:
        artefact.check_belongs(digest, preprocessing_of(loaded.model.mean, loaded.model.std))
        if data is not None:
            _check_tiles(artefact, data)
    return Source(path, digest, loaded.network(), artefact)


def _check_tiles(artefact: Artefact, data: Path) -> None:
    """Another data set is no fault: then no tile of the artefact is found, none compared."""
    names = {tile["name"] for tile in artefact.tiles}
    splits = sorted(folder.parent.name for folder in data.glob("*/images"))
    tiles = [t for s in splits for t in find_tiles(data, s, labelled=False) if t.name in names]
    if tiles:
        artefact.check_tiles(content_hashes(tiles))
