"""What the values of a map of classes stand for, and their colours."""

from __future__ import annotations

import colorsys
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


def sources_legend(images: int) -> Legend:
    """Of a fused map's sources: each value is a sum of bits, 1 for the first image."""
    names, colours = ["none"], [(0, 0, 0)]
    for value in range(1, 1 << images):
        who = [str(bit + 1) for bit in range(images) if value >> bit & 1]
        names.append(f"image {who[0]}" if len(who) == 1 else f"images {' and '.join(who)}")
        # Even steps of hue; the more images, the lighter.
        hue = (value * 0.618034) % 1.0
        light = 0.45 + 0.4 * len(who) / images
        red, green, blue = colorsys.hls_to_rgb(hue, light, 0.6)
        colours.append((round(255 * red), round(255 * green), round(255 * blue)))
    return Legend(tuple(names), tuple(colours))


LEGENDS = {
    "damage": Legend(tuple(CLASS_NAMES), tuple(CLASS_COLOURS)),
    "quality": Legend(LAYER, ((0, 0, 0), *_AFTER, *_BEFORE)),
}
