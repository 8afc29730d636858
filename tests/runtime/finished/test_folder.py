"""What cannot be read as a finished map is told in one line that names the file."""

import json
import shutil
from pathlib import Path

import pytest

from runtime.engine import load_engine
from runtime.errors import ConfigError
from runtime.finished import open_map
from runtime.finished.buildings import buildings_of
from runtime.finished.told import lines
from runtime.mapping import map_pair
from runtime.options import MapOptions
from runtime.sheet.content import sheet_of

EXAMPLE = Path(__file__).parents[3] / "runtime" / "example"


@pytest.fixture(scope="module")
def example_map(tmp_path_factory):
    out = tmp_path_factory.mktemp("example") / "map"
    with load_engine(EXAMPLE / "engine", threads=1) as engine:
        options = MapOptions(label=EXAMPLE / "label.json")
        map_pair(engine, EXAMPLE / "pre.png", EXAMPLE / "post.png", out, options)
    return out


@pytest.fixture
def folder(example_map, tmp_path):
    return Path(shutil.copytree(example_map, tmp_path / "map"))


def change(folder, **fields):
    path = folder / "summary.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


@pytest.mark.parametrize(
    "fields",
    [
        {"classes": {}}, {"quality": {"masked": 1}}, {"height": "3"}, {"engine": {}},
        {"failed_tiles": [{"row": 1}]}, {"identity": {}}, {"files": {"damage.tif": {}}},
    ],
    ids=str,
)  # fmt: skip
def test_a_summary_that_is_not_whole_is_refused(folder, fields):
    change(folder, **fields)
    with pytest.raises(ConfigError, match=r"summary.json: .*map again"):
        open_map(folder)


@pytest.mark.parametrize("name", ["damage", "quality"])
@pytest.mark.parametrize("size", [0, 1500, 6000])
def test_a_raster_that_is_missing_or_breaks_off_is_named(folder, name, size):
    path = folder / f"{name}.tif"
    content = path.read_bytes()
    if size >= len(content):
        pytest.skip("the file is as short as that")
    path.write_bytes(content[:size]) if size else path.unlink()
    with pytest.raises(ConfigError, match=f"{name}.tif"):
        sheet_of(open_map(folder))


def test_buildings_of_another_map_are_refused(folder):
    change(folder, buildings=72)
    with pytest.raises(ConfigError, match="73 buildings, but summary.json counts 72"):
        list(buildings_of(open_map(folder)))


@pytest.mark.parametrize("content", ["{", "[]", '{"height": NaN}'])
def test_a_summary_that_is_no_object_is_refused(folder, content):
    (folder / "summary.json").write_text(content)
    with pytest.raises(ConfigError, match=r"summary.json"):
        open_map(folder)


def test_a_broken_estimate_is_named_wherever_it_is_read(folder):
    """Of another map it is none, for all who read it."""
    of = json.loads((folder / "summary.json").read_text())["files"]["buildings.gpkg"]["sha256"]
    (folder / "estimate.json").write_text(json.dumps({"map_sha256": "of another"}))
    assert open_map(folder).estimate is None
    assert lines(folder) == []
    (folder / "estimate.json").write_text(json.dumps({"map_sha256": of}))
    with pytest.raises(ConfigError, match=r"estimate.json: checked is missing; make it again with"):
        open_map(folder)
    (line,) = lines(folder)
    assert "the estimate is not told" in line
    assert "estimate.json: checked is missing" in line
