"""The styles that QGIS gives the maps by itself: NAME.qml beside NAME.tif."""

from __future__ import annotations

from xml.etree import ElementTree

from runtime.output.legend import TRANSPARENT, Legend
from runtime.output.qml import document

RAMP = ("#440154", "#3b528b", "#21918c", "#5ec962", "#fde725")
"""Viridis, in even steps: it is told apart without colour vision, and in print."""


def classes_style(legend: Legend) -> str:
    """The classes and NODATA alone: without it QGIS lists all 256 entries of a TIFF's palette.

    Background is transparent, so that the map can lie on an image. NODATA is drawn, as it would
    else look like background; it is still no data where QGIS computes with the layer.
    """
    renderer = _renderer("paletted", legend.nodata_colour)
    palette = ElementTree.SubElement(renderer, "colorPalette")
    for value, name, colour in legend.entries():
        ElementTree.SubElement(
            palette, "paletteEntry", value=str(value), label=name, color=_hexadecimal(colour),
            alpha="0" if value == TRANSPARENT else "255",
        )  # fmt: skip
    return _style(renderer)


def confidence_style() -> str:
    """From 0 to 100 %; QGIS has applied the band's scale. What has no confidence is not drawn."""
    renderer = _renderer("singlebandpseudocolor", None)
    last = len(RAMP) - 1
    shader = ElementTree.SubElement(
        ElementTree.SubElement(renderer, "rastershader"), "colorrampshader",
        colorRampType="INTERPOLATED", classificationMode="1", clip="0", minimumValue="0",
        maximumValue="1",
    )  # fmt: skip
    for step, colour in enumerate(RAMP):
        share = step / last
        ElementTree.SubElement(
            shader, "item", value=str(share), label=f"{share:.0%}", color=colour, alpha="255"
        )
    # A continuous legend would be in fractions.
    ElementTree.SubElement(shader, "rampLegendSettings", useContinuousLegend="0")
    return _style(renderer)


def _renderer(kind: str, nodata: tuple[int, int, int] | None) -> ElementTree.Element:
    return ElementTree.Element(
        "rasterrenderer", type=kind, band="1", opacity="1", alphaBand="-1",
        nodataColor=_hexadecimal(nodata) if nodata else "",
    )  # fmt: skip


def _style(renderer: ElementTree.Element) -> str:
    pipe = ElementTree.Element("pipe")
    pipe.append(renderer)
    return document("Symbology", pipe)


def _hexadecimal(colour: tuple[int, ...]) -> str:
    return "#" + bytes(colour).hex()
