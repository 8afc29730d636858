"""The benchmark of gates: its scenes have the buildings that it says, and it counts them."""

from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
import shapely

from benchmarks import window_gate


@pytest.fixture
def engine():
    """The size of an engine is all that a scene depends on."""
    model = SimpleNamespace(reach_px=None)
    return SimpleNamespace(height=256, width=256, manifest=SimpleNamespace(model=model))


@pytest.mark.parametrize(("empty", "built"), [(0, 6), (0.39, 4), (0.8, 1), (1, 0)])
def test_buildings_lie_in_that_share_of_the_windows_alone(engine, tmp_path, empty, built):
    made = window_gate.make_scene(tmp_path, engine, 2, 3, empty)
    assert (made.windows, made.built) == (6, built)
    with rasterio.open(tmp_path / "pre.tif") as file:
        height, width = file.shape
    windows = [w for row in window_gate.windows_of(engine, height, width) for w in row]
    assert len(windows) == 6
    seen = set()
    for ring in made.buildings:
        outline = shapely.Polygon(ring).buffer(0)
        where = [
            number for number, window in enumerate(windows)
            if shapely.box(window.column.begin - 32, window.row.begin - 32,
                           window.column.end + 32, window.row.end + 32).intersects(outline)
        ]  # fmt: skip
        assert len(where) == 1
        seen.update(where)
    assert len(seen) == built


def test_a_building_is_missed_when_more_than_half_of_it_is_skipped():
    squares = [np.array([(x, 0), (x + 10, 0), (x + 10, 10), (x, 10)]) for x in (0, 14, 16, 40)]
    skipped = [[0, 0, 20, 20, 1], [0, 44, 10, 10, 1]]
    assert window_gate.missed(squares, skipped) == 3
    assert window_gate.missed(squares, []) == 0
    assert window_gate.missed([], skipped) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--empty", "1.5"), "expected shares, 0 to 1"),
        (("--turns", "0"), "expected 1 or more"),
        ((), "has no gate; build it with --gate CKPT"),
    ],
)
def test_what_cannot_be_measured_is_one_line(error_line, arguments, message):
    line = error_line("benchmarks.window_gate", "--engine", "runtime/example/engine", *arguments)
    assert message in line
