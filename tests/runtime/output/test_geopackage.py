"""Layers beside those that GDAL itself writes, row by row and table by table."""

import sqlite3
from contextlib import closing

import numpy as np
import pyogrio
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyogrio.raw import read, write
from rasterio.crs import CRS

from runtime.output import spatial_index
from runtime.output.geopackage import GEOMETRY_COLUMN, TIME, VERSION, Layer
from runtime.output.tables import Table

UTM = CRS.from_epsg(32633).to_wkt()
BOXES = [shapely.box(1.1, 2.2, 3, 4), shapely.box(-1e7, -3.3, 5e6, 0.1)]
HOLED = shapely.box(0, 0, 9, 9).difference(shapely.box(2, 2, 3, 3))
POLYGONS = [*BOXES, HOLED, None, shapely.Polygon()]
SHAPES = [*POLYGONS, shapely.multipolygons(BOXES), shapely.multipolygons(BOXES[:1])]

texts = st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
numbers = st.floats(allow_infinity=False) | st.just(-0.0)


@st.composite
def tables(draw):
    """Chunks of a layer, the first maybe without a row."""
    chunks = []
    for count in draw(st.lists(st.integers(0, 6), min_size=1, max_size=3)):
        some = {"min_size": count, "max_size": count}
        mask = np.array(draw(st.lists(st.booleans(), **some)), bool)
        flags = np.array(draw(st.lists(st.booleans(), **some)), bool)
        whole = np.array(draw(st.lists(st.integers(-(2**63), 2**63 - 1), **some)), np.int64)
        text = np.empty(count, object)
        text[:] = draw(st.lists(texts, **some))
        columns = {
            "text": text,
            "small": whole.astype(np.int16),
            "whole": np.ma.MaskedArray(whole, mask),
            "real": np.array(draw(st.lists(numbers, **some)), np.float64),
            "single": np.array(draw(st.lists(st.floats(width=32), **some)), np.float32),
            'a "flag"': np.ma.MaskedArray(flags, mask),
        }
        geometry = np.empty(count, object)
        geometry[:] = draw(st.lists(st.sampled_from(SHAPES), **some))
        chunks.append(Table(geometry, columns))
    return chunks


def by_gdal(path, chunks, kind, name):
    """All rows in one call."""
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": TIME})
    columns = {
        field: np.ma.concatenate([np.ma.asarray(each.columns[field]) for each in chunks])
        for field in chunks[0].columns
    }
    geometry = np.concatenate([each.geometry for each in chunks])
    write(
        str(path), geometry=shapely.to_wkb(geometry) if kind else None, geometry_type=kind,
        field_data=[np.ma.getdata(each) for each in columns.values()],
        field_mask=[np.ma.getmaskarray(each) for each in columns.values()],
        fields=np.array(list(columns), object), layer=name, driver="GPKG",
        crs=UTM if kind else None, dataset_options={"VERSION": VERSION},
        **({"layer_options": {"GEOMETRY_NAME": GEOMETRY_COLUMN}} if kind else {}),
    )  # fmt: skip


def by_layer(path, chunks, kind, name):
    layer = Layer(path, UTM if kind else None, kind, name)
    for each in chunks:
        layer.add(each)
    layer.finish()


def content(path):
    """Every table but the nodes of the index, and what makes it."""
    found = {}
    with closing(sqlite3.connect(path)) as base:
        schema = base.execute("SELECT name, sql FROM sqlite_master").fetchall()
        for name, sql in schema:
            if sql and sql.startswith("CREATE TABLE") and not name.startswith("rtree_"):
                quoted = name.replace('"', '""')
                found[name] = base.execute(f'SELECT * FROM "{quoted}"').fetchall()
        assert base.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    # GDAL writes what a layer extends to with 15 digits.
    found["gpkg_contents"] = [
        [float(f"{each:.12g}") if isinstance(each, float) else each for each in row]
        for row in found["gpkg_contents"]
    ]
    return sorted(schema, key=str), {name: list(map(repr, rows)) for name, rows in found.items()}


