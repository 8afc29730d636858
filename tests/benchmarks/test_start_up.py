"""The start-up benchmark: its set is usable, and it measures what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import start_up
from benchmarks.child import STATUS
from runtime.errors import ConfigError
from train.xbd import find_tiles

pytestmark = pytest.mark.skipif(not STATUS.exists(), reason="memory is measured on Linux")


def test_the_set_is_one_to_train_on(tmp_path: Path) -> None:
    start_up.make_set(tmp_path, 5, 64)
    for split, count in (("train", 5), ("test", 8)):
        tiles = find_tiles(tmp_path, split)
        assert len(tiles) == count
        for tile in tiles:
            tile.targets(*tile.images()[0].shape[:2])


@pytest.mark.slow
def test_each_start_is_measured(python: Callable) -> None:
    result = python("-m", "benchmarks.start_up", "--tiles", 8, "--size", 64, "--json")
    assert result.returncode == 0, result.stderr
    record = json.loads(result.stdout)
    starts = record["starts"]
    assert [each["tiles"] for each in starts] == [8, 8, 4, 4]
    for each in starts:
        assert each["seconds"] > 0
        assert each["cpu_seconds"] > 0
        assert 0 < each["own_bytes"] < each["resident_bytes"]


def test_too_few_tiles_are_refused() -> None:
    args = start_up.parser().parse_args(["--tiles", "3"])
    with pytest.raises(ConfigError, match="two tiles for each"):
        start_up.main(args)


def test_help_needs_no_heavy_import(python: Callable) -> None:
    code = (
        "import sys, benchmarks.start_up as s; s.parser().format_help();"
        "assert not {'cv2', 'numpy', 'torch'} & set(sys.modules)"
    )
    result = python("-c", code)
    assert result.returncode == 0, result.stderr
