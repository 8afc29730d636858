"""The STAC Item (1.1) of a delivered map.

Items are JSON that this module writes itself: pystac, by which the tests validate them, would bring
two dozen packages onto the box.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runtime import files
from runtime.damage import NODATA
from runtime.deliver.context import SOFTWARE, Context, version
from runtime.deliver.footprint import Footprint
from runtime.deliver.names import by_name
from runtime.errors import ConfigError
from runtime.finished.images import names_of
from runtime.libraries import library
from runtime.output.legend import LEGENDS

VERSION = "1.1.0"
_EXTENSIONS = (
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
    "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
    "https://stac-extensions.github.io/classification/v2.0.0/schema.json",
)

_COG = "image/tiff; application=geotiff; profile=cloud-optimized"
_GPKG = "application/geopackage+sqlite3"
_ASSETS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "damage.tif": (_COG, "Damage classes, as the engine saw them", ("data",)),
    "confidence.tif": (_COG, "Probability of the chosen class", ("data",)),
    "quality.tif": (_COG, "Why ground cannot be judged", ("data-mask", "metadata")),
    "buildings.gpkg": (_GPKG, "Buildings, corrections counted in", ("data",)),
    "ems.gpkg": (_GPKG, "Buildings in the fields of Copernicus EMS Rapid Mapping", ("data",)),
    "fema.gpkg": (_GPKG, "Buildings in the fields of FEMA's damage assessments", ("data",)),
    "unosat.gpkg": (_GPKG, "Buildings in the fields of UNOSAT's damage assessments", ("data",)),
    "cells.gpkg": (_GPKG, "Buildings by class, and what was computed, in cells", ("data",)),
    "overlay.png": ("image/png", "Damage as mapped on the image after", ("overview",)),
    "summary.json": ("application/json", "Totals, failures, notes and provenance", ("metadata",)),
    "estimate.json": ("application/json", "Totals with intervals, from a sample", ("metadata",)),
}
"""Media type, title and roles."""

_MULTIHASH_SHA256 = "1220"
"""Code of SHA-256, and its length in bytes."""


def check_date(context: Context) -> None:
    """Raises ConfigError where nobody says when the image after was taken."""
    if context.when:
        return
    image = next(each for each in context.images[1:] if not each.taken)
    hint = ""
    if image.written:
        hint = f" (its TIFF tag says {image.written}, which may be when the file was made)"
    raise ConfigError(
        f"{image.path}: does not say when it was taken{hint}, and a STAC Item has a date; give it "
        "with --datetime or --taken-after"
    )


def map_item(context: Context, footprint: Footprint, work: Path) -> dict[str, Any]:
    """JSON values; the assets are the files in `work`."""
    name = context.provenance["MAP"]
    links = []
    if (work / "model.json").is_file():
        links.append(
            {
                "rel": "related", "href": "./model.json", "type": "application/geo+json",
                "title": "The engine that made the map",
            }
        )  # fmt: skip
    return {
        "type": "Feature",
        "stac_version": VERSION,
        "stac_extensions": list(_EXTENSIONS),
        "id": name,
        "geometry": json.loads(library("shapely").to_geojson(footprint.known)),
        "bbox": list(footprint.bbox),
        "properties": {
            **dates(context.when),
            "title": f"Building damage map {name}",
            "created": f"{context.made:%Y-%m-%dT%H:%M:%SZ}",
            **_projection(context),
            **_processing(context),
        },
        "links": links,
        "assets": {
            Path(file).stem: _asset(work / file, context)
            for file in _ASSETS
            if (work / file).is_file()
        },
    }


def dates(when: str | None) -> dict[str, Any]:
    """A day is a range of time, as STAC tells one; a time is a time."""
    assert when
    if "T" in when:
        return {"datetime": when}
    return {
        "datetime": None,
        "start_datetime": f"{when}T00:00:00Z",
        "end_datetime": f"{when}T23:59:59Z",
    }


def file_fields(path: Path) -> dict[str, Any]:
    return {
        "file:size": path.stat().st_size,
        "file:checksum": checksum(files.sha256(path)),
    }


def checksum(sha256: str) -> str:
    """A multihash, as the file extension has it."""
    return f"{_MULTIHASH_SHA256}{sha256}"


def _projection(context: Context) -> dict[str, Any]:
    place = context.map.place
    assert place is not None
    height, width = context.map.size
    crs = library("rasterio.crs").CRS.from_wkt(place.crs_wkt)
    code = crs.to_epsg()
    found: dict[str, Any] = {"proj:code": f"EPSG:{code}" if code else None}
    if not code:
        found["proj:wkt2"] = crs.to_wkt(version="WKT2_2019")
    a, b, c, d, e, f = place.transform
    return {
        **found,
        "proj:shape": [height, width],
        "proj:transform": [a, b, c, d, e, f, 0.0, 0.0, 1.0],
    }


def _processing(context: Context) -> dict[str, Any]:
    """What was made of what. Names of files, not where they lie on the box."""
    engine = context.map.summary["engine"]
    inputs = []
    for image in context.images:
        entry: dict[str, Any] = {"role": image.role, "name": image.path.name}
        if image.size is not None:
            entry["bytes"] = image.size
        if image.there:
            entry["sha256"] = files.sha256(image.path)
        if image.taken:
            entry["taken"], entry["taken_source"] = image.taken, image.source
        inputs.append(entry)
    before, after = names_of(context.images).values()
    count = context.corrected.count
    return {
        "processing:lineage": (
            f"Building damage between the images {before} and {after}, seen by the engine "
            f"{engine['architecture']} w{engine['model_width']} {engine['precision']} (checkpoint "
            f"{engine['checkpoint_sha256']}, graph {engine['graph_sha256']}) on "
            f"{engine['backend']} {engine['run_with']}; {count} corrections by people are counted "
            "in the vector layers, none in the rasters"
        ),
        "processing:software": {SOFTWARE: version(), engine["backend"]: engine["run_with"]},
        "dual_hrnet:inputs": inputs,
        "dual_hrnet:corrections": count,
        "dual_hrnet:notes": by_name(context.map.summary)["notes"],
    }


def _asset(path: Path, context: Context) -> dict[str, Any]:
    media, title, roles = _ASSETS[path.name]
    asset: dict[str, Any] = {
        "href": f"./{path.name}",
        "type": media,
        "title": title,
        "roles": list(roles),
        **file_fields(path),
    }
    if path.suffix == ".tif":
        asset["bands"] = [_band(path.stem, context)]
    if path.stem in LEGENDS and path.suffix == ".tif":
        asset["classification:classes"] = classes(path.stem)
    return asset


def _band(name: str, context: Context) -> dict[str, Any]:
    """confidence: 0 is what was not computed, too; see damage."""
    across, down = context.map.summary["pixel_m"] or (None, None)
    band: dict[str, Any] = {"name": name, "data_type": "uint8"}
    band["nodata"] = 0 if name == "confidence" else NODATA
    if name == "confidence":
        band["raster:scale"] = 1 / 255
    if across:
        band["raster:spatial_resolution"] = max(across, down)
    return band


def classes(name: str) -> list[dict[str, Any]]:
    """Of the classification extension."""
    return [
        {
            "value": value,
            "name": label.replace(" ", "-"),
            "description": label,
            "color_hint": bytes(colour).hex().upper(),
            **({"nodata": True} if value == NODATA else {}),
        }
        for value, label, colour in LEGENDS[name].entries()
    ]
