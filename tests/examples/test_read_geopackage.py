import json

import numpy as np
import pytest


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """Squares of ten metres in a row, by pyogrio as maps are written."""
    raw, shapely = pytest.importorskip("pyogrio.raw"), pytest.importorskip("shapely")
    left = 500_000 + 100 * np.arange(4)
    squares = shapely.box(left, 3_300_000, left + 10, 3_300_010)
    path = tmp_path_factory.mktemp("map") / "what? 100 %.gpkg"
    raw.write(
        str(path), geometry=shapely.to_wkb(squares), geometry_type="Polygon", driver="GPKG",
        layer="buildings", crs="EPSG:32614", layer_options={"GEOMETRY_NAME": "geom"},
        fields=np.array(["damage", "damage_class", "confidence", "area_m2"], object),
        field_data=[
            np.array(["destroyed", "no-damage", "destroyed", "destroyed"], object),
            np.array([4, 1, 4, 4], np.int16), np.array([0.9, 0.8, 0.7, 0.6]), np.full(4, 100.0),
        ],
    )  # fmt: skip
    return path


def test_counts_and_areas_by_class(example, package) -> None:
    result = example("read_geopackage", package)
    assert result.returncode == 0, result.stderr
    content = json.loads(result.stdout)
    assert content["crs"] == "EPSG:32614"
    assert content["classes"] == [
        {"damage": "no-damage", "buildings": 1, "area_m2": 100.0},
        {"damage": "destroyed", "buildings": 3, "area_m2": 300.0},
    ]
    assert [each["fid"] for each in content["destroyed"]] == [1, 3, 4]


def test_destroyed_buildings_of_a_box(example, package) -> None:
    box = (500_150, 3_299_000, 500_250, 3_301_000)
    result = example("read_geopackage", package, "--box", *box)
    (found,) = json.loads(result.stdout)["destroyed"]
    assert (found["fid"], found["confidence"]) == (3, 0.7)
    assert found["minx"] == pytest.approx(500_200, abs=0.1)  # the index holds 32-bit numbers


def test_a_real_map_is_read(example, engine_folder, towns, command, tmp_path) -> None:
    rasterio = pytest.importorskip("rasterio")
    files = []
    for when, image in zip(("pre", "post"), towns["first"][2:], strict=True):
        files.append(tmp_path / f"{when}.tif")
        with rasterio.open(
            files[-1], "w", driver="GTiff", height=96, width=96, count=3, dtype="uint8",
            crs="EPSG:32614", transform=rasterio.Affine(0.5, 0, 5e5, 0, -0.5, 3.3e6),
            photometric="RGB",
        ) as file:  # fmt: skip
            file.write(np.moveaxis(image, 2, 0))
    out = tmp_path / "map"
    mapped = command("runtime.predict", "--engine", engine_folder, *files, "--out", out)
    assert mapped.returncode == 0, mapped.stderr
    result = example("read_geopackage", out / "buildings.gpkg")
    assert result.returncode == 0, result.stderr
    found = {each["damage"]: each["buildings"] for each in json.loads(result.stdout)["classes"]}
    classes = json.loads((out / "summary.json").read_text())["classes"]
    counts = {name: row["buildings"] for name, row in classes.items()}
    assert found == {name: count for name, count in counts.items() if count}
    assert found


def test_what_is_no_geopackage_is_one_line(example, tmp_path) -> None:
    (tmp_path / "a.gpkg").write_text("text")
    for name in ("a.gpkg", "absent.gpkg"):
        result = example("read_geopackage", tmp_path / name)
        assert result.returncode == 1
        assert f"{name}: no GeoPackage of buildings" in result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "absent.gpkg").exists()
