"""Cells: their numbers against NumPy, Shapely, H3 and the map's own totals."""

import json
import shutil
from pathlib import Path

import h3
import numpy as np
import pytest
import rasterio
import shapely
from pyogrio.raw import read, write
from pyproj import Geod, Transformer

from runtime import files
from runtime.cells import count
from runtime.cells.counting import ANALYSED, NOT_ANALYSED, PARTLY
from runtime.cells.grid import areas, hexagons, squares
from runtime.cells.layer import style
from runtime.cells.layer import write as write_layer
from runtime.corrections import Corrections
from runtime.errors import ConfigError
from runtime.finished import open_map

HOLE = slice(0, 60), slice(100, 170)


def buildings(folder: Path):
    _, fids, wkb, (names,) = read(folder / "buildings.gpkg", layer="buildings", columns=["damage"],
                                  return_fids=True)  # fmt: skip
    return fids, shapely.from_wkb(wkb), names


def cell_table(counts, path):
    write_layer(counts, path)
    meta, _, wkb, values = read(path, layer="cells")
    return meta, shapely.from_wkb(wkb), dict(zip(meta["fields"], values, strict=True))


def test_pixels_and_buildings_of_squares_are_those_of_their_coordinates(town, tmp_path):
    counts = count(town, squares(town.place, *town.size, 10))
    with rasterio.open(town.folder / "damage.tif") as file:
        damage, affine = file.read(1), file.transform
    rows, columns = np.indices(damage.shape) + 0.5
    x, y = affine @ (columns, rows)
    east, north = np.floor(x / 10), np.floor(y / 10)
    _, outlines, names = buildings(town.folder)
    inside = shapely.get_coordinates(shapely.point_on_surface(outlines))
    meta, geometry, table = cell_table(counts, tmp_path / "cells.gpkg")
    assert meta["crs"] == "EPSG:32614"
    assert {each.bounds for each in geometry} == {
        (a * 10, b * 10, a * 10 + 10, b * 10 + 10)
        for a, b in zip(east.flat, north.flat, strict=True)
    }
    for index, cell in enumerate(geometry):
        a, b = cell.bounds[0] / 10, cell.bounds[1] / 10
        here = (east == a) & (north == b)
        computed = (damage[here] != 255).sum()
        assert table["cell"][index] == f"10mN{b * 10:.0f}E{a * 10:.0f}"
        assert table["share_computed"][index] == pytest.approx(computed / 400, abs=1e-4)
        assert table["share_outside"][index] == pytest.approx(1 - here.sum() / 400, abs=1e-4)
        assert table["share_no_data"][index] == pytest.approx(
            (here.sum() - computed) / 400, abs=1e-4
        )
        mine = (np.floor(inside / 10) == (a, b)).all(axis=1)
        if computed == 0:
            assert np.isnan(table["buildings"][index])
            assert np.isnan(table["damaged"][index])
            assert table["status"][index] == NOT_ANALYSED
            continue
        assert table["status"][index] == (ANALYSED if computed >= 396 else PARTLY)
        assert table["buildings"][index] == mine.sum()
        assert table["destroyed"][index] == (names[mine] == "destroyed").sum()
        assert table["damaged"][index] == (mine & (names != "no-damage")).sum()
    assert (table["status"] == NOT_ANALYSED).any()
    assert set(table["why"][table["status"] == NOT_ANALYSED]) >= {"no data in the images 100%"}
    assert np.nansum(table["buildings"]) == town.summary["buildings"]


