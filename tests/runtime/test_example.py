"""The first map: the pair and the engine that come with the package."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from shapely import wkt

from runtime import example
from runtime.damage import CLASS_NAMES
from runtime.example import __main__ as command
from runtime.manifest import Manifest

REPOSITORY = Path(__file__).parents[2]
FOLDER = Path(example.__file__).parent
FILES = {
    "README.md", "label.json", "pre.png", "post.png",
    "engine/README.md", "engine/manifest.json", "engine/model.onnx",
}  # fmt: skip
MOST_BYTES = 3_000_000


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The command in this process, with the extra `raster` or as if without."""

    def call(out=tmp_path / "out", placed=False):
        monkeypatch.setattr(command, "raster_installed", lambda: placed)
        command.main(command.parser().parse_args(["--out", str(out)]))
        return out

    return call


def truth():
    """Class and outline, int32 [N, 2] xy, of every building that was drawn after the disaster."""
    label = json.loads((FOLDER / "label.json").read_text())
    for each in label["features"]["xy"]:
        if (name := each["properties"]["subtype"]) in CLASS_NAMES:
            outline = np.asarray(wkt.loads(each["wkt"]).exterior.coords)
            yield CLASS_NAMES.index(name), np.rint(outline).astype(np.int32)


def test_the_map_agrees_with_what_was_drawn(run):
    damage = cv2.imread(str(run() / "damage.png"), cv2.IMREAD_UNCHANGED)
    right = {value: [] for value in range(1, len(CLASS_NAMES))}
    drawn = np.zeros_like(damage)
    for value, outline in truth():
        inside = np.zeros_like(damage)
        cv2.fillPoly(inside, [outline], 1)
        drawn |= inside
        votes = np.bincount(damage[inside > 0], minlength=len(CLASS_NAMES))
        right[value].append(votes[1:].any() and 1 + votes[1:].argmax() == value)
    shares = {CLASS_NAMES[value]: np.mean(each) for value, each in right.items()}
    assert all(len(each) >= 5 for each in right.values())
    assert min(shares.values()) > 0.5, shares
    assert np.mean([each for values in right.values() for each in values]) > 0.75, shares
    overlap = ((damage > 0) & (drawn > 0)).sum() / ((damage > 0) | (drawn > 0)).sum()
    assert overlap > 0.6


def test_it_says_where_the_map_is_and_what_comes_next(run, capsys):
    out = run()
    text = capsys.readouterr().out
    assert re.search(r"^destroyed +\d+ +\d+$", text, re.MULTILINE)
    assert f"open first  {out / 'overlay.png'}" in text
    assert (out / "overlay.png").is_file()
    assert "no use for a real town" in text
    assert text.endswith("-m runtime.predict --engine ENGINE BEFORE AFTER --out MAP\n")


def test_with_the_raster_extra_the_map_lies_where_the_label_says(run, capsys):
    rasterio = pytest.importorskip("rasterio")
    out = run(placed=True)
    assert "in QGIS" in capsys.readouterr().out
    assert (out / "buildings.gpkg").is_file()
    label = json.loads((FOLDER / "label.json").read_text())
    place, pixels = (label["features"][kind][0]["wkt"] for kind in ("lng_lat", "xy"))
    with rasterio.open(out / "damage.tif") as damage:
        (x, y), (column, row) = (wkt.loads(each).exterior.coords[0] for each in (place, pixels))
        assert damage.crs.to_epsg() == 4326
        np.testing.assert_allclose(~damage.transform @ (x, y), (column, row), atol=0.5)


def test_a_second_run_replaces_the_map_and_keeps_a_persons_own_files(run):
    out = run(placed=True)
    (out / "notes.txt").write_text("mine")
    run()
    names = {path.name for path in out.iterdir()}
    assert "damage.png" in names
    assert "notes.txt" in names
    assert not [name for name in names if name.endswith((".tif", ".gpkg"))]


def test_work_that_was_interrupted_is_begun_anew(run):
    out = run()
    (out / ".unfinished").mkdir()
    (out / ".unfinished" / "journal.json").write_text("{}")
    run()
    assert not (out / ".unfinished").exists()


def test_a_folder_of_other_files_and_a_file_are_refused(python, tmp_path):
    (tmp_path / "precious").write_text("mine")
    for out, reason in ((tmp_path, "holds other files"), (tmp_path / "precious", "is a file")):
        result = python("-m", "runtime.example", "--out", out)
        assert result.returncode == 2
        assert result.stdout == ""
        assert result.stderr.startswith(f"error: --out {out}: {reason}")
        assert len(result.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_it_is_small_and_whole():
    found = {
        path for path in FOLDER.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert {path.relative_to(FOLDER).as_posix() for path in found} == FILES
    assert sum(path.stat().st_size for path in found) < MOST_BYTES


def test_the_engine_is_proved_and_opens_on_the_oldest_onnxruntime():
    manifest = Manifest.read(command.ENGINE)
    manifest.check_payload(command.ENGINE)
    assert manifest.verification["status"] == "ran"
    assert manifest.verification["parity"]["label_agreement"] >= 0.9999
    model = onnx.load(command.ENGINE / "model.onnx")
    assert model.ir_version <= 9  # ONNX Runtime 1.16
    assert {each.domain: each.version for each in model.opset_import} == {"": 19}


def test_nothing_tells_of_the_machine_that_made_it():
    for name in FILES:
        content = (FOLDER / name).read_bytes()
        assert not re.search(rb"/(home|root|tmp|work|Users|mnt)/", content), name


def test_a_wheel_holds_all_of_it(tmp_path):
    pytest.importorskip("setuptools", minversion="70.1")  # makes wheels by itself
    code = """
import os, shutil, sys
from pathlib import Path
source, out = map(Path, sys.argv[1:])
for name in ("pyproject.toml", "README.md", "LICENSE"):
    shutil.copy(source / name, out)
shutil.copytree(source / "runtime", out / "runtime", ignore=shutil.ignore_patterns("__pycache__"))
os.chdir(out)
from setuptools.build_meta import build_wheel
print(build_wheel("."))
"""
    made = subprocess.run(
        [sys.executable, "-c", code, REPOSITORY, tmp_path], capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    wheel = tmp_path / made.stdout.splitlines()[-1]
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"runtime/example/{name}" for name in FILES} <= set(names)
    assert "runtime/example/__main__.py" in names
