"""The fingerprint of a run's tiles: it covers images and labels, and knows its earlier form."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
import torch

from train.check import TileFacts, check_tiles
from train.masks import MaskCache
from train.prepare import fingerprints
from train.xbd import find_tiles

RUN = (
    "data.crop=64", "data.workers=0", "model.width=8", "model.stem_width=8", "model.blocks=1",
    "model.projection=16", "model.head_widths=[16,8]", "schedule=[{epochs: 1, rate: 0.001}]",
)  # fmt: skip


@pytest.fixture
def data(synthetic: Path, tmp_path: Path) -> Path:
    return shutil.copytree(synthetic, tmp_path / "data")


def _facts(data: Path, split: str, masks: Path) -> list[TileFacts]:
    return check_tiles(find_tiles(data, split), MaskCache(masks), 64).good


def _both(data: Path, masks: Path) -> tuple[str, str]:
    return fingerprints(_facts(data, "train", masks), _facts(data, "test", masks))


def _negative(path: Path) -> None:
    cv2.imwrite(str(path), 255 - cv2.imread(str(path)))


def test_an_image_or_a_footprint_that_differs_is_another_fingerprint(
    data: Path, tmp_path: Path
) -> None:
    seen = [_both(data, tmp_path / "masks")]
    _negative(find_tiles(data, "train")[0].pre)
    seen.append(_both(data, tmp_path / "masks"))
    _negative(find_tiles(data, "test")[0].post)
    seen.append(_both(data, tmp_path / "masks"))
    assert len({before for _, before in seen}) == 1  # which did not cover images
    label = find_tiles(data, "train")[1].pre_label
    content = json.loads(label.read_text())
    content["features"]["xy"] = []
    label.write_text(json.dumps(content))
    seen.append(_both(data, tmp_path / "masks"))
    assert len({now for now, _ in seen}) == 4


def test_how_an_image_is_stored_makes_no_difference(data: Path, tmp_path: Path) -> None:
    before = _both(data, tmp_path / "masks")
    image = find_tiles(data, "train")[0].pre
    cv2.imwrite(str(image), cv2.imread(str(image)), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    assert _both(data, tmp_path / "others") == before


def test_the_earlier_form_is_that_of_earlier_versions(data: Path, tmp_path: Path) -> None:
    text = ""
    for split in ("train", "test"):
        for fact in _facts(data, split, tmp_path / "masks"):
            text += f"{fact.tile.name} {fact.pixels.tolist()}\n"
        text += "--\n"
    _, before = _both(data, tmp_path / "masks")
    assert before == hashlib.sha256(text.encode()).hexdigest()


def test_an_image_replaced_between_stop_and_resume_is_noticed(
    data: Path, tmp_path: Path, command: Callable, error_line: Callable
) -> None:
    line = ["--config", "demo", "--data", data, "--out", tmp_path / "run", *RUN]
    result = command("train", *line)
    assert result.returncode == 0, result.stderr
    # A run of an earlier version goes on, and has the new fingerprint from then on.
    saved = torch.load(tmp_path / "run/last.pt", weights_only=True)
    now, before = _both(data, tmp_path / "masks")
    assert saved["resume"]["tiles"] == now
    saved["resume"]["tiles"] = before
    torch.save(saved, tmp_path / "run/last.pt")
    result = command("train", *line, "--resume")
    assert result.returncode == 0, result.stderr
    saved["resume"]["tiles"] = now
    torch.save(saved, tmp_path / "run/last.pt")
    _negative(find_tiles(data, "test")[0].post)
    said = error_line("train", *line, "--resume")
    assert "started with other tiles than the usable ones of --data now (by their names, im" in said