@pytest.mark.parametrize(
    ("crs", "transform", "grid"),
    [
        ("EPSG:32614", (0.4, 0.3, 500_000, 0.3, -0.4, 3_300_000), "EPSG:32614"),
        ("EPSG:4326", (5e-6, 0, -99, 0, -5e-6, 29.8), "EPSG:32614"),
        ("EPSG:3857", (0.6, 0, -11_020_000, 0, -0.6, 3_480_000), "EPSG:32614"),
        ("EPSG:4326", (5e-6, 0, 179.9998, 0, -5e-6, -17.8), "EPSG:32701"),
        ("EPSG:2277", (1.64, 0, 3_100_000, 0, -1.64, 10_000_000), "EPSG:2277"),
    ],
    ids=["turned", "degrees", "web-mercator", "antimeridian", "feet"],
)  # fmt: skip
def test_every_pixel_and_building_is_counted_once_in_any_crs(mapped, scene, crs, transform, grid):
    pre, post, *_ = scene(100, 170, crs=crs, transform=rasterio.Affine(*transform))
    summary, out = mapped(pre, post)
    place = open_map(out).place
    counts = count(open_map(out), squares(place, 100, 170, 20))
    assert counts.pixels.sum() == 100 * 170
    assert counts.outside == 0
    assert counts.buildings.sum(axis=0).tolist() == [
        row["buildings"] for row in summary["classes"].values()
    ]
    assert rasterio.crs.CRS.from_user_input(counts.cells.crs) == rasterio.crs.CRS.from_string(grid)
    assert counts.cells.m2 == pytest.approx(400, rel=2e-3)
    geod = Geod(ellps="WGS84")
    to_degrees = Transformer.from_crs(grid, 4326, always_xy=True)
    x, y = shapely.get_coordinates(counts.cells.geometry[0]).T
    area, _ = geod.polygon_area_perimeter(*to_degrees.transform(x, y))
    assert counts.cells.m2[0] == pytest.approx(abs(area), rel=2e-3)
    whole = (counts.pixels.sum(axis=(1, 2)) / counts.whole * counts.cells.m2).sum()
    with rasterio.open(out / "damage.tif") as file:
        corners = [file.transform @ each for each in ((0, 0), (170, 0), (170, 100), (0, 100))]
    lon, lat = Transformer.from_crs(crs, 4326, always_xy=True).transform(
        *zip(*corners, strict=True)
    )
    area, _ = geod.polygon_area_perimeter(lon, lat)
    assert whole == pytest.approx(abs(area), rel=3e-3)


def test_hexagons_are_those_that_h3_gives_each_pixel(town):
    counts = count(town, hexagons(town.place, *town.size, 13))
    with rasterio.open(town.folder / "damage.tif") as file:
        damage, affine = file.read(1), file.transform
    rows, columns = np.indices(damage.shape) + 0.5
    x, y = affine @ (columns, rows)
    lon, lat = Transformer.from_crs(32614, 4326, always_xy=True).transform(x, y)
    of_pixel = np.array(
        [h3.latlng_to_cell(b, a, 13) for a, b in zip(lon.flat, lat.flat, strict=True)]
    )
    assert set(of_pixel) == set(counts.cells.names[counts.pixels.sum(axis=(1, 2)) > 0])
    wrong = 0
    for index, name in enumerate(counts.cells.names):
        here = (of_pixel == name).reshape(damage.shape)
        wrong += abs(counts.pixels[index, 0].sum() - (here & (damage != 255)).sum())
    assert wrong <= 4  # of 17,000: centres on an edge
    assert counts.buildings.sum() == town.summary["buildings"]


def test_areas_of_a_file_keep_their_columns_and_leave_out_what_lies_in_none(town, tmp_path):
    left, top = town.place.transform[2], town.place.transform[5]
    shapes = [
        shapely.box(left, top - 50, left + 20, top),
        shapely.box(left + 20, top - 25, left + 60, top),
    ]
    path = tmp_path / "districts.gpkg"
    write(path, shapely.to_wkb(shapes), [np.array(["Väst", None], object), np.array([7, 8])],
          ["name", "buildings"], geometry_type="Polygon", crs="EPSG:32614",
          driver="GPKG")  # fmt: skip
    counts = count(town, areas(path, town.place, *town.size), nearest=False)
    _, _, table = cell_table(counts, tmp_path / "cells.gpkg")
    assert table["name"].tolist() == ["Väst", None]
    assert table["source_buildings"].tolist() == [7, 8]
    points = shapely.point_on_surface(buildings(town.folder)[1])
    held = [int(shapely.contains(each, points).sum()) for each in shapes]
    assert table["buildings"].tolist() == held
    assert counts.outside == town.summary["buildings"] - sum(held)
    assert table["share_outside"].tolist() == [0, 0]


def test_areas_that_lie_on_each_other_are_refused(town, tmp_path):
    left, top = town.place.transform[2], town.place.transform[5]
    shapes = [
        shapely.box(left, top - 50, left + 20, top),
        shapely.box(left, top - 25, left + 60, top),
    ]
    path = tmp_path / "nested.gpkg"
    write(path, shapely.to_wkb(shapes), [], [], geometry_type="Polygon", crs="EPSG:32614",
          driver="GPKG")  # fmt: skip
    with pytest.raises(ConfigError, match="features 1 and 2 lie on each other"):
        areas(path, town.place, *town.size)


