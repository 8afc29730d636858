"""Data of another GDAL or PROJ, as QGIS, conda and PostGIS put it into the environment."""

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

rasterio = pytest.importorskip("rasterio")
OWN = Path(rasterio.__file__).parent / "proj_data" / "proj.db"

needs_own = pytest.mark.skipif(not OWN.exists(), reason="rasterio without data of its own")


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """A folder with the proj.db of an older PROJ."""
    folder = tmp_path_factory.mktemp("foreign")
    shutil.copy(OWN, folder / "proj.db")
    with sqlite3.connect(folder / "proj.db") as database:
        database.execute(
            "UPDATE metadata SET value = '0' WHERE key = 'DATABASE.LAYOUT.VERSION.MINOR'"
        )
    (folder / "gdal_broken.so").write_text("no library")
    return folder


@needs_own
@pytest.mark.parametrize("name", ["PROJ_LIB", "PROJ_DATA", "GDAL_DATA", "GDAL_DRIVER_PATH"])
@pytest.mark.parametrize("kind", ["older", "empty"])
def test_another_installation_does_not_matter(
    scene, engine_folder, tmp_path, foreign, python, name, kind
):
    pre, post, *_ = scene(40, 60)
    (tmp_path / "empty").mkdir()
    other = foreign if kind == "older" else tmp_path / "empty"
    line = ("-m", "runtime.predict", "--engine", engine_folder, pre, post, "--threads", "1")
    done = python(*line, "--out", tmp_path / "out", env={**os.environ, name: str(other)})
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "ERROR" not in done.stderr
    plain = python(*line, "--out", tmp_path / "plain")
    assert plain.returncode == 0
    for file in ("damage.tif", "buildings.gpkg", "buildings.geojson"):
        assert (tmp_path / "out" / file).read_bytes() == (tmp_path / "plain" / file).read_bytes()


def test_a_rasterio_of_the_system_keeps_what_is_set(tmp_path, python):
    """Its data lie elsewhere, and the variable may be how they are found."""
    (tmp_path / "rasterio").mkdir()
    (tmp_path / "rasterio" / "__init__.py").write_text("")
    code = "import os, runtime.libraries; print(os.environ['PROJ_DATA'])"
    path = os.pathsep.join([str(tmp_path), str(Path.cwd())])
    done = python("-c", code, env={**os.environ, "PYTHONPATH": path, "PROJ_DATA": "/its/own"})
    assert done.stdout.strip() == "/its/own", done.stderr
