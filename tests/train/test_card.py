"""The model card of a checkpoint: what it says is what the run recorded, and no more."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from runtime.errors import CheckpointError
from train.card import card
from train.card_parts import Training
from train.check import check_tiles
from train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from train.config_file import load_config, parse_config
from train.data_summary import DataSummary, SplitSummary, data_summary, origins
from train.masks import MaskCache
from train.xbd import find_tiles

REPOSITORY = Path(__file__).parents[2]
CLASSES = ("no-damage", "minor-damage", "major-damage", "destroyed")
OVERRIDES = (
    "model.width=8", "model.stem_width=8", "model.blocks=1", "model.projection=16",
    "model.head_widths=[16,8]", "data.crop=64", "optim.batch_size=4",
    "schedule=[{epochs: 1, rate: 0.001}]",
)  # fmt: skip


def front_matter(text: str) -> dict:
    return yaml.safe_load(re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)[1])


@pytest.fixture(scope="module")
def run(synthetic: Path, tmp_path_factory: pytest.TempPathFactory, command: Callable) -> Path:
    out = tmp_path_factory.mktemp("card") / "run"
    config = REPOSITORY / "train" / "configs" / "demo.yaml"
    masks = out.parent / "folder-of-masks"
    result = command(
        "train", "--config", config, "--data", synthetic, "--out", out, *OVERRIDES,
        "data.val_split=test", f"data.masks={masks}",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return out


def test_a_run_leaves_a_card_of_its_best_checkpoint(run: Path, synthetic: Path) -> None:
    text, best = (run / "README.md").read_text(), load_checkpoint(run / "best.pt")
    front = front_matter(text)
    (model,) = front["model-index"]
    (result,) = model["results"]
    assert (front["license"], front["pipeline_tag"]) == ("unknown", "image-segmentation")
    assert front["datasets"] == ["synthetic"]
    assert result["dataset"] == {
        "type": "synthetic", "name": "2 tiles of split test", "split": "test"
    }  # fmt: skip
    values = {each["name"]: each["value"] for each in result["metrics"]}
    assert values["xView2 score"] == best.metrics["score"]
    assert values["F1 of destroyed"] == best.metrics["class_f1"]["destroyed"]
    tiles = sorted((synthetic / "train" / "images").glob("*_pre_disaster.png"))
    assert best.data.train.tiles == len(tiles) == 8
    for disaster in {path.name.partition("_0")[0] for path in tiles}:
        assert disaster in text
    assert "drawn by a program" in text
    parameters = sum(each.numel() for each in best.network().parameters())
    assert f"**Parameters:** {parameters:,}" in text
    record = best.precision
    used = {"None": "fp32", "torch.bfloat16": "bf16", "torch.float16": "fp16"}[record]
    assert f"after epoch 1 of 1, 2 steps, computed in {used}." in text


def test_a_card_names_no_folder_of_the_machine(run: Path, synthetic: Path) -> None:
    text = (run / "README.md").read_text()
    assert "masks: folder-of-masks" in text
    for folder in (run, run.parent, synthetic, synthetic.parent, REPOSITORY, Path.home()):
        assert f"{folder}" not in text


def test_the_pixels_are_those_of_the_labels(run: Path, synthetic: Path) -> None:
    wanted = torch.zeros(256, dtype=torch.long)
    for tile in find_tiles(synthetic, "train"):
        damage = torch.from_numpy(tile.targets(96, 96)[1]).flatten().long()
        wanted += torch.bincount(damage, minlength=256)
    data = load_checkpoint(run / "best.pt").data
    assert [data.train.pixels[name] for name in CLASSES] == wanted[1:5].tolist()
    assert data.train.sizes == ((96, 96),)


def test_what_was_not_measured_is_said(small_checkpoint: Path) -> None:
    text = card(Training.of(load_checkpoint(small_checkpoint)), 5).decode()
    front = front_matter(text)
    assert "model-index" not in front
    assert "datasets" not in front
    assert "The checkpoint's accuracy: not measured." in text
    assert "Which disasters it was trained on is not recorded." in text
    assert "**Finetuned from:** not recorded" in text


def test_odd_names_break_neither_part(small_config) -> None:
    odd = 'town: "a" |b| <i> [x](y)\n---\n'
    split = SplitSummary(split=odd, disasters={odd: 1}, sizes=((8, 8),), pixels={})
    config = parse_config(
        {"model": {}, "init": "/home/anna/secret/start.pt", "data": {"val_split": odd}}, "test"
    )
    training = Training(
        small_config, 3, 9, config, DataSummary(train=split, val=split, remarks=(odd,)),
        {"score": 0.5, "localization_f1": float("nan"), "class_f1": "altered"},
    )  # fmt: skip
    text = card(training, 5).decode()
    (result,) = front_matter(text)["model-index"][0]["results"]
    assert result["dataset"]["split"] == odd
    assert [each["name"] for each in result["metrics"]] == ["xView2 score"]
    body = text.partition("\n---\n")[2]
    assert "**Finetuned from:** start.pt" in body
    assert "secret" not in text
    (row,) = [line for line in body.splitlines() if line.startswith("| training")]
    assert len(re.split(r"(?<!\\)\|", row)) == 2 + 9


@pytest.mark.parametrize(
    ("disasters", "wanted"),
    [
        (["palu-tsunami", "socal-fire"], ["xbd"]),
        (["synthetic-wind", "palu-tsunami"], ["xbd", "synthetic"]),
        (["our-town"], ["other"]),
        ([], []),
    ],
)
def test_data_sets_are_told_by_their_disasters(disasters, wanted) -> None:
    assert origins(disasters) == wanted


def test_xbd_is_named_with_its_licence(xbd_sample: Path, small_config, tmp_path: Path) -> None:
    masks = MaskCache(tmp_path)
    facts = [check_tiles(find_tiles(xbd_sample, s), masks, 32).good for s in ("train", "tier3")]
    config = load_config(Path("sample"))
    data = data_summary(xbd_sample, config, "train", facts[0], "tier3", facts[1])
    assert data.train.disasters["guatemala-volcano"] == 6
    training = Training(small_config, 1, 1, None, data, {})
    text = card(training, 5).decode()
    assert front_matter(text)["datasets"] == ["xbd"]
    assert "CC BY-NC-SA 4.0" in text
    assert str(xbd_sample) not in text


def test_altered_facts_about_the_data_are_refused(small_checkpoint: Path, tmp_path: Path) -> None:
    content = torch.load(small_checkpoint, weights_only=True)
    content["data"] = {"train": 5}
    torch.save(content, tmp_path / "altered.pt")
    with pytest.raises(CheckpointError, match=r"altered.pt: train: "):
        load_checkpoint(tmp_path / "altered.pt")
    checkpoint = load_checkpoint(small_checkpoint)
    save_checkpoint(tmp_path / "same.pt", Checkpoint(checkpoint.model, checkpoint.model_state))
    assert load_checkpoint(tmp_path / "same.pt").data is None
