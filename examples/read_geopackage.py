"""Read a map's buildings.gpkg with Python's own sqlite3: counts, areas, and a bounding box.

python examples/read_geopackage.py runs/town/buildings.gpkg
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

COUNTS = """
    SELECT damage, count(*), round(sum(area_m2), 1) FROM buildings
    GROUP BY damage_class, damage ORDER BY damage_class
"""
# The layer's spatial index holds each building's bounding box, in the layer's CRS.
DESTROYED = """
    SELECT fid, confidence, area_m2, minx, miny, maxx, maxy
    FROM buildings JOIN rtree_buildings_geom ON fid = id
    WHERE damage = 'destroyed' AND maxx >= ? AND maxy >= ? AND minx <= ? AND miny <= ?
    ORDER BY fid
"""
CRS = """
    SELECT organization || ':' || organization_coordsys_id
    FROM gpkg_spatial_ref_sys JOIN gpkg_geometry_columns USING (srs_id)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("geopackage", type=Path)
    parser.add_argument(
        "--box", type=float, nargs=4, metavar=("MINX", "MINY", "MAXX", "MAXY"),
        help="in the layer's CRS: which destroyed buildings touch it? (default: everywhere)",
    )  # fmt: skip
    args = parser.parse_args()
    box = args.box or [float("-inf"), float("-inf"), float("inf"), float("inf")]
    address = f"{args.geopackage.absolute().as_uri()}?mode=ro"  # it is only read
    try:
        with closing(sqlite3.connect(address, uri=True)) as package:
            (crs,) = package.execute(CRS).fetchone()
            classes = [
                {"damage": damage, "buildings": count, "area_m2": area}
                for damage, count, area in package.execute(COUNTS)
            ]
            rows = package.execute(DESTROYED, box).fetchall()
    except sqlite3.Error as error:
        print(f"{args.geopackage}: no GeoPackage of buildings ({error})", file=sys.stderr)
        return 1
    names = ("fid", "confidence", "area_m2", "minx", "miny", "maxx", "maxy")
    destroyed = [dict(zip(names, row, strict=True)) for row in rows]
    print(json.dumps({"crs": crs, "classes": classes, "destroyed": destroyed}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
