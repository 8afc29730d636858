"""A style of QGIS, as the text of a .qml file or of a GeoPackage's `layer_styles`."""

from __future__ import annotations

from xml.etree import ElementTree


def document(categories: str, *parts: ElementTree.Element) -> str:
    """categories: what of a layer the parts replace, as QGIS calls it, parted by "|"."""
    root = ElementTree.Element("qgis", version="3.22.0", styleCategories=categories)
    root.extend(parts)
    return "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n" + ElementTree.tostring(
        root, encoding="unicode"
    )
