"""Many footprints are timed by the real command on real files."""

import json

import pytest

from benchmarks import many_footprints
from runtime.errors import ConfigError


def test_the_command_is_timed_with_and_without_them(make_engine, tmp_path, capsys):
    pytest.importorskip("rasterio")
    engine = make_engine(tmp_path / "engine")
    line = ["--engine", str(engine), "--size", "200", "--count", "50", "--json"]
    many_footprints.main(many_footprints.parser().parse_args(line))
    record = json.loads(capsys.readouterr().out)
    assert record["graded"]["buildings"] == record["footprints"] == 50
    assert record["alone"]["windows_computed"] == record["graded"]["windows_computed"]
    assert record["layer_ratio"] > 0
    assert len(many_footprints.table(record).splitlines()) == 6


@pytest.mark.parametrize("option", [("--count", "0"), ("--size", "9")])
def test_what_cannot_be_made_is_refused(tmp_path, option):
    line = ["--engine", str(tmp_path), *option]
    with pytest.raises(ConfigError, match=f"{option[0]} {option[1]}: expected"):
        many_footprints.main(many_footprints.parser().parse_args(line))
