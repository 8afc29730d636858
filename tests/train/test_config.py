"""Run configurations: shipped ones load, wrong ones are named on one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.errors import ConfigError
from train.config_file import load_config, parse_config
from train.shipped import find_config

CONFIGS = Path(__file__).parents[2] / "train" / "configs"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_configs_load(path: Path) -> None:
    load_config(path)


def test_overrides_are_typed() -> None:
    overrides = [
        "schedule.1.epochs=3", "schedule.2.epochs=2",
        "loss.class_weights=[1,1,1,1,1]", "augment.full.geometry=false",
        "init=weights.pt",
    ]  # fmt: skip
    config = load_config(CONFIGS / "demo.yaml", overrides)
    assert config.epochs == 6
    assert config.init == Path("weights.pt")
    assert config.loss.class_weights == (1, 1, 1, 1, 1)
    assert config.augment.full.geometry is False


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.speed=3", "optim.speed: unknown key"),
        ("model.depth=3", "model.depth: unknown key"),
        ("schedule.0.epochs=0", "schedule.0.epochs: Input should be greater than or equal to 1"),
        ("data.crop=100", "data.crop: Input should be a multiple of 32"),
        ("schedule.0.epochs=many", "schedule.0.epochs: Input should be a valid integer"),
        ("schedule.0.rate=0", "schedule.0: rate 0.0: expected above 0, at most"),
        (
            "schedule.0.rate=1e39",
            "schedule.0: rate 1e.39: expected above 0, at most 1e",
        ),
        ("schedule.3.epochs=1", "3 is no item of a list of 3"),
        ("schedule.first.epochs=1", "first is no item of a list of 3"),
        ("schedule=[]", "schedule: Tuple should have at least 1 item"),
        ("data.window=[512,256]", "data: window"),
        ("augment.full.scale=[0,1]", "augment.full: scale"),
        ("optim.precision=int8", "optim.precision: Input should be 'auto', 'fp32'"),
        ("optim.ema=1", "optim.ema: Input should be less than 1"),
        ("loss.class_weights=[1,0,0,0,0]", "loss: class_weights"),
        ("model.width=100000000", "model.width: Input should be less than or equal to 256"),
        ("model.modules=[1000000,1,1]", "model.modules.0: Input should be less than or equal to"),
        ("model.blocks=10000000", "model.blocks: Input should be less than or equal to 16"),
        ("model.bottlenecks=10000000", "model.bottlenecks: Input should be less than or equal"),
        ("model.projection=10000000", "model.projection: Input should be less than or equal"),
        ("model.head_widths=[0,1]", "model.head_widths.0: Input should be greater than or equal"),
        ("model.head_widths=[8,10000000]", "model.head_widths.1: Input should be less than or"),
        ("schedule.0.epochs=100000000000000", "schedule.0.epochs: Input should be less than or"),
        ("seed=100000000000000000000000", "seed: Input should be less than 9223372036854775808"),
        ("data.crops_per_tile=10000000000000", "data.crops_per_tile: Input should be less than"),
        ("data.crop=3200000", "data.crop: Input should be less than or equal to"),
        ("optim.batch_size=1000000000", "optim.batch_size: Input should be less than or equal to"),
        ("optim.accumulate=1000000000", "optim.accumulate: Input should be less than or equal to"),
        ("distill.weight=1", "distill.checkpoint: Field required"),
        ("epochs", "expected key=value"),
    ],
)
def test_wrong_keys_and_values_are_named(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        load_config(CONFIGS / "demo.yaml", [override])


def test_missing_and_garbled_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such config"):
        load_config(tmp_path / "none.yaml")
    path = tmp_path / "config.yaml"
    for content in ("- a", "a: [", ""):
        path.write_text(content)
        with pytest.raises(ConfigError, match="config.yaml"):
            load_config(path)


@pytest.mark.parametrize("name", ["demo", "demo.yaml", "train/configs/demo.yaml"])
def test_a_shipped_config_is_found_by_its_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()  # a run's folder hides nothing
    assert load_config(Path(name)) == load_config(CONFIGS / "demo.yaml")
    assert find_config(Path("ablation/se")) == CONFIGS / "ablation" / "se.yaml"


def test_a_file_that_is_there_comes_before_a_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own = (CONFIGS / "demo.yaml").read_text().replace("\nseed:", "\n#seed:") + "\nseed: 4711\n"
    (tmp_path / "w48.yaml").write_text(own)
    assert load_config(Path("w48.yaml")).seed == 4711
    assert load_config(Path("w48")).seed != 4711


@pytest.mark.parametrize("name", ["w49", "../train/config", "ablation", ".", "train/configs"])
def test_other_names_are_refused_with_those_that_are_there(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="expected a YAML file, or one of .*ablation/se.*w48"):
        load_config(Path(name))


def test_command_reports_an_unknown_key_in_one_line(error_line: Callable, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("model: {width: 8, depth: 3}\n")
    line = error_line("train", "--config", config, "--data", tmp_path, "--out", tmp_path / "run")
    assert "model.depth: unknown key" in line
    assert not (tmp_path / "run").exists()


NOTHING = [
    ["loss.building_weight=0", "loss.damage_weight=0"],
    ["loss.building_weight=0", "loss.damage={cross_entropy: 0}"],
    ["loss.building={cross_entropy: 0, dice: 0}", "loss.damage={cross_entropy: 0}"],
]


@pytest.mark.parametrize("overrides", NOTHING)
def test_a_loss_of_nothing_is_refused_unless_a_teacher_has_one(overrides: list[str]) -> None:
    with pytest.raises(ConfigError, match="loss: its weights leave nothing to learn from"):
        load_config(CONFIGS / "demo.yaml", overrides)
    load_config(CONFIGS / "demo.yaml", [*overrides, "distill={checkpoint: teacher.pt}"])
    load_config(CONFIGS / "demo.yaml", overrides[:1])


@pytest.mark.parametrize(
    ("given", "meant"),
    [("true", "memory"), ("false", "none"), ("null", "none"), ("disk", "disk"), ("none", "none")],
)
def test_where_decoded_tiles_are_kept_was_a_truth_value_before(given: str, meant: str) -> None:
    config = load_config(Path("demo"), [f"data.cache={given}"])
    assert config.data.cache == meant
    assert parse_config(config.model_dump(mode="json"), "again") == config


def test_another_place_for_decoded_tiles_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"data.cache: Input should be 'none', 'memory' or 'disk'"
    ):
        load_config(Path("demo"), ["data.cache=tape"])
