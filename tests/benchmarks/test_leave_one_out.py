"""Leaving one disaster out: trained without it, scored on it, nothing done twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.leave_one_out import COLUMNS, RECORD, average, disasters, rows, score, table
from runtime.errors import ConfigError, DataError
from runtime.score import Counts
from train.checkpoint import load_checkpoint, save_checkpoint
from train.config_file import load_config
from train.evaluate import score_tiles
from train.xbd import find_tiles

QUICK = """
model: {width: 4, stem_width: 8, bottlenecks: 1, modules: [1, 1, 1], blocks: 1, projection: 16,
  head_widths: [16, 8]}
data: {crop: 64, workers: 0}
schedule: [{epochs: 1, rate: 0.001}]
optim: {batch_size: 2}
"""


def _counts(hits: tuple[int, ...], missed: int = 1) -> Counts:
    """Of each class so many pixels are right, and `missed` are not found where it is there."""
    confusion = np.zeros((5, 5), np.int64)
    for value, count in enumerate(hits, 1):
        confusion[value, value], confusion[value, 0] = count, missed * (count > 0)
    return Counts(np.array([sum(hits), 0, missed]), confusion)


def test_a_class_that_a_disaster_lacks_is_in_no_mean() -> None:
    counted = {"fire": [_counts((9, 0, 0, 4))], "flood": [_counts((3, 5, 7, 0))]}
    seen = [dict.fromkeys(COLUMNS, 0.5), dict.fromkeys(COLUMNS, 0.7)]
    found = rows(counted, seen)
    assert list(found) == ["fire", "flood", "mean", "together", "seen"]
    assert found["fire"]["minor-damage"] is None
    assert found["mean"]["minor-damage"] == found["flood"]["minor-damage"] == 10 / 11
    assert found["mean"]["no-damage"] == pytest.approx((18 / 19 + 6 / 7) / 2)
    assert found["seen"]["score"] == pytest.approx(0.6)
    whole = counted["fire"][0] + counted["flood"][0]
    assert found["together"]["score"] == whole.score
    assert found["together"]["score"] > 0.8 > found["mean"]["score"]  # no class is absent there
    shown = table(found, {"fire": 2, "flood": 3}).splitlines()
    assert [line.split()[:2] for line in shown[1:6]] == [
        ["fire", "2"], ["flood", "3"], ["mean", f"{found['mean']['score']:.3f}"],
        ["together", "5"], ["seen", "0.600"],
    ]  # fmt: skip
    assert shown[1].split()[-3:] == ["-", "-", f"{8 / 9:.3f}"]
    assert shown[-1].startswith("- not in the truth")


def test_a_figure_that_no_row_has_stays_out() -> None:
    nothing = dict.fromkeys(COLUMNS)
    assert average([nothing, nothing]) == nothing


def test_a_score_is_kept_until_the_weights_or_the_tiles_change(
    synthetic: Path, small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiles = find_tiles(synthetic, "test")
    checkpoint = load_checkpoint(small_checkpoint)
    save_checkpoint(tmp_path / "last.pt", checkpoint)
    first = score(tmp_path, tiles)
    expected = score_tiles(checkpoint.network(), tiles)
    assert first.as_dict() == expected.as_dict()
    monkeypatch.setattr("train.evaluate.score_tiles", lambda *_: pytest.fail("scored again"))
    assert score(tmp_path, tiles).as_dict() == expected.as_dict()
    with pytest.raises(pytest.fail.Exception, match="scored again"):
        score(tmp_path, tiles[:1])
    save_checkpoint(tmp_path / "last.pt", replace(checkpoint, epoch=5))
    with pytest.raises(pytest.fail.Exception, match="scored again"):
        score(tmp_path, tiles)


def test_what_is_to_be_left_out_is_checked_before_anything_is_trained(
    synthetic: Path, tmp_path: Path
) -> None:
    (tmp_path / "quick.yaml").write_text(QUICK)
    config = load_config(tmp_path / "quick.yaml", ["data.val_split=test"])
    every = disasters(synthetic, config, None)
    tiles = find_tiles(synthetic, "train")
    assert sum(map(len, every.values())) == len(tiles)
    assert list(every) == sorted({tile.disaster for tile in tiles})
    with pytest.raises(ConfigError, match=r"--disasters atlantis: no tile .*found: synthetic-"):
        disasters(synthetic, config, ["atlantis"])
    tested = sorted({tile.disaster for tile in find_tiles(synthetic, "test")})
    more = json.dumps(tested[1:])
    one_tested = load_config(
        tmp_path / "quick.yaml", ["data.val_split=test", f"data.leave_out={more}"]
    )
    with pytest.raises(DataError, match="split test: holds no tile but of"):
        disasters(synthetic, one_tested, tested[:1])


@pytest.mark.slow
def test_each_disaster_is_left_out_in_turn(
    synthetic: Path, tmp_path: Path, command: Callable
) -> None:
    config = tmp_path / "quick.yaml"
    config.write_text(QUICK)
    names = sorted({tile.disaster for tile in find_tiles(synthetic, "train")})[:2]
    line = ["--config", config, "--data", synthetic, "--out", tmp_path / "runs", "--json"]
    line += ["--disasters", *names, "--seeds", 3]
    result = command("benchmarks.leave_one_out", "data.val_share=0.3", *line)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert list(found) == [*names, "mean", "together", "seen"]
    for name in names:
        run = tmp_path / "runs" / name / "seed-3"
        last = load_checkpoint(run / "last.pt")
        assert last.data.left_out == (name,)
        tiles = [tile for tile in find_tiles(synthetic, "train") if tile.disaster == name]
        counts = score_tiles(last.network(), tiles)
        assert found[name]["score"] == counts.score
        assert (run / RECORD).exists()
    before = (tmp_path / "runs" / names[0] / "seed-3" / "last.pt").stat().st_mtime_ns
    again = command("benchmarks.leave_one_out", "data.val_share=0.3", *line)
    assert json.loads(again.stdout) == found
    assert (tmp_path / "runs" / names[0] / "seed-3" / "last.pt").stat().st_mtime_ns == before
