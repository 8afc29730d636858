"""calibration.json: the ranges, and what they were observed on.

Ranges are only good for the checkpoint, the preprocessing and the tiles they came from,
so the file carries a fingerprint of all three. It is refused when the checkpoint or the
preprocessing differs, and when a tile has changed, where the data set is at hand.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import fx

from runtime.errors import CalibrationError
from runtime.files import write_json
from train.model import DualHRNet
from train.model.inference_form import inference_form
from train.quantisation.equalisation import equalised
from train.quantisation.fake import Range

FORMAT = 2
"""1 did not tell whether the network was equalised."""


@dataclass(frozen=True)
class Artefact:
    """Everything in the file.

    ranges: by site name (see `train.quantisation.placement`).
    equalised: they are those of the network after `train.quantisation.equalisation`.
    """

    checkpoint_sha256: str
    preprocessing: dict[str, Any]
    tiles: list[dict[str, str]]
    method: str
    ranges: dict[str, Range]
    equalised: bool = False

    def network(self, network: DualHRNet) -> DualHRNet:
        """The one that the ranges belong to, of the checkpoint's; it computes the same."""
        return equalised(network) if self.equalised else network

    def form(self, network: DualHRNet) -> fx.GraphModule:
        """The `inference_form` to round, of the checkpoint's network."""
        return inference_form(self.network(network))

    def fingerprint(self) -> str:
        """sha256 over the content: checkpoint, preprocessing, tiles, method, ranges, and whether
        the network was equalised."""
        canonical = json.dumps(self._content(), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()

    def check_ranges(self) -> None:
        """Raises: CalibrationError on a range that is 0, NaN or infinite."""
        for name, span in self.ranges.items():
            if not math.isfinite(span.amax) or span.amax <= 0:
                raise CalibrationError(
                    f"{name}: range {span.amax} cannot be quantised, it must be finite and "
                    "above 0; the tensor is dead or broken on these tiles: try more tiles, "
                    "or another checkpoint"
                )

    def check_belongs(self, checkpoint_sha256: str, preprocessing: dict[str, Any]) -> None:
        """Raises: CalibrationError when made for another checkpoint or preprocessing."""
        redo = "calibrate again with `python -m calibration --checkpoint ...`"
        if self.checkpoint_sha256 != checkpoint_sha256:
            raise CalibrationError(
                f"calibration is of another checkpoint (sha256 {self.checkpoint_sha256[:12]}, "
                f"expected {checkpoint_sha256[:12]}); {redo}"
            )
        if self.preprocessing != preprocessing:
            raise CalibrationError(
                f"calibration is of another preprocessing ({self.preprocessing}, "
                f"expected {preprocessing}); {redo}"
            )

    def check_tiles(self, hashes: list[dict[str, str]]) -> None:
        """Raises: CalibrationError naming the first tile that changed since."""
        now = {tile["name"]: tile for tile in hashes}
        for tile in self.tiles:
            if now.get(tile["name"]) != tile:
                state = "is gone" if tile["name"] not in now else "has another content"
                raise CalibrationError(f"calibration tile {tile['name']} {state}; calibrate again")

    def write(self, path: Path) -> None:
        self.check_ranges()
        write_json(path, {**self._content(), "fingerprint": self.fingerprint()})

    def _content(self) -> dict[str, Any]:
        return {"format": FORMAT, **asdict(self)}


def read_artefact(path: Path) -> Artefact:
    """Read and check a calibration file.

    Raises:
        CalibrationError: missing, not a calibration file, edited, or of another format.
    """
    try:
        content = json.loads(Path(path).read_text())
        version, stored = content.pop("format"), content.pop("fingerprint")
        if version != FORMAT:
            raise CalibrationError(
                f"{path}: calibration format {version}, expected {FORMAT}; calibrate again"
            )
        ranges = {name: Range(**span) for name, span in content.pop("ranges").items()}
        artefact = Artefact(**content, ranges=ranges)
    except FileNotFoundError as error:
        raise CalibrationError(
            f"{path}: no such calibration; make it with `python -m calibration --out {path}`"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CalibrationError(f"{path}: not a calibration file ({error})") from error
    if artefact.fingerprint() != stored:
        raise CalibrationError(f"{path}: content does not match its fingerprint; calibrate again")
    artefact.check_ranges()
    return artefact


def preprocessing_of(mean: tuple[float, ...], std: tuple[float, ...]) -> dict[str, Any]:
    """How images reach the network, as plain data that survives JSON unchanged."""
    return {"colour_order": "RGB", "scale": 255, "mean": list(mean), "std": list(std)}
