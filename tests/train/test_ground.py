"""The ground size of a pixel, by footprints in pixels and in degrees."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from train.ground import pixel_m
from train.synthetic.labels import PIXEL
from train.xbd import find_tiles


def _labels(root: Path, split: str) -> list[Path]:
    return [tile.labels[0] for tile in find_tiles(root, split)]


def test_synthetic_tiles_have_the_size_they_were_drawn_at(synthetic: Path) -> None:
    found = [pixel_m(label) for label in _labels(synthetic, "train")]
    known = [each for each in found if each is not None]
    assert len(known) > len(found) / 2
    # They were laid on a sphere: up to 0.7 % off in the tropics.
    assert known == pytest.approx([PIXEL] * len(known), rel=0.007)


def test_real_tiles_agree_with_their_georeference(xbd_sample: Path) -> None:
    pytest.importorskip("rasterio")
    from runtime.errors import DataError
    from runtime.source.xbd_label import georeference_of

    compared = 0
    for label in _labels(xbd_sample, "train"):
        try:
            across, down = georeference_of(label).pixel_m(1024, 1024)
        except DataError:  # too few footprints to place the tile
            continue
        assert pixel_m(label) == pytest.approx((across * down) ** 0.5, rel=0.002)
        compared += 1
    assert compared > 4


@pytest.mark.parametrize(
    "features",
    [
        {"xy": [], "lng_lat": []},
        {"xy": []},
        {"xy": [{"properties": {"uid": "a"}, "wkt": "POLYGON ((0 0, 9 0, 9 9, 0 0))"}],
         "lng_lat": [{"properties": {"uid": "a"}, "wkt": "POLYGON ((1 1, 1 1, 1 1, 1 1))"}]},
        {"xy": [{"properties": {"uid": "a"}, "wkt": "POLYGON ((0 0, 9 0, 9 9, 0 0))"}],
         "lng_lat": [{"properties": {"uid": "b"}, "wkt": "POLYGON ((1 1, 2 1, 2 2, 1 1))"}]},
        {"xy": [{"properties": {}, "wkt": "POLYGON"}], "lng_lat": 5},
    ],
)  # fmt: skip
def test_a_label_that_does_not_tell_says_nothing(features: dict, tmp_path: Path) -> None:
    path = tmp_path / "label.json"
    path.write_text(json.dumps({"features": features, "metadata": {"gsd": 2.2}}))
    assert pixel_m(path) is None
