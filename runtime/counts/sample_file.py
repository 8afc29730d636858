"""What a sample's GeoPackage holds, and how a GIS shows it: a list to choose from, and colours."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from xml.etree import ElementTree

from runtime.corrections.store import DAMAGE_NAMES, NEW_CLASSES
from runtime.output.qml import document
from runtime.output.style import aliases_of, categorised

SAMPLE = "sample.gpkg"
TABLE = "sample"

BUILDING, CELL = "building", "cell"

NOTHING_MISSED, MISSED_DRAWN = "nothing-missed", "missed-are-drawn"
"""What is said of a cell: no building is missing there, or each is drawn among the corrections."""
OF_CELLS = (NOTHING_MISSED, MISSED_DRAWN)
OF_ROWS = (*NEW_CLASSES, *OF_CELLS)

MISSED = {f"missed_{name.replace('-', '_')}": name for name in DAMAGE_NAMES}
"""The class whose missed buildings a field of a cell counts."""

CLASS_SEEN = "class_seen"
"""Was what the map says in sight when a row was checked? Empty: nobody says."""

COLUMNS = (
    "kind TEXT NOT NULL, building INTEGER, stratum INTEGER NOT NULL, chance DOUBLE NOT NULL, "
    "true_class TEXT, "
    + ", ".join(f"{name} INTEGER" for name in MISSED)
    + f", {CLASS_SEEN} BOOLEAN, note TEXT"
)
"""Not what the map says of a building: whoever sees that finds it so."""
STRATA = (
    "stratum INTEGER NOT NULL, kind TEXT NOT NULL, mapped_class TEXT, size INTEGER NOT NULL, "
    "sampled INTEGER NOT NULL, "
    + ", ".join(f"share_{name.replace('-', '_')} DOUBLE" for name in DAMAGE_NAMES)
)
"""Shares: the mean of what the map says, over all buildings of the stratum."""
KNOWN = "building INTEGER, mapped_class TEXT, true_class TEXT NOT NULL, outline TEXT"
"""What was corrected before the draw: it is known, and not sampled. outline: of one that was
drawn, which it is."""
DESIGN = "name TEXT NOT NULL, value TEXT NOT NULL"

DIGEST = "digest"
"""Of what nobody is to change; in the design."""

_DRAWN = (
    f"SELECT fid, kind, building, stratum, chance FROM {TABLE} ORDER BY fid",
    "SELECT * FROM strata ORDER BY fid",
    "SELECT * FROM known ORDER BY fid",
    f"SELECT name, value FROM design WHERE name != '{DIGEST}' ORDER BY fid",
)


def digest(base: sqlite3.Connection) -> str:
    """sha256 of the rows that were drawn, without what people say of them."""
    rows = [list(row) for query in _DRAWN for row in base.execute(query)]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


_COLOURS = {
    "": (255, 0, 200),
    "no-damage": (255, 255, 255),
    "minor-damage": (255, 221, 51),
    "major-damage": (255, 140, 0),
    "destroyed": (220, 20, 30),
    "un-classified": (150, 150, 150),
    "not-a-building": (0, 0, 0),
    NOTHING_MISSED: (90, 200, 90),
    MISSED_DRAWN: (60, 130, 220),
}
_ALIASES = {
    "true_class": "What it is",
    "building": "Number in the map",
    **{field: f"Missed here: {name}" for field, name in MISSED.items()},
    CLASS_SEEN: "The map's class was in sight",
}
_HIDDEN = ("stratum", "chance")
"""A stratum is of one mapped class, so that its number tells the class."""


def style() -> str:
    """In QGIS what is not checked yet is magenta, whatever the map says of it, and the class is
    chosen from a list."""
    colours = [(value, value or "not checked", colour) for value, colour in _COLOURS.items()]
    widgets = ElementTree.Element("fieldConfiguration")
    for name in _HIDDEN:
        _widget(widgets, name, "Hidden")
    _widget(widgets, CLASS_SEEN, "CheckBox")
    widget = _widget(widgets, "true_class", "ValueMap")
    config = ElementTree.SubElement(widget, "config")
    options = ElementTree.SubElement(config, "Option", type="Map")
    listed = ElementTree.SubElement(options, "Option", type="List", name="map")
    for value in OF_ROWS:
        one = ElementTree.SubElement(listed, "Option", type="Map")
        ElementTree.SubElement(one, "Option", type="QString", name=value, value=value)
    return document(
        "Symbology|Fields|Forms|AttributeTable", categorised("true_class", colours),
        aliases_of(_ALIASES), widgets, _table(),
    )  # fmt: skip


def _widget(widgets: ElementTree.Element, name: str, kind: str) -> ElementTree.Element:
    field = ElementTree.SubElement(widgets, "field", name=name)
    return ElementTree.SubElement(field, "editWidget", type=kind)


def _table() -> ElementTree.Element:
    """Of the attribute table, the columns that it does not show; QGIS adds the others."""
    table = ElementTree.Element("attributetableconfig")
    columns = ElementTree.SubElement(table, "columns")
    for name in _HIDDEN:
        ElementTree.SubElement(columns, "column", type="field", name=name, hidden="1", width="-1")
    return table
