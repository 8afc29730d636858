"""What a run learns from and is validated on, in the few figures that a checkpoint keeps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from runtime.damage import CLASS_NAMES
from train.remarks import remarks

if TYPE_CHECKING:
    from train.check import TileFacts

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


def data_summary(
    data: Path,
    train_split: str,
    train: Sequence[TileFacts],
    val_split: str,
    val: Sequence[TileFacts],
) -> DataSummary:
    """Of the tiles that are used."""
    lines = remarks(train_split, train, val_split, val)
    return DataSummary(
        train=_of_split(train_split, train),
        val=_of_split(val_split, val),
        remarks=tuple(line.replace(f"{data}/", "") for line in lines),
    )


def origins(disasters: Iterable[str]) -> list[str]:
    """Which data sets tiles of these disasters are of: xbd, synthetic, other."""
    return sorted({_origin(each) for each in disasters}, reverse=True)


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
