"""Corrections made from true labels, and the score on the buildings that nobody corrected."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.adaptation.__main__ import line
from benchmarks.adaptation.domains import other_colours, without_kind
from benchmarks.adaptation.person import dealt, score, write_corrections
from runtime.source.pair import open_pair
from train.adaptation.corrections import find_corrections
from train.adaptation.features import read_features
from train.adaptation.targets import owners
from train.model import DualHRNet
from train.xbd import find_tiles

pytest.importorskip("pyogrio")


def test_a_file_of_corrections_says_what_the_labels_say(synthetic: Path, tmp_path: Path) -> None:
    tile = max(find_tiles(synthetic, "train"), key=lambda each: len(each.buildings[1]))
    chosen, rest = dealt(tile, 3)
    assert len(chosen) == 3
    assert {each.uid for each in chosen}.isdisjoint(each.uid for each in rest)
    with open_pair(tile.pre, tile.post, label=tile.labels[1]) as pair:
        path = tmp_path / "corrected.gpkg"
        write_corrections(chosen, pair.georeference, path)
        found = find_corrections(read_features(path, pair), None, pair.height, pair.width)
    assert [each.damage for each in found] == [each.damage for each in chosen]
    _, damage = tile.targets(96, 96)
    owner = owners(found, 0, 0, 96, np.ones((96, 96), bool))
    for number, each in enumerate(found, start=1):
        # Pixel centres here, the official filled outline there: they differ at the edge alone.
        assert (damage[owner == number] == each.damage).mean() > 0.9


class _Nothing(DualHRNet):
    """Sees a building nowhere."""

    def forward(self, pre: torch.Tensor, post: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        none = pre.new_zeros(len(pre), 5, *pre.shape[-2:])
        return none[:, :1] - 5, none


def test_buildings_that_are_left_out_do_not_count(synthetic: Path, small_config) -> None:
    tile = max(find_tiles(synthetic, "train"), key=lambda each: len(each.buildings[1]))
    chosen, rest = dealt(tile, 3)
    found = score(_Nothing(small_config).eval(), [(tile, chosen, rest)])
    assert found["buildings"] == len(rest)
    assert (found["accuracy"], found["recall"], found["false_alarms"]) == (0, 0, 0)


def test_another_sensor_keeps_the_order_of_brightness_and_changes_colours() -> None:
    grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, 2)
    seen = other_colours(grey).astype(int)
    assert (np.diff(seen, axis=0) >= 0).all()
    assert (seen[128] != 128).all()
    assert len(set(seen[128, 0].tolist())) == 3


def test_tiles_of_a_kind_are_left_out_by_links(synthetic: Path, tmp_path: Path) -> None:
    kinds = {each.disaster for each in find_tiles(synthetic, "train")}
    kind = sorted(kinds)[0]
    without_kind(synthetic, kind.removeprefix("synthetic-"), tmp_path / "rest")
    left = find_tiles(tmp_path / "rest", "train")
    assert {each.disaster for each in left} == kinds - {kind}
    assert all(each.pre.stat().st_nlink > 1 for each in left)


def test_a_line_says_what_was_done() -> None:
    figures = {"accuracy": 0.5, "f1": 0.4, "recall": 0.9, "false_alarms": 7}
    row = {"prior": None, "corrected": 10, "method": "lora", "rate": 0.003, "cpu_s": 8.2}
    said = line({**row, "scene": figures, "others": None})
    assert "old statistics, 10 corrected, lora 0.003" in said
    assert "accuracy 0.500 f1 0.400 recall 0.900 false alarms 7" in said