def altered_copy(folder: Path, out: Path, change) -> Path:
    """A finished map whose rasters are others: what its summary says of it changes with them."""
    shutil.copytree(folder, out)
    layers = {}
    for name in ("damage", "quality"):
        with rasterio.open(out / f"{name}.tif") as file:
            profile, layers[name] = file.profile, file.read(1)
    summary = json.loads((out / "summary.json").read_text())
    change(summary, **layers)
    for name, values in layers.items():
        (out / f"{name}.tif").unlink()
        profile = {**profile, "driver": "GTiff", "nodata": 255}
        with rasterio.open(out / f"{name}.tif", "w", **profile) as file:
            file.write(values, 1)
        summary["files"][f"{name}.tif"]["sha256"] = files.sha256(out / f"{name}.tif")
    (out / "summary.json").write_text(json.dumps(summary))
    return out


def test_why_ground_was_not_computed_is_told(town, tmp_path):
    def change(summary, damage, quality):
        damage[60:80, 0:40], quality[60:80, 0:40] = 255, 255
        summary["failed_tiles"] = [
            {"row": 60, "column": 0, "height": 20, "width": 40, "reason": "unreadable"}
        ]
        damage[80:100, 0:40], quality[80:100, 0:40] = 255, 6  # cloud before
        damage[0:20, 0:40], quality[0:20, 0:40] = 255, 1  # shadow after
        summary["quality"]["masked"] = True

    folder = altered_copy(town.folder, tmp_path / "altered", change)
    counts = count(open_map(folder), squares(town.place, *town.size, 10))
    _, geometry, table = cell_table(counts, tmp_path / "cells.gpkg")
    left, top = town.place.transform[2], town.place.transform[5]
    at = {
        (round((each.bounds[0] - left) / 10), round((top - each.bounds[3]) / 10)): number
        for number, each in enumerate(geometry)
    }
    assert table["why"][at[0, 3]] == "window failed 100%"
    assert table["why"][at[0, 4]] == "cloud 100%"
    assert table["why"][at[1, 0]] == "shadow 100%"
    assert table["share_cloud"][at[0, 4]] == table["share_masked"][at[0, 4]] == 1
    assert table["share_failed"][at[1, 3]] == 1


def test_corrections_are_counted_and_what_a_person_drew_makes_numbers(town, tmp_path):
    fids, outlines, names = buildings(town.folder)
    first, second = fids[names == "destroyed"][:2].tolist()
    before = {name: files.sha256(town.folder / name) for name in town.summary["files"]}
    with Corrections(town.folder) as corrections:
        corrections.set(first, "not-a-building", "Ana")
        corrections.set(second, "minor-damage", "Ana")
        corrections.set(int(fids[names == "destroyed"][2]), "destroyed", "Ana")
        corrections.add([(130, 10), (136, 10), (136, 16), (130, 16)], "destroyed", "Ana")
        totals = corrections.totals()
    counts = count(town, squares(town.place, *town.size, 10))
    assert dict(zip(town.mapped, counts.buildings.sum(axis=0).tolist(), strict=True)) == totals
    assert counts.corrected.sum() == 2
    drawn = int(counts.corrected[counts.status == NOT_ANALYSED].sum())
    assert drawn == 1  # in a cell without a computed pixel, which has a number now
    _, _, table = cell_table(counts, tmp_path / "cells.gpkg")
    assert np.nansum(table["buildings"]) == sum(totals.values())
    assert {name: files.sha256(town.folder / name) for name in before} == before
    assert len(outlines) == town.summary["buildings"]


def test_the_style_never_draws_what_was_not_analysed_as_undamaged():
    text = style()
    assert "WHEN \"damaged\" IS NULL THEN 'not analysed'".replace('"', "&quot;") in text
    assert "b_diagonal" in text


@pytest.mark.parametrize(
    ("side", "message"), [(0, "above 0"), (float("nan"), "above 0"), (1e-3, "larger side")]
)
def test_a_side_that_makes_no_grid_is_refused(town, side, message):
    with pytest.raises(ConfigError, match=message):
        squares(town.place, *town.size, side)
