"""Comparing choices in training: every line trained, means taken, nothing done twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.training import average, variants
from runtime.errors import ConfigError
from train.checkpoint import load_checkpoint

QUICK = """
model: {width: 4, stem_width: 8, bottlenecks: 1, modules: [1, 1, 1], blocks: 1, projection: 16,
  head_widths: [16, 8]}
data: {crop: 64, workers: 0}
schedule: [{epochs: 1, rate: 0.001}]
"""


@pytest.mark.slow
def test_variants_are_compared_over_seeds(
    synthetic: Path, tmp_path: Path, command: Callable
) -> None:
    config = tmp_path / "quick.yaml"
    config.write_text(QUICK)
    line = ["--config", config, "--data", synthetic, "--out", tmp_path / "runs", "--json"]
    line += ["--variant", "averaged optim.ema=0.9", "--seeds", 0, 1]
    result = command("benchmarks.training", *line)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert list(found) == ["quick", "quick-averaged"]
    run = tmp_path / "runs" / "quick-averaged"
    checkpoints = [load_checkpoint(run / f"seed-{seed}" / "last.pt") for seed in (0, 1)]
    assert [c.config["seed"] for c in checkpoints] == [0, 1]
    assert all(c.config["optim"]["ema"] == 0.9 for c in checkpoints)
    scores = [c.metrics["score"] for c in checkpoints]
    assert found["quick-averaged"]["scores"] == scores
    assert found["quick-averaged"]["score"] == pytest.approx(sum(scores) / 2)

    before = (run / "seed-0" / "last.pt").stat().st_mtime_ns
    again = command("benchmarks.training", *line[:-3])
    assert again.returncode == 0, again.stderr
    assert (run / "seed-0" / "last.pt").stat().st_mtime_ns == before


def test_lines_share_overrides_and_add_their_own() -> None:
    plain, changed = variants([Path("a.yaml")], ["b 'loss.damage={focal: 1}' seed=2"], ["seed=1"])
    assert (plain.name, plain.overrides) == ("a", ("seed=1",))
    assert changed.name == "a-b"
    assert changed.overrides == ("seed=1", "loss.damage={focal: 1}", "seed=2")


def test_a_name_stands_for_one_line() -> None:
    with pytest.raises(ConfigError, match="a: named twice"):
        variants([Path("x/a.yaml"), Path("y/a.yaml")], [], [])


@pytest.mark.parametrize(
    ("variant", "message"),
    [("x optim.ema=2", "optim.ema"), ("x data.val_split=hold", "hold/images: no such folder")],
)
def test_a_fault_of_the_last_line_is_found_before_the_first_is_trained(
    synthetic: Path, tmp_path: Path, error_line: Callable, variant: str, message: str
) -> None:
    (tmp_path / "quick.yaml").write_text(QUICK)
    line = ("--config", tmp_path / "quick.yaml", "--data", synthetic, "--out", tmp_path / "runs")
    assert message in error_line("benchmarks.training", *line, "--variant", variant)
    assert not (tmp_path / "runs").exists()


def test_means_are_over_the_seeds() -> None:
    found = average([{"score": 0.1, "damage_f1": 0.0}, {"score": 0.3, "damage_f1": 0.5}])
    assert found["score"] == pytest.approx(0.2)
    assert found["damage_f1"] == pytest.approx(0.25)
    assert found["scores"] == [0.1, 0.3]