def same(folder, chunks, kind, name="some layer"):
    for path, made in ((folder / "a.gpkg", by_gdal), (folder / "b.gpkg", by_layer)):
        path.unlink(missing_ok=True)
        made(path, chunks, kind, name)
    assert content(folder / "a.gpkg") == content(folder / "b.gpkg")


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(tables())
def test_a_layer_is_the_one_that_gdal_writes(tmp_path, chunks):
    same(tmp_path, chunks, "MultiPolygon", 'a "layer"')


def test_polygons_points_and_rows_without_a_place(tmp_path):
    for kind, shapes in (
        ("Polygon", POLYGONS),
        ("Point", [shapely.Point(1.5, 2.5), None, shapely.Point()]),
        (None, [None, None]),
    ):
        geometry = np.empty(len(shapes), object)
        geometry[:] = shapes
        same(tmp_path, [Table(geometry, {"number": np.arange(len(shapes))})], kind)


def test_layers_that_are_added_leave_the_others(tmp_path):
    geometry = np.array(BOXES, object)
    for index, name in enumerate(("first", "second")):
        layer = Layer(tmp_path / "a.gpkg", UTM, "MultiPolygon", name, added=index > 0)
        layer.add(Table(geometry[index:], {"number": np.arange(2 - index)}))
        layer.finish()
    counts = {
        str(name): pyogrio.read_info(tmp_path / "a.gpkg", layer=name)["features"]
        for name, _ in pyogrio.list_layers(tmp_path / "a.gpkg")
    }
    assert counts == {"first": 2, "second": 1}


@pytest.mark.parametrize("at_once", [7, 10_000])
@pytest.mark.parametrize("count", [0, 1, 51, 52, 4_000])
def test_the_index_finds_what_there_is(tmp_path, monkeypatch, count, at_once):
    monkeypatch.setattr(spatial_index, "ROWS_AT_ONCE", at_once)
    rng = np.random.default_rng(count)
    low = rng.uniform(-1e6, 1e6, (count, 2)) + rng.choice([0, 3e6], (count, 1))
    boxes = np.asarray(shapely.box(*low.T, *(low + rng.exponential(300, (count, 2))).T), object)
    path = tmp_path / "a.gpkg"
    layer = Layer(path, UTM, "MultiPolygon", "boxes")
    for some in np.array_split(np.arange(count), 9):
        layer.add(Table(boxes[some], {"number": some}))
    layer.finish()
    with closing(sqlite3.connect(path)) as base:
        if ("ENABLE_RTREE",) in base.execute("PRAGMA compile_options").fetchall():
            checked = base.execute(f"SELECT rtreecheck('rtree_boxes_{GEOMETRY_COLUMN}')")
            assert checked.fetchall() == [("ok",)]
    for _ in range(20):
        left, bottom = rng.uniform(-1e6, 4e6, 2)
        frame = shapely.box(left, bottom, left + 4e5, bottom + 4e5)
        *_, (numbers,) = read(path, layer="boxes", bbox=frame.bounds)
        assert sorted(numbers) == np.flatnonzero(shapely.intersects(boxes, frame)).tolist()


def test_another_program_can_go_on_with_the_layer(tmp_path):
    """The triggers that keep the index and the count are there again."""
    path = tmp_path / "a.gpkg"
    layer = Layer(path, UTM, "MultiPolygon", "boxes")
    layer.add(Table(np.array(BOXES[:1], object), {"number": np.array([0])}))
    layer.finish()
    far = shapely.multipolygons([shapely.box(900, 900, 901, 901)])
    write(
        str(path), geometry=shapely.to_wkb(np.array([far])), geometry_type="MultiPolygon",
        field_data=[np.array([1])], fields=np.array(["number"], object), layer="boxes",
        driver="GPKG", crs=UTM, append=True,
    )  # fmt: skip
    *_, (numbers,) = read(path, layer="boxes", bbox=(890, 890, 910, 910))
    assert numbers.tolist() == [1]
    assert pyogrio.read_info(path, layer="boxes")["features"] == 2
