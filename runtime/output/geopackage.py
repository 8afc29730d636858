"""Layers of a GeoPackage, such as a scene's buildings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.errors import reason
from runtime.libraries import library
from runtime.output.tables import Columns, Table

LAYER = "buildings"
GEOMETRY_COLUMN = "geom"

TIME = "1970-01-01T00:00:00.000Z"
"""Of every table's last change: the same buildings make the same bytes, whenever it is."""

VERSION = "1.2"
"""Of the format: GDAL's own choice is the newest, of which an older GIS warns."""

ROWS_AT_ONCE = 50_000
"""Opening a GeoPackage to append to it takes about as long as writing some thousand rows."""


class Layer:
    """A layer in a GeoPackage at `path`, which is made by the first `flush`.

    geometry_type: "Polygon" or "MultiPolygon"; polygons become multipolygons in that layer. None:
    a table without geometry.
    added: the package is there already, with other layers.
    """

    def __init__(
        self,
        path: Path,
        crs_wkt: str | None,
        geometry_type: str | None,
        name: str = LAYER,
        added: bool = False,
    ) -> None:
        self.path = path
        self._name = name
        self._added = added
        self._crs_wkt = crs_wkt
        self._geometry_type = geometry_type
        self._wkb: list[NDArray[Any]] = []
        self._columns: list[Columns] = []
        self._written = False

    def add(self, table: Table) -> None:
        """Raises OSError where it cannot be written."""
        has_geometry = self._geometry_type is not None
        wkb = library("shapely").to_wkb(table.geometry) if has_geometry else table.geometry
        self._wkb.append(wkb)
        self._columns.append(table.columns)
        if sum(map(len, self._wkb)) >= ROWS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write what was added; a table without a row makes the layer, too."""
        if not self._wkb:
            return
        raw, errors = library("pyogrio.raw"), library("pyogrio.errors")
        library("pyogrio").set_gdal_config_options({"OGR_CURRENT_DATE": TIME})
        names = list(self._columns[0])
        new: dict[str, Any] = {}
        if not self._written and self._geometry_type:
            new["layer_options"] = {"GEOMETRY_NAME": GEOMETRY_COLUMN}
        if not self._written and not self._added:
            new["dataset_options"] = {"VERSION": VERSION}
        data = [_joined([each[name] for each in self._columns]) for name in names]
        try:
            raw.write(
                str(self.path),
                geometry=np.concatenate(self._wkb) if self._geometry_type else None,
                geometry_type=self._geometry_type,
                field_data=[each.data for each in data],
                field_mask=[each.mask if each.mask.any() else None for each in data],
                fields=np.array(names, object),
                layer=self._name,
                driver="GPKG",
                crs=self._crs_wkt,
                append=self._written,
                **new,
            )
        except (errors.DataSourceError, errors.DataLayerError) as error:
            why = reason(error)
            raise OSError(f"{self.path}: the GeoPackage cannot be written ({why})") from error
        self._written = True
        self._wkb.clear()
        self._columns.clear()


def _joined(columns: list[NDArray[Any]]) -> np.ma.MaskedArray[Any, Any]:
    return np.ma.MaskedArray(
        np.concatenate([np.ma.getdata(each) for each in columns]),
        np.concatenate([np.ma.getmaskarray(each) for each in columns]),
    )
