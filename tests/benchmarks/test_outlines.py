"""Both forms of outlines are compared on the same masks; what they cost is of processes alone."""

import json

import numpy as np
import pytest
import shapely

from benchmarks import outlines
from runtime.errors import ConfigError


def test_each_row_compares_both_ways(capsys):
    outlines.main(outlines.parser().parse_args(["--tiles", "1", "--json"]))
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["name"] for row in rows] == [f"rows, gap {gap} px" for gap in outlines.GAPS]
    for row in rows:
        raw, straight = row["raw"], row["straight"]
        assert raw["f1"] < straight["f1"]
        assert straight["corners"] < raw["corners"] / 2
        assert straight["invalid"] == straight["overlapping"] == 0
        assert straight["area"] == pytest.approx(1, abs=0.01)
        assert raw["area"] == 1
    assert len(outlines.table(rows).splitlines()) == 1 + len(rows)


def test_a_building_is_matched_by_more_than_half():
    true = np.array([shapely.box(0, 0, 10, 10), shapely.box(20, 0, 30, 10)], object)
    found = np.array([shapely.box(0, 0, 10, 6), shapely.box(20, 0, 30, 5)], object)
    assert outlines.matches(found, true) == 1


def test_the_cost_is_of_the_number_of_buildings():
    row = outlines.cost(200, "raw")
    assert row["buildings"] == pytest.approx(200, rel=0.5)
    assert row["seconds_per_100000"] > 0


def test_a_way_without_a_count_is_refused():
    with pytest.raises(ConfigError, match="--way: expected with --count"):
        outlines.main(outlines.parser().parse_args(["--way", "raw"]))
