"""The finished maps as cloud-optimised GeoTIFFs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.windows import Window

from runtime.damage import NODATA
from runtime.errors import reason
from runtime.output.legend import TRANSPARENT, Legend
from runtime.scene.stored import Stored
from runtime.scene.strip import NOT_COMPUTED
from runtime.scene.unfinished import Read
from runtime.source.georeference import Georeference

OPTIONS: dict[str, Any] = {
    "driver": "COG",
    "BLOCKSIZE": 512,
    "COMPRESS": "DEFLATE",
    "LEVEL": 1,
    "BIGTIFF": "IF_SAFER",
}
"""Deflate is what every GIS reads; the maps are mostly even, so a higher level gains little, and
GDAL's own threads (NUM_THREADS) take twice the time that two maps at once do without them."""


def write_classes(
    raw: Stored, out: Path, place: Georeference, tags: Mapping[str, str], legend: Legend
) -> None:
    """The classes keep their names and colours. tags: metadata.

    GDAL writes the names into `out`.aux.xml, a TIFF has no field for them.
    """
    # As many as a TIFF has; what is no class is never black, which is background.
    colours = [*legend.colours, *[legend.nodata_colour] * (NODATA + 1 - len(legend.colours))]
    entries = "".join(f'<Entry c1="{r}" c2="{g}" c3="{b}" c4="255"/>' for r, g, b in colours)
    names = "".join(f"<Category>{escape(name)}</Category>" for name in legend.names)
    about = (
        f"<NoDataValue>{NODATA}</NoDataValue><ColorInterp>Palette</ColorInterp>"
        f"<ColorTable>{entries}</ColorTable><CategoryNames>{names}</CategoryNames>"
        f"{_attribute_table(legend)}"
    )
    _translate(raw, out, place, about, "NEAREST", tags)


def write_confidence(raw: Stored, out: Path, place: Georeference, tags: Mapping[str, str]) -> None:
    """`raw` is confidence: probability x 255. tags: metadata."""
    about = (
        f"<NoDataValue>{NOT_COMPUTED}</NoDataValue><ColorInterp>Gray</ColorInterp>"
        f"<Scale>{1 / 255!r}</Scale>"
    )
    _translate(raw, out, place, about, "AVERAGE", tags)


def _attribute_table(legend: Legend) -> str:
    """One row a class and one for NODATA, which category names, one a value from 0, cannot name."""
    fields = [  # name, GDAL's type (integer 0, text 2) and use of it
        ("Value", 0, 5), ("Class", 2, 2), ("Red", 0, 6), ("Green", 0, 7), ("Blue", 0, 8),
        ("Alpha", 0, 9),
    ]  # fmt: skip
    rows = [
        (value, escape(name), *colour, 0 if value == TRANSPARENT else 255)
        for value, name, colour in legend.entries()
    ]
    columns = "".join(
        f'<FieldDefn index="{index}"><Name>{name}</Name><Type>{kind}</Type><Usage>{use}</Usage>'
        "</FieldDefn>"
        for index, (name, kind, use) in enumerate(fields)
    )
    cells = "".join(
        f'<Row index="{index}">{"".join(f"<F>{cell}</F>" for cell in row)}</Row>'
        for index, row in enumerate(rows)
    )
    return (
        f'<GDALRasterAttributeTable tableType="thematic">{columns}{cells}'
        "</GDALRasterAttributeTable>"
    )


def _translate(
    raw: Stored,
    out: Path,
    place: Georeference,
    about: str,
    resampling: str,
    tags: Mapping[str, str],
) -> None:
    """GDAL reads the file through two descriptions, block by block.

    One takes it as raw bytes, whatever they are: a driver that looked for its signature in them
    would find it. The other takes of it the rows that it holds; the rest is the nodata value.
    """
    height, width = raw.shape
    a, b, c, d, e, f = place.transform
    described, all_bytes = (raw.path.with_suffix(suffix) for suffix in (".vrt", ".raw.vrt"))
    items = "".join(f'<MDI key="{escape(k)}">{escape(v)}</MDI>' for k, v in tags.items())
    dataset = f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">'
    all_bytes.write_text(
        f'{dataset}<VRTRasterBand dataType="Byte" band="1" subClass="VRTRawRasterBand">'
        f'<SourceFilename relativeToVRT="1">{escape(raw.path.name)}</SourceFilename>'
        f"<ImageOffset>0</ImageOffset><PixelOffset>1</PixelOffset><LineOffset>{width}</LineOffset>"
        "</VRTRasterBand></VRTDataset>"
    )
    parts = (
        f'<SimpleSource><SourceFilename relativeToVRT="1">{escape(all_bytes.name)}'
        f"</SourceFilename><SourceBand>1</SourceBand><SrcRect {rows}/><DstRect {rows}/>"
        "</SimpleSource>"
        for rows in (
            f'xOff="0" yOff="{begin}" xSize="{width}" ySize="{end - begin}"'
            for begin, end in raw.written
        )
    )
    described.write_text(
        f"{dataset}<Metadata>{items}</Metadata><SRS>{escape(place.crs_wkt)}</SRS>"
        f"<GeoTransform>{c!r},{a!r},{b!r},{f!r},{d!r},{e!r}</GeoTransform>"
        f'<VRTRasterBand dataType="Byte" band="1">{about}{"".join(parts)}</VRTRasterBand>'
        "</VRTDataset>"
    )
    with rasterio.open(described) as source:
        try:
            rasterio.shutil.copy(source, out, OVERVIEW_RESAMPLING=resampling, **OPTIONS)
        except CPLE_BaseError as error:  # on a disk that fills, rasterio has no error of its own
            why = reason(error)
            raise OSError(
                f"{out}: the GeoTIFF cannot be written ({why}); is there room on its disk?"
            ) from error


def reader(path: Path) -> Read:
    """Reads rows of a map: first row and number of rows -> uint8 [rows,W]."""

    def read(top: int, height: int) -> NDArray[np.uint8]:
        with rasterio.open(path) as dataset:
            return np.asarray(dataset.read(1, window=Window(0, top, dataset.width, height)))

    return read
