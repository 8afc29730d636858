"""What known footprints and wide scenes cost is measured by the real command on real files."""

import json

import pytest

from benchmarks import known_windows, reading
from runtime.errors import ConfigError
from runtime.scene.windows import window_rows


@pytest.fixture(scope="module")
def engine_folder(make_engine, tmp_path_factory):
    pytest.importorskip("rasterio")
    return make_engine(tmp_path_factory.mktemp("known") / "engine")


def test_footprints_lie_in_the_share_of_windows_that_is_asked_for(engine_folder, capsys):
    line = ["--engine", str(engine_folder), "--size", "200", "--share", "0.25", "--alone", "--json"]
    known_windows.main(known_windows.parser().parse_args(line))
    (row,) = json.loads(capsys.readouterr().out)["shares"]
    assert row["windows_computed"] == round(0.25 * row["windows"])
    assert row["footprints"] == known_windows.HOUSES * row["windows_computed"]
    assert row["whole_seconds"] is row["ratio"] is None
    assert known_windows.table([row]).splitlines()[1].split()[6:8] == ["-", "-"]


def test_a_share_that_is_none_is_refused(engine_folder):
    line = ["--engine", str(engine_folder), "--share", "0"]
    with pytest.raises(ConfigError, match=r"--share 0\.0: expected above 0"):
        known_windows.main(known_windows.parser().parse_args(line))


def test_windows_of_wide_scenes_are_read_with_either_cache(capsys):
    reading.main(reading.parser().parse_args(["--width", "700", "--window", "64", "--json"]))
    (row,) = json.loads(capsys.readouterr().out)
    height = 32 * (reading.ROWS - 1) + 64
    assert row["windows"] == window_rows((height, 700), (64, 64), 16).count
    assert row["ratio"] == pytest.approx(row["least_ms"] / row["by_width_ms"])
    assert str(row["windows"]) in reading.table([row])
