"""A finished map of half metres, with ground that no image knows and corrections."""

import shutil

import pytest

from runtime.corrections import Corrections
from runtime.engine import load_engine
from runtime.finished import open_map
from runtime.mapping import map_pair
from runtime.options import MapOptions

HOLE = slice(0, 60), slice(100, 170)


@pytest.fixture(scope="session")
def delivered_town(make_engine, draw, write_raster, tmp_path_factory):
    folder = tmp_path_factory.mktemp("town")
    images = []
    for name, image in zip(("pre", "post"), draw(100, 170), strict=True):
        image[HOLE] = 0
        images.append(write_raster(folder / f"{name}.tif", image, nodata=0))
    with load_engine(make_engine(folder / "engine"), threads=1) as engine:
        map_pair(engine, *images, folder / "town", MapOptions())
    return folder / "town"


@pytest.fixture
def town(delivered_town, tmp_path):
    return open_map(shutil.copytree(delivered_town, tmp_path / "town"))


@pytest.fixture
def corrected(town):
    """One false alarm, one of another class, one found right, one un-classified and one drawn;
    [number of the feature, class] of each."""
    with Corrections(town.folder) as corrections:
        by_class = {}
        for each in corrections.buildings():
            by_class.setdefault(each.damage_class, []).append(each.id)
        destroyed = by_class["destroyed"]
        said = [
            (destroyed[0], "not-a-building"),
            (destroyed[1], "no-damage"),
            (destroyed[2], "destroyed"),
            (destroyed[3], "un-classified"),
        ]
        for number, name in said:
            corrections.set(number, name, "Ana Example")
        corrections.add([(130, 10), (136, 10), (136, 16), (130, 16)], "major-damage", "Ana Example")
    return said
