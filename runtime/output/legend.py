"""What the values of a map of classes stand for, and their colours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from runtime.damage import BACKGROUND, CLASS_COLOURS, CLASS_NAMES, NODATA, NODATA_NAME
from runtime.output.overlay import NODATA_COLOUR
from runtime.source.quality import LAYER

Colour = tuple[int, int, int]

TRANSPARENT = BACKGROUND
"""The value of which there is nothing to say: no building, or ground that both images show."""


@dataclass(frozen=True)
class Legend:
    """Names and colours by value from 0, and those of NODATA."""

    names: tuple[str, ...]
    colours: tuple[Colour, ...]
    nodata_name: str = NODATA_NAME
    nodata_colour: Colour = NODATA_COLOUR

    def entries(self) -> Iterator[tuple[int, str, Colour]]:
        yield from zip(range(len(self.names)), self.names, self.colours, strict=True)
        yield NODATA, self.nodata_name, self.nodata_colour


_AFTER: tuple[Colour, ...] = ((68, 119, 170), (187, 204, 238), (204, 187, 68), (238, 102, 119))
_BEFORE: tuple[Colour, ...] = ((34, 60, 85), (119, 136, 170), (119, 105, 34), (136, 51, 68))

LEGENDS = {
    "damage": Legend(tuple(CLASS_NAMES), tuple(CLASS_COLOURS)),
    "quality": Legend(LAYER, ((0, 0, 0), *_AFTER, *_BEFORE)),
}
