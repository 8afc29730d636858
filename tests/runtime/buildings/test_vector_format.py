"""Footprints whose file points elsewhere, or computes what it holds."""

import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest
import shapely
from pyogrio.raw import write
from rasterio.crs import CRS

from runtime.buildings.footprint_file import open_footprints
from runtime.errors import ConfigError
from runtime.source.georeference import Georeference

PLACE = Georeference(CRS.from_epsg(4326).to_wkt(), (0.01, 0, 10, 0, -0.01, 50))
SQUARE = [[10.2, 49.8], [10.4, 49.8], [10.4, 49.6], [10.2, 49.8]]


def collection(**more) -> dict:
    geometry = {"type": "Polygon", "coordinates": [SQUARE]}
    feature = {"type": "Feature", "properties": {}, "geometry": geometry}
    return {"type": "FeatureCollection", "features": [feature], **more}


def opened(path: Path) -> int:
    """Features read."""
    found = open_footprints(path, 100, 100, PLACE)
    return sum(len(fids) for fids, _ in found.read(PLACE))


def refused(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        opened(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def written(path: Path, driver: str) -> Path:
    polygons = shapely.to_wkb(np.array([shapely.Polygon(SQUARE)]))
    write(path, polygons, [], [], geometry_type="Polygon", crs="EPSG:4326", driver=driver)
    return path


@pytest.mark.parametrize(
    ("name", "driver"),
    [
        ("a.gpkg", "GPKG"),
        ("a.shp", "ESRI Shapefile"),
        ("a.geojson", "GeoJSON"),
        ("a.geojsonl", "GeoJSONSeq"),
        ("a.fgb", "FlatGeobuf"),
        ("GPKG:a b%20#&é.gpkg", "GPKG"),
        ("http:a.geojson", "GeoJSON"),
    ],
)
def test_the_formats_that_footprints_come_in_are_read(tmp_path, name, driver):
    assert opened(written(tmp_path / name, driver)) == 1


@pytest.mark.parametrize("name", ["a!b.gpkg", "a?b.gpkg", "a\nb.geojson"])
def test_a_name_that_gdal_takes_for_something_else_is_refused(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(written(tmp_path / "a.gpkg", "GPKG").read_bytes())
    with pytest.raises(ConfigError, match="copy it to a name"):
        opened(path)


@pytest.mark.parametrize(
    "text",
    [
        '<OGRVRTDataSource><OGRVRTLayer name="a"><SrcDataSource>{0}</SrcDataSource>'
        "</OGRVRTLayer></OGRVRTDataSource>",
        '<ogr:FeatureCollection xmlns:xsi="x" xsi:schemaLocation="a {0}"/>',
        "WKT,name\n\"POLYGON((0 0,1 0,1 1,0 0))\",a\n",
        "PG:dbname=town",
        "{0}",
        "",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["a.vrt", "a.gpkg", "a.geojson", "a.shp", "a.csv"])
def test_other_formats_are_refused_whatever_they_are_called(tmp_path, listener, name, text):
    path = tmp_path / name
    path.write_text(text.format(listener.address))
    assert "expected a GeoPackage, GeoJSON, Shapefile or FlatGeobuf" in refused(path)
    assert not listener.calls()


@pytest.mark.parametrize("place", ["/vsicurl/{0}a.gpkg", "{0}a.geojson", "PG:dbname=a", "."])
def test_what_is_no_file_is_refused(listener, place):
    with pytest.raises(ConfigError, match="expected a GeoPackage"):
        opened(Path(place.format(listener.address)))
    assert not listener.calls()


LINK = '{"type": "link", "properties": {"href": "@"}}'


@pytest.mark.parametrize(
    "crs",
    [
        f'"crs": {LINK}',
        '"crs": {"properties": {"url": "@"}, "type": "URL"}',
        '"crs": {"type": "name", "type": "link", "properties": {"href": "@"}}',
        f'"CRS": {LINK}',
        f'"\\u0063r\\u0073": {LINK}',
        f"'crs': {LINK}",
        f'"crs" /* of the town */: {LINK}',
        f'"crs": /* of the town */ {LINK}',
        '"crs": {"pad": "' + " " * 70_000 + '", "type": "link", "properties": {"href": "@"}}',
    ],
)
@pytest.mark.parametrize("where", ["file", "geometry"])
def test_a_crs_by_its_address_is_not_fetched(tmp_path, listener, crs, where):
    path = tmp_path / "a.geojson"
    text = json.dumps(collection())
    before = '"type": "FeatureCollection"' if where == "file" else '"type": "Polygon"'
    assert before in text
    path.write_text(text.replace(before, f"{crs.replace('@', listener.address)}, {before}"))
    assert "a crs that is not given by its name" in refused(path)
    assert not listener.calls()


def test_a_crs_by_its_name_and_an_attribute_of_that_name_are_read(tmp_path):
    path = tmp_path / "a.geojson"
    named = {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}
    content = collection(crs=named, name="crs")
    content["features"][0]["properties"] = {"crs": "local", "kind": "CRS"}
    path.write_text(json.dumps(content))
    assert opened(path) == 1


def test_a_json_of_another_kind_is_no_geojson(tmp_path, listener):
    path = tmp_path / "a.geojson"
    for content in (
        {
            "type": "gdal_streamed_alg",
            "command_line": f"gdal vector pipeline ! read {listener.address}",
        },
        {"geometryType": "esriGeometryPolygon", "features": [], "url": listener.address},
        {"type": "Topology", "objects": {}, "arcs": []},
    ):
        path.write_text(json.dumps(content))
        refused(path)
    assert not listener.calls()


def test_layers_that_are_computed_are_refused(tmp_path):
    path = written(tmp_path / "a.gpkg", "GPKG")
    with sqlite3.connect(path) as base:
        (columns,) = base.execute("SELECT sql FROM sqlite_master WHERE name = 'a'").fetchone()
        assert "geom" in columns
        base.execute("ALTER TABLE a RENAME TO b")
        base.execute(
            "CREATE VIEW a AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
            "SELECT i AS fid, (SELECT geom FROM b) AS geom FROM n"
        )
    base.close()
    assert "layer a is a view; expected a table" in refused(path)


def test_a_geopackage_whose_own_tables_are_computed_is_refused(tmp_path):
    path = written(tmp_path / "a.gpkg", "GPKG")
    with sqlite3.connect(path) as base:
        base.execute("ALTER TABLE gpkg_contents RENAME TO c")
        base.execute("CREATE VIEW gpkg_contents AS SELECT * FROM c")
    base.close()
    assert "whose own tables are computed" in refused(path)


def test_a_crs_in_a_geopackage_is_not_fetched(tmp_path, listener):
    path = written(tmp_path / "a.gpkg", "GPKG")
    with sqlite3.connect(path) as base:
        base.execute(
            "UPDATE gpkg_spatial_ref_sys SET definition = ?, organization = 'X' "
            "WHERE srs_id = 4326", (listener.address,)
        )  # fmt: skip
    base.close()
    refused(path)
    assert not listener.calls()


def test_a_damaged_geopackage_is_refused(tmp_path):
    path = written(tmp_path / "a.gpkg", "GPKG")
    content = bytearray(path.read_bytes())
    content[100:4000] = b"\xff" * 3900
    path.write_bytes(content)
    assert "a damaged GeoPackage" in refused(path)


def test_names_that_are_not_utf8_are_one_line(tmp_path):
    path = tmp_path / "a.geojson"
    content = collection()
    content["features"][0]["properties"] = {"NAME": 1}
    path.write_bytes(json.dumps(content).encode().replace(b"NAME", b"N\xc4ME"))
    assert "cannot be read as polygons ('utf-8' codec" in refused(path)


def test_a_header_that_promises_more_features_than_there_are_is_one_line(tmp_path):
    path = tmp_path / "a.fgb"
    write(
        str(path), geometry=shapely.to_wkb(np.array([shapely.Polygon(SQUARE)] * 3)),
        geometry_type="Polygon", field_data=[], fields=[], driver="FlatGeobuf", crs="EPSG:4326",
    )  # fmt: skip
    content = path.read_bytes()
    (place,) = [at for at in range(200) if content[at : at + 8] == (3).to_bytes(8, "little")]
    path.write_bytes(content[:place] + (100_000).to_bytes(8, "little") + content[place + 8 :])
    assert "cannot be read as polygons" in refused(path)


def test_measured_polygons_are_read_without_a_word(tmp_path, recwarn):
    path = tmp_path / "a.gpkg"
    write(
        str(path), geometry=shapely.to_wkb(np.array([shapely.Polygon(SQUARE)])),
        geometry_type="Polygon", field_data=[], fields=[], driver="GPKG", crs="EPSG:4326",
    )  # fmt: skip
    with sqlite3.connect(path) as database:
        database.execute("UPDATE gpkg_geometry_columns SET m = 1")
    recwarn.clear()
    assert opened(path) == 1
    assert not recwarn.list
