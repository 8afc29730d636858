"""What a run learns from and is validated on, in the few figures that a checkpoint keeps."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, field_validator

from runtime.damage import CLASS_NAMES
from train.check import sides
from train.remarks import remarks
from train.scales import scale_range

if TYPE_CHECKING:
    from train.check import TileFacts
    from train.config import TrainConfig

SYNTHETIC = "synthetic-"
"""What the disasters of `train.synthesize` are called begins so."""

XBD_DISASTERS = frozenset((
    "guatemala-volcano", "hurricane-florence", "hurricane-harvey", "hurricane-matthew",
    "hurricane-michael", "mexico-earthquake", "midwest-flooding", "palu-tsunami",
    "santa-rosa-wildfire", "socal-fire", "joplin-tornado", "lower-puna-volcano", "moore-tornado",
    "nepal-flooding", "pinery-bushfire", "portugal-wildfire", "sunda-tsunami",
    "tuscaloosa-tornado", "woolsey-fire",
))  # fmt: skip
"""As xBD names them, in all of its splits."""


class SplitSummary(BaseModel):
    """disasters: tiles of each. pixels: of each damage class, "un-classified" ones left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    split: str
    disasters: dict[str, int]
    sizes: tuple[tuple[int, int], ...]
    """Height and width of the tiles."""
    pixels: dict[str, int]

    @property
    def tiles(self) -> int:
        return sum(self.disasters.values())


class DataSummary(BaseModel):
    """remarks: what is odd about the data, see `train.remarks`; without the data's own path."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    train: SplitSummary
    val: SplitSummary
    remarks: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    """Disasters that neither of the two holds, because they were to be left out."""
    scale: tuple[float, float] | None = None
    """Least and largest scale that a tile was shown at in training, see `train.scales`."""
    pixel_m: tuple[float, float] | None = None
    """Least and largest ground size of a pixel that the network was shown, metres: of the tiles'
    pixels, divided by the scale. None: no label tells."""

    @field_validator("scale", "pixel_m")
    @classmethod
    def _is_a_range(cls, given: tuple[float, float] | None) -> tuple[float, float] | None:
        if given and not 0 < given[0] <= given[1] < math.inf:
            raise ValueError(f"{list(given)}: expected two numbers above 0, the smaller first")
        return given


def data_summary(
    data: Path,
    config: TrainConfig,
    train_split: str,
    train: Sequence[TileFacts],
    val_split: str,
    val: Sequence[TileFacts],
) -> DataSummary:
    """Of the tiles that are used, `data` being their root."""
    scale = _rounded(*scale_range(config, sides(train)))
    grounds = [fact.pixel_m for fact in train if fact.pixel_m is not None]
    lines = remarks(train_split, train, val_split, val)
    return DataSummary(
        train=_of_split(train_split, train),
        val=_of_split(val_split, val),
        remarks=tuple(line.replace(f"{data}/", "") for line in lines),
        left_out=config.data.leave_out,
        scale=scale,
        pixel_m=_rounded(min(grounds) / scale[1], max(grounds) / scale[0]) if grounds else None,
    )


def origins(disasters: Iterable[str]) -> list[str]:
    """Which data sets tiles of these disasters are of: xbd, synthetic, other."""
    return sorted({_origin(each) for each in disasters}, reverse=True)


def _rounded(least: float, largest: float) -> tuple[float, float]:
    """To four digits: more is not known."""
    return float(f"{least:.4g}"), float(f"{largest:.4g}")


def _origin(disaster: str) -> str:
    if disaster in XBD_DISASTERS:
        return "xbd"
    return "synthetic" if disaster.startswith(SYNTHETIC) else "other"


def _of_split(name: str, facts: Sequence[TileFacts]) -> SplitSummary:
    pixels = sum(fact.pixels for fact in facts)
    return SplitSummary(
        split=name,
        disasters=dict(sorted(Counter(fact.tile.disaster for fact in facts).items())),
        sizes=tuple(sorted({(fact.height, fact.width) for fact in facts})),
        pixels={each: int(count) for each, count in zip(CLASS_NAMES, pixels, strict=True)},
    )
