"""The cells as a layer of a GeoPackage, styled for QGIS by the number of damaged buildings."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from runtime import files
from runtime.cells.counting import FAILED, MASKED, NO_DATA, CellCounts
from runtime.damage import CLASS_NAMES, DAMAGE_CLASSES
from runtime.libraries import library
from runtime.output.geopackage import GEOMETRY_COLUMN, TIME, Layer
from runtime.output.overlay import NODATA_COLOUR
from runtime.output.qml import document
from runtime.output.style import add_document, symbol
from runtime.output.tables import Table, own_names, turned
from runtime.source.quality import REASONS

LAYER = "cells"
FILE = "cells.gpkg"

_CLASSES = (  # what is told of a cell, from so many damaged buildings on, and its colour
    ("none damaged", 0, (255, 255, 255)),
    ("1 to 4 damaged", 1, (254, 217, 142)),
    ("5 to 19 damaged", 5, (254, 153, 41)),
    ("20 to 49 damaged", 20, (217, 95, 14)),
    ("50 or more damaged", 50, (153, 26, 4)),
)
_NOT_ANALYSED = "not analysed"


def columns_of(counts: CellCounts) -> dict[str, NDArray[Any]]:
    """By field; numbers of cells without computed ground are masked, which is null."""
    unknown = ~counts.known

    def number(values: NDArray[np.int64]) -> NDArray[Any]:
        return np.ma.MaskedArray(values.astype(np.int64), unknown)

    def share(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.round(values, 4)

    total = counts.buildings.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        of_damaged = np.where(unknown, np.nan, counts.damaged / total)
    columns = {
        "cell": counts.cells.names,
        "status": counts.status,
        "buildings": number(total),
        **{
            CLASS_NAMES[each].replace("-", "_"): number(counts.buildings[:, each - 1])
            for each in DAMAGE_CLASSES
        },
        "damaged": number(counts.damaged),
        "share_damaged": share(of_damaged),
        "corrected": number(counts.corrected),
        "not_graded": counts.not_graded,
        "area_m2": np.round(counts.cells.m2, 1),
        "share_computed": share(counts.computed),
        "share_outside": share(counts.beyond),
        "share_no_data": share(counts.state(NO_DATA)),
        "share_failed": share(counts.state(FAILED)),
        "share_masked": share(counts.state(MASKED)),
        **{
            f"share_{what.replace(' ', '_')}": share(counts.reason(n))
            for n, what in enumerate(REASONS)
        },
        "why": counts.why(),
    }
    attributes = [each for each, _ in counts.cells.attributes]
    names = own_names(attributes, {*columns, "fid", GEOMETRY_COLUMN})
    return columns | {
        name: values for name, (_, values) in zip(names, counts.cells.attributes, strict=True)
    }


def write(counts: CellCounts, path: Path) -> None:
    """Raises OSError where it cannot be written."""
    with files.replacing(path) as package:
        package.unlink()
        add_to(package, counts)
        add_document(package, LAYER, GEOMETRY_COLUMN, TIME, style())


def add_to(package: Path, counts: CellCounts) -> None:
    """The layer without its style. It is a new package, or one without such a layer."""
    crs = library("rasterio.crs").CRS.from_user_input(counts.cells.crs).to_wkt()
    layer = Layer(package, crs, "MultiPolygon", LAYER, added=package.exists())
    layer.add(Table(turned(counts.cells.geometry), columns_of(counts)))
    layer.finish()


def style() -> str:
    """By damaged buildings; what was not analysed is hatched in magenta, never left white."""
    cases = "".join(
        f" WHEN \"damaged\" >= {least} THEN '{label}'" for label, least, _ in reversed(_CLASSES)
    )
    chosen = f"CASE WHEN \"damaged\" IS NULL THEN '{_NOT_ANALYSED}'{cases} END"
    renderer = ElementTree.Element(
        "renderer-v2", type="categorizedSymbol", attr=chosen, symbollevels="0",
        enableorderby="0", forceraster="0",
    )  # fmt: skip
    categories = ElementTree.SubElement(renderer, "categories")
    symbols = ElementTree.SubElement(renderer, "symbols")
    drawn = [(label, symbol(str(n), colour, alpha=0.6)) for n, (label, _, colour) in
             enumerate(_CLASSES)]  # fmt: skip
    drawn.append((_NOT_ANALYSED, symbol(str(len(drawn)), NODATA_COLOUR, "b_diagonal")))
    for number, (label, each) in enumerate(drawn):
        ElementTree.SubElement(
            categories, "category", value=label, type="string", symbol=str(number), label=label,
            render="true",
        )  # fmt: skip
        symbols.append(each)
    return document("Symbology", renderer)
