"""The command: a checkpoint like any other comes out, or nothing does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from runtime.buildings import find_buildings
from runtime.files import sha256
from runtime.source.pair import open_pair
from tests.train.adaptation.conftest import damage, edited, place, rasters, written_map
from train.checkpoint import load_checkpoint
from train.inference import predict_maps
from train.model.inference_form import inference_form

__all__ = ["damage", "edited", "place", "rasters", "written_map"]

RUN = ("--window", "64", "--sample", "6", "--device", "cpu")


@pytest.fixture
def own_map(tmp_path: Path, rasters: tuple[Path, Path], small_checkpoint: Path) -> Path:
    """What the network itself finds on the scene, as a map."""
    from runtime.output.vectors import write_buildings

    network = load_checkpoint(small_checkpoint).network()
    with open_pair(*rasters) as pair:
        pre, post, _ = pair.read(0, 0, pair.height, pair.width)
        maps = predict_maps(network, pre, post)
        write_buildings(find_buildings(maps[0], maps[2]), tmp_path, pair.georeference)
    return tmp_path / "buildings.gpkg"


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
        "--map", written_map, "--out", out, "--steps", "25", "--rate", "0.01", "--json", *RUN,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "5 corrections (5 checked): 2 no-damage, 1 minor-damage" in result.stderr
    record = json.loads(result.stdout)
    assert load_checkpoint(out).metrics == {"adapted": record}
    left_out = record["left_out"]
    assert left_out["folds"] == 5
    assert left_out["before"]["buildings"] == left_out["after"]["buildings"] == 5
    assert left_out["after"]["accuracy"] >= left_out["before"]["accuracy"]
    load_checkpoint(out).network()


def test_weights_that_do_worse_on_what_was_left_out_are_not_written(
    error_line: Callable, rasters: tuple[Path, Path], small_checkpoint: Path, own_map: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    """Every prediction is confirmed, so nothing can be better; such a rate destroys."""
    import pyogrio.raw

    meta, _, geometry, values = pyogrio.raw.read(str(own_map), layer="buildings")
    few = slice(0, 4)
    checked = tmp_path / "checked.gpkg"
    pyogrio.raw.write(
        str(checked), geometry=geometry[few], geometry_type="Polygon", crs=meta["crs"],
        field_data=[*(each[few] for each in values), np.array([True] * 4)],
        fields=np.array([*meta["fields"], "checked"], object), driver="GPKG",
    )  # fmt: skip
    out = tmp_path / "adapted.pt"
    line = error_line(
        "train.adapt", "--checkpoint", small_checkpoint, *rasters, "--corrections", checked,
        "--out", out, "--steps", "8", "--rate", "1", "--prior", "inf", *RUN,
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
