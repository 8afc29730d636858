"""What GDAL's programs say of an image in a file beside it, NAME.aux.xml."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

from runtime.errors import ImageError, reason

_MOST_BYTES = 1 << 24


def elements(beside: Path, image: Path) -> Iterator[ElementTree.Element]:
    """All of the file `beside`; ImageError where it is no XML."""
    try:
        if beside.stat().st_size > _MOST_BYTES:
            raise ElementTree.ParseError(f"{_MOST_BYTES >> 20} MiB are expected at most")
        tree = ElementTree.parse(beside)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise ImageError(
            f"{beside}: GDAL reads it with {image.name}, and it is no XML ({reason(error)}); "
            "move it away"
        ) from error
    return tree.iter()


def nodata(beside: Path, image: Path) -> str | None:
    """The value, or a colour's values, that it declares to be no data; None: it declares none."""
    for element in elements(beside, image):
        if element.tag == "NoDataValue" or (
            element.tag == "MDI" and element.get("key", "").upper() == "NODATA_VALUES"
        ):
            return " ".join((element.text or "").split())
    return None
