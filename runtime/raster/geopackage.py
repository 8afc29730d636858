"""The GeoPackage of a scene's buildings."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from runtime.errors import reason
from runtime.raster.libraries import library
from runtime.raster.tables import Table

LAYER = "buildings"
GEOMETRY_COLUMN = "geom"

TIME = "1970-01-01T00:00:00.000Z"
"""Of every table's last change: the same buildings make the same bytes, whenever it is."""


def write_table(
    path: Path, table: Table, crs_wkt: str | None, geometry_type: str, *, append: bool
) -> None:
    """Make the layer of a table's rows, or append them to it.

    geometry_type: "Polygon" or "MultiPolygon"; polygons become multipolygons in that layer.
    Raises OSError where it cannot be written.
    """
    raw, shapely = library("pyogrio.raw"), library("shapely")
    errors = library("pyogrio.errors")
    library("pyogrio").set_gdal_config_options({"OGR_CURRENT_DATE": TIME})
    options = {"GEOMETRY_NAME": GEOMETRY_COLUMN}
    if crs_wkt is None:
        options["SRID"] = "-1"  # a plane of unknown place; the default is unknown degrees
    with warnings.catch_warnings():  # its own account of a layer without a CRS
        warnings.filterwarnings("ignore", "'crs' was not provided")
        try:
            raw.write(
                str(path),
                geometry=shapely.to_wkb(table.geometry),
                geometry_type=geometry_type,
                field_data=list(table.columns.values()),
                fields=np.array(list(table.columns), object),
                layer=LAYER,
                driver="GPKG",
                crs=crs_wkt,
                append=append,
                layer_options=None if append else options,
            )
        except (errors.DataSourceError, errors.DataLayerError) as error:
            raise OSError(f"{path}: the GeoPackage cannot be written ({reason(error)})") from error
