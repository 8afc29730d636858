"""The command: a checkpoint like any other comes out, or nothing does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from runtime.damage import CLASS_NAMES
from runtime.files import sha256
from runtime.source.pair import open_pair
from tests.train.adaptation.conftest import (
    CRS,
    box,
    damage,
    edited,
    place,
    rasters,
    written_map,
)
from train.adaptation.windows import sample
from train.checkpoint import load_checkpoint
from train.inference import predict_maps
from train.model.inference_form import inference_form

__all__ = ["damage", "edited", "place", "rasters", "written_map"]

RUN = ("--window", "64", "--sample", "6", "--device", "cpu")


def test_statistics_alone_change_no_weight(
    command: Callable, rasters: tuple[Path, Path], small_checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "adapted.pt"
    result = command("train.adapt", "--checkpoint", small_checkpoint, *rasters, "--out", out, *RUN)
    assert result.returncode == 0, result.stderr
    assert "whether that is better is not measured" in result.stdout
    before, after = load_checkpoint(small_checkpoint), load_checkpoint(out)
    assert after.model == before.model
    for name, old in before.model_state.items():
        assert torch.equal(old, after.model_state[name]) != ("running" in name)
    record = after.metrics["adapted"]
    assert record["sha256"] == sha256(small_checkpoint)
    assert (record["method"], record["corrections"]) == ("statistics", 0)
    inference_form(after.network())  # what every export begins with


def test_corrections_come_out_of_the_record_with_scores_before_and_after(
    command: Callable, rasters: tuple[Path, Path], small_checkpoint: Path, edited: Callable,
    written_map: Path, tmp_path: Path,
) -> None:  # fmt: skip
    def change(rows: dict) -> None:
        rows["checked"] = np.array(["yes"] * 5, object)

    out = tmp_path / "adapted.pt"
    result = command(
        "train.adapt", "--checkpoint", small_checkpoint, *rasters, "--corrections", edited(change),
        "--map", written_map, "--out", out, "--steps", "1", "--rate", "1e-12", "--prior", "inf",
        "--method", "heads", "--json", *RUN,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "5 corrections (5 checked): 2 no-damage, 1 minor-damage" in result.stderr
    record = json.loads(result.stdout)
    assert load_checkpoint(out).metrics == {"adapted": record}
    left_out = record["left_out"]
    assert left_out["folds"] == 5
    assert left_out["before"]["buildings"] == left_out["after"]["buildings"] == 5
    assert left_out["after"] == left_out["before"]  # such a rate changes nothing
    load_checkpoint(out).network()


def test_weights_that_do_worse_on_what_was_left_out_are_not_written(
    error_line: Callable, rasters: tuple[Path, Path], small_checkpoint: Path, tmp_path: Path
) -> None:
    """What is predicted is confirmed, so nothing can be better; such a rate destroys."""
    import pyogrio.raw
    import shapely

    network = load_checkpoint(small_checkpoint).network()
    with open_pair(*rasters) as pair:
        (patch,) = sample(pair, 224, 1, seed=0)
    maps = predict_maps(network, patch.pre, patch.post)
    places = [(20, 20), (20, 150), (100, 30), (100, 160)]
    seen = [int(np.bincount(maps[0][y : y + 30, x : x + 30].ravel()).argmax()) for y, x in places]
    names = [CLASS_NAMES[each] for each in seen]
    checked = tmp_path / "checked.gpkg"
    pyogrio.raw.write(
        str(checked), geometry=shapely.to_wkb([box(y, x, y + 30, x + 30) for y, x in places]),
        geometry_type="Polygon", crs=CRS, field_data=[np.array(names, object)],
        fields=np.array(["corrected"], object), driver="GPKG",
    )  # fmt: skip
    out = tmp_path / "adapted.pt"
    line = error_line(
        "train.adapt", "--checkpoint", small_checkpoint, *rasters, "--corrections", checked,
        "--out", out, "--steps", "3", "--rate", "1", "--prior", "inf", "--method", "heads",
        "--window", "224", "--sample", "1",
    )  # fmt: skip
    assert f"{out}: not written; on 4 corrections that were left out" in line
    assert "fell from" in line
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--map", "x.gpkg"), "--map: says what --corrections changed"),
        (("--prior", "-1"), "--prior -1.0: expected 0 or more"),
        (("--prior", "inf"), "without --corrections nothing would be adapted"),
        (("--prior", "nan"), "--prior nan"),
        (("--steps", "0"), "--steps 0: expected 1 or more"),
        (("--rate", "0"), "--rate 0.0: expected above 0"),
        (("--window", "100"), "--window 100: expected a multiple of 32"),
        (("--corrections", "none.gpkg"), "none.gpkg: does not exist"),
    ],
)
def test_bad_options_are_one_line(
    error_line: Callable, rasters: tuple[Path, Path], small_checkpoint: Path, tmp_path: Path,
    options: tuple[str, ...], said: str,
) -> None:  # fmt: skip
    out = tmp_path / "adapted.pt"
    line = error_line(
        "train.adapt", "--checkpoint", small_checkpoint, *rasters, "--out", out, *options
    )
    assert said in line
    assert not out.exists()


def test_the_checkpoint_itself_is_not_overwritten(
    error_line: Callable, rasters: tuple[Path, Path], small_checkpoint: Path
) -> None:
    before = sha256(small_checkpoint)
    line = error_line(
        "train.adapt", "--checkpoint", small_checkpoint, *rasters, "--out", small_checkpoint, *RUN
    )
    assert "is the checkpoint to adapt; choose another file" in line
    assert sha256(small_checkpoint) == before
