"""Which tiles are learnt from, which choose, and which are never seen."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.errors import ConfigError, DataError
from train.__main__ import main, parser
from train.checkpoint import load_checkpoint
from train.data_config import DataConfig
from train.splits import choosing_split, divide, held_out
from train.xbd import Tile, find_tiles


@pytest.fixture
def root(tmp_path: Path) -> Callable[..., Path]:
    """Empty files with the names of tiles: {split: [tile, ...]}, with labels."""

    def write(**splits: list[str]) -> Path:
        for split, names in splits.items():
            for kind, suffix in (("images", "png"), ("labels", "json")):
                folder = tmp_path / "data" / split / kind
                folder.mkdir(parents=True)
                for name in names:
                    for when in ("pre", "post"):
                        (folder / f"{name}_{when}_disaster.{suffix}").touch()
        return tmp_path / "data"

    return write


def _data(**given: object) -> DataConfig:
    return DataConfig.model_validate(given)


def _names(tiles: list[Tile]) -> list[str]:
    return [tile.name for tile in tiles]


def test_hold_chooses_where_it_is_there_and_else_it_is_said(root: Callable) -> None:
    data = root(train=["a_1"], test=["a_2"], hold=["a_3"], tier3=["b_1"])
    for gone, wanted in ((None, "hold"), ("hold", "test"), ("test", "tier3")):
        if gone:
            shutil.rmtree(data / gone)
        split, note = choosing_split(data, "name one")
        assert split == wanted
        division = divide(data, _data())
        assert (division.val.name, division.note) == (wanted, note)
        assert (note is None) == (wanted == "hold")
        assert note is None or f"so split {wanted} chooses" in note
    shutil.rmtree(data / "tier3")
    with pytest.raises(DataError, match=r"found here: train\); name one"):
        choosing_split(data, "name one")
    with pytest.raises(DataError, match=r"data.val_share=0\.1"):
        divide(data, _data())


def test_a_split_with_labels_chooses_before_one_without(root: Callable) -> None:
    data = root(train=["a_1"], hold=["a_2"], tier3=["b_1"])
    for label in (data / "hold" / "labels").iterdir():
        label.unlink()
    assert choosing_split(data, "")[0] == "tier3"


def test_several_splits_are_one_whatever_their_order(root: Callable) -> None:
    data = root(train=["b_1", "c_1"], tier3=["a_1", "b_2"], hold=["a_9"])
    one, other = (
        divide(data, _data(train_split=names)).train
        for names in (["train", "tier3"], ["tier3", "train"])
    )
    assert _names(one.tiles) == _names(other.tiles) == ["a_1", "b_1", "b_2", "c_1"]
    assert one.name == "train, tier3"
    assert _names(divide(data, _data(train_split="tier3")).train.tiles) == ["a_1", "b_2"]


def test_a_tile_of_two_splits_counts_once_or_not_at_all(root: Callable) -> None:
    data = root(train=["a_1", "b_1"], tier3=["b_1"], hold=["a_2"])
    with pytest.raises(DataError, match="b_1_pre_disaster.png: .* in split train too"):
        divide(data, _data(train_split=["train", "tier3"]))


@pytest.mark.parametrize("names", [[], ["train", "train"], "", 5])
def test_splits_are_names_that_differ(names: object) -> None:
    with pytest.raises(ValueError, match="train_split"):
        _data(train_split=names)


def test_a_share_of_every_disaster_is_held_out(root: Callable) -> None:
    tiles = [f"a_{i}" for i in range(40)] + [f"b_{i}" for i in range(20)] + ["c_0", "c_1", "d_0"]
    data = root(train=tiles)
    division = divide(data, _data(val_share=0.1))
    held, kept = _names(division.val.tiles), _names(division.train.tiles)
    assert sorted(held + kept) == sorted(tiles)
    assert Counter(name[0] for name in held) == {"a": 4, "b": 2, "c": 1}
    assert division.val.name == "train (0.1 held out)"
    assert _names(divide(data, _data(val_share=0.1)).val.tiles) == held


def test_what_is_held_out_hangs_on_names_alone() -> None:
    def tiles(names: list[str]) -> list[Tile]:
        none = Path()
        return [Tile(name, name.partition("_")[0], none, none, None, None) for name in names]

    names = [f"{disaster}_{i}" for disaster in "ab" for i in range(30)]
    held = held_out(tiles(names), 0.2)
    assert held == held_out(tiles(names[::-1]), 0.2)
    assert held != held_out(tiles(names), 0.3)
    assert held < held_out(tiles(names), 0.5)


def test_one_choice_of_tiles_to_validate_on() -> None:
    with pytest.raises(ValueError, match=r"val_share 0\.1 beside val_split hold"):
        _data(val_share=0.1, val_split="hold")


def test_disasters_are_left_out_of_both_parts(root: Callable) -> None:
    data = root(train=["a_1", "b_1", "c_1"], hold=["a_2", "b_2"])
    division = divide(data, _data(leave_out=["b"]))
    assert _names(division.train.tiles) == ["a_1", "c_1"]
    assert _names(division.val.tiles) == ["a_2"]
    with pytest.raises(ConfigError, match=r"no tile of disaster d .* hold: a, b, c\)"):
        divide(data, _data(leave_out=["d"]))
    with pytest.raises(DataError, match="split hold: holds no tile but of a, b"):
        divide(data, _data(leave_out=["a", "b"]))


def test_the_command_leaves_out_and_records_it(
    synthetic: Path, tmp_path: Path, command: Callable, error_line: Callable
) -> None:
    counts = Counter(tile.disaster for tile in find_tiles(synthetic, "train"))
    left_out = min(counts, key=lambda name: (counts[name], name))
    line = [
        "--config", "demo", "--data", synthetic, "--out", tmp_path / "run", "data.crop=64",
        "data.val_share=0.3", "schedule=[{epochs: 1, rate: 0.001}]", "optim.batch_size=2",
        "--leave-out",
    ]  # fmt: skip
    result = command("train", *line, left_out)
    assert result.returncode == 0, result.stderr
    data = load_checkpoint(tmp_path / "run" / "last.pt").data
    assert data is not None
    assert data.left_out == (left_out,)
    seen = Counter(data.train.disasters) + Counter(data.val.disasters)
    assert seen == Counter({name: n for name, n in counts.items() if name != left_out})
    assert data.val.split == "train (0.3 held out)"
    assert f"Left out of both: {left_out}." in (tmp_path / "run" / "README.md").read_text()
    assert data.pixel_m == pytest.approx((0.55, 0.55), rel=0.007)
    assert data.scale == (1, 1)
    assert f"data.leave_out (was ['{left_out}']" in error_line("train", *line, "a", "--resume")


def test_the_option_may_be_repeated_and_has_no_rival(tmp_path: Path) -> None:
    line = ["--config", "demo", "--data", str(tmp_path), "--out", str(tmp_path / "run")]
    both = ["--leave-out", "a", "--leave-out", "b", "c"]
    assert parser().parse_args([*line, *both]).leave_out == ["a", "b", "c"]
    assert parser().parse_args(line).leave_out == []
    with pytest.raises(ConfigError, match=r"--leave-out beside data\.leave_out"):
        main(parser().parse_args([*line, "data.leave_out=[d]", "--leave-out", "a"]))
