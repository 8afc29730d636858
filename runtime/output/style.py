"""Colours and the names of fields, stored in a GeoPackage as QGIS's default for its layer."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from runtime.buildings.tally import UNKNOWN
from runtime.damage import CLASS_COLOURS, CLASS_NAMES, DAMAGE_CLASSES, NODATA_NAME
from runtime.output.overlay import NODATA_COLOUR
from runtime.output.qml import document
from runtime.output.tables import SHARES

STYLE_NAME = "damage"


@dataclass(frozen=True)
class Look:
    """The field of a layer that its colours are by, and the colour of each of its values."""

    field: str
    colours: Mapping[str, tuple[int, int, int]]


_OF_CLASSES = {CLASS_NAMES[each]: CLASS_COLOURS[each] for each in DAMAGE_CLASSES}

OF_BUILDINGS = Look("damage", _OF_CLASSES)
OF_FOOTPRINTS = Look(
    "damage", {**_OF_CLASSES, UNKNOWN: (150, 150, 150), NODATA_NAME: NODATA_COLOUR}
)

_ALIASES = {
    "damage": "Damage",
    "damage_class": "Damage class",
    "confidence": "Confidence (0 to 1)",
    "area_m2": "Area (m²)",
    "area_px": "Area (pixels)",
    **{field: f"Share of {name}" for field, name in SHARES.items()},
    "cut": "Cut by",
    "share_not_computed": f"Share {NODATA_NAME}",
    "source_fid": "Number of the footprint",
    "sources": "Images that show it",
    "change": "Change",
}
"""What QGIS calls the fields; it passes over those that a layer has not."""

_TABLE = """
CREATE TABLE layer_styles (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    f_table_catalog TEXT(256),
    f_table_schema TEXT(256),
    f_table_name TEXT(256),
    f_geometry_column TEXT(256),
    styleName TEXT(30),
    styleQML TEXT,
    styleSLD TEXT,
    useAsDefault BOOLEAN,
    description TEXT,
    owner TEXT(30),
    ui TEXT(30),
    update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
)
"""
"""As QGIS creates it; it looks for the style by these names."""

_CONTENTS = """
INSERT INTO gpkg_contents
    (table_name, data_type, identifier, description, srs_id, last_change)
VALUES ('layer_styles', 'attributes', 'layer_styles', 'Styles of the layers, for QGIS', 0, ?)
"""

_STYLE = """
INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column,
    styleName, styleQML, styleSLD, useAsDefault, description, owner, update_time)
VALUES ('', '', ?, ?, ?, ?, '', 1, 'Damage classes', '', ?)
"""


def add_style(package: Path, layer: str, geometry_column: str, time: str, look: Look) -> None:
    """Make these colours the default style of a layer in a GeoPackage without styles.

    time: ISO 8601, of the tables' last change.
    """
    add_document(package, layer, geometry_column, time, style(look))


def add_document(package: Path, layer: str, geometry_column: str, time: str, text: str) -> None:
    """Make `text`, a QGIS style, a layer's default in a GeoPackage without styles."""
    with contextlib.closing(sqlite3.connect(package)) as database, database:
        keep_style(database, layer, geometry_column, time, text)


def keep_style(
    database: sqlite3.Connection, layer: str, geometry_column: str, time: str, text: str
) -> None:
    """The same in the transaction that is open."""
    database.execute(_TABLE)
    database.execute(_CONTENTS, (time,))
    database.execute(_STYLE, (layer, geometry_column, STYLE_NAME, text, time))


def style(look: Look) -> str:
    """A QGIS style, as XML: one filled symbol a value, and names for the fields."""
    categories = [(value, value, colour) for value, colour in look.colours.items()]
    return document("Symbology|Fields", categorised(look.field, categories), aliases_of(_ALIASES))


def categorised(
    field: str, categories: Iterable[tuple[str, str, tuple[int, int, int]]]
) -> ElementTree.Element:
    """A renderer with a symbol for each value of a field: value, what it is called, colour."""
    renderer = ElementTree.Element(
        "renderer-v2", type="categorizedSymbol", attr=field, symbollevels="0",
        enableorderby="0", forceraster="0",
    )  # fmt: skip
    of_values = ElementTree.SubElement(renderer, "categories")
    symbols = ElementTree.SubElement(renderer, "symbols")
    for number, (value, label, colour) in enumerate(categories):
        ElementTree.SubElement(
            of_values, "category", value=value, type="string", symbol=str(number), label=label,
            render="true",
        )  # fmt: skip
        symbols.append(symbol(str(number), colour))
    return renderer


def aliases_of(names: Mapping[str, str]) -> ElementTree.Element:
    """What the fields are called."""
    aliases = ElementTree.Element("aliases")
    for field, alias in names.items():
        ElementTree.SubElement(aliases, "alias", field=field, name=alias)
    return aliases


def symbol(
    name: str, colour: tuple[int, int, int], fill: str = "solid", alpha: float = 1
) -> ElementTree.Element:
    """A fill, with a darker outline that parts neighbours of one class. fill: QGIS's name."""
    found = ElementTree.Element(
        "symbol", name=name, type="fill", alpha=f"{alpha:g}", clip_to_extent="1", force_rhr="0"
    )
    layer = ElementTree.SubElement(found, "layer", {"class": "SimpleFill"}, enabled="1", locked="0")
    layer.set("pass", "0")
    options = ElementTree.SubElement(layer, "Option", type="Map")
    settings = {
        "color": _rgba(colour),
        "style": fill,
        "outline_color": _rgba(tuple(each // 2 for each in colour)),
        "outline_style": "solid",
        "outline_width": "0.2",
        "outline_width_unit": "MM",
        "joinstyle": "miter",
    }
    for key, value in settings.items():
        ElementTree.SubElement(options, "Option", name=key, value=value, type="QString")
    return found


def _rgba(colour: tuple[int, ...]) -> str:
    return ",".join(map(str, (*colour, 255)))
