"""Training sees its tiles at the scale at which they are mapped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import ConfigError
from train.check import check_tiles
from train.conditions import SensorLevel, WeatherLevel
from train.config import TrainConfig
from train.config_file import load_config
from train.data_summary import data_summary
from train.dataset import CropDataset
from train.masks import MaskCache
from train.scales import require_native_scale, scale_range
from train.xbd import Tile, find_tiles

CONFIGS = Path(__file__).parents[2] / "train" / "configs"
SHIPPED = sorted(CONFIGS.rglob("*.yaml"))
SIDE, SQUARE, DRAWS = 1024, 16, 120


class Chequered:
    """In place of labels: a building on every other square of SQUARE pixels, no damage."""

    def targets(self, tile: Tile, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        rows, columns = np.indices((height, width)) // SQUARE
        board = ((rows + columns) % 2).astype(np.uint8)
        return board, np.zeros_like(board)


def _measured(item: dict) -> float:
    """Pixels of the crop per pixel of the tile, by the squares' sides."""
    row = item["building"].numpy()[len(item["building"]) // 2].astype(int)
    edges = np.flatnonzero(np.diff(row))
    return (edges[-1] - edges[0]) / (len(edges) - 1) / SQUARE


@pytest.fixture(scope="module")
def tile(tmp_path_factory: pytest.TempPathFactory) -> Tile:
    folder = tmp_path_factory.mktemp("scales") / "train" / "images"
    folder.mkdir(parents=True)
    for when in ("pre", "post"):
        path = folder / f"town-flood_00000000_{when}_disaster.png"
        assert cv2.imwrite(str(path), np.full((SIDE, SIDE, 3), 90, np.uint8))
    return find_tiles(folder.parents[1], "train", labelled=False)[0]


def _geometry_alone(config: TrainConfig) -> TrainConfig:
    """No photometry, which takes long and moves nothing."""
    still = {"photometry": 0, "colour": 0, "degrade": 0, "unchanged": 0}
    still |= {"weather": WeatherLevel(), "sensor": SensorLevel()}
    levels = {name: level.model_copy(update=still) for name, level in config.augment}
    return config.model_copy(
        update={
            "augment": config.augment.model_copy(update=levels),
            "data": config.data.model_copy(update={"cache": "memory"}),
        }
    )


def _drawn(config: TrainConfig, tile: Tile) -> np.ndarray:
    dataset = CropDataset([tile], _geometry_alone(config), Chequered())  # type: ignore[arg-type]
    epochs = np.linspace(0, config.epochs - 1, DRAWS).astype(int)
    return np.array([_measured(dataset[(int(epoch), i, 0)]) for i, epoch in enumerate(epochs)])


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: str(p.relative_to(CONFIGS)))
def test_shipped_configurations_draw_at_the_scale_of_deployment(path: Path, tile: Tile) -> None:
    config = load_config(path)
    scales = _drawn(config, tile)
    assert scales.mean() == pytest.approx(1, abs=0.04)
    near = (scales > 0.9) & (scales < 1.1)
    assert near.mean() > 0.35
    least, largest = scale_range(config, [SIDE])
    assert least * 0.99 < scales.min() <= scales.max() < largest * 1.01


def test_the_measure_sees_crops_that_are_shrunk(
    tile: Tile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows of 768 to 1024 at a crop of 512, as these configurations once had."""
    monkeypatch.setattr("train.config_file.require_native_scale", lambda *_: None)
    scales = _drawn(load_config(CONFIGS / "w48.yaml", ["data.window=[768,1024]"]), tile)
    assert scales.max() < 0.85
    assert scales.mean() < 0.65


@given(
    st.tuples(st.integers(32, 90), st.integers(0, 60)),
    st.tuples(st.floats(0.25, 4), st.floats(0, 1)),
    st.lists(st.integers(32, 200), max_size=3),
)
def test_the_range_is_that_of_every_draw_there_can_be(
    window: tuple[int, int], zoom: tuple[float, float], tiles: list[int]
) -> None:
    lowest, highest = window[0], sum(window)
    zooms = (zoom[0], zoom[0] + zoom[1] * (4 - zoom[0]))
    config = TrainConfig.model_validate(
        {
            "model": {},
            "data": {"crop": 64, "window": [lowest, highest]},
            "augment": {"full": {"scale": zooms}, "light": {"scale": [0.25, 4]}},
            "schedule": [{"epochs": 1, "rate": 1, "augment": "full"}],
        }
    )
    sides = [
        min(round(drawn / z), tile)
        for drawn in range(lowest, highest + 1)
        for z in (*zooms, sum(zooms) / 2)
        for tile in tiles or [10**9]
    ]
    assert scale_range(config, tiles) == (64 / max(sides), 64 / min(sides))


def test_all_phases_of_the_schedule_count_and_no_other_level() -> None:
    levels = (
        "augment={light: {scale: [0.9, 1.0]}, medium: {scale: [0.3, 3]}, full: {scale: [1, 2]}}"
    )
    phases = "schedule=[{epochs: 1, rate: 1, augment: light}, {epochs: 1, rate: 1}]"
    config = load_config(CONFIGS / "demo.yaml", ["data.crop=640", levels, phases])
    assert scale_range(config) == pytest.approx((0.9, 2), abs=0.002)


@pytest.mark.parametrize(
    "overrides",
    [
        ["data.window=[768,1024]"],
        ["data.window=[100,200]"],
        ["augment={light: {scale: [1.5, 2]}, medium: {scale: [1.5, 2]}, full: {scale: [1.5, 2]}}"],
    ],
)
def test_a_configuration_that_never_shows_scale_1_is_refused(overrides: list[str]) -> None:
    with pytest.raises(ConfigError, match="never at 1") as caught:
        load_config(CONFIGS / "w48.yaml", overrides)
    for part in ("data.window [", "data.crop 512", "augment.full.scale [", "[440,588]"):
        assert part in str(caught.value)


def test_tiles_may_be_too_small_for_scale_1() -> None:
    config = load_config(CONFIGS / "w48.yaml", ["data.window=[440,588]"])
    require_native_scale(config, "data", [500, 512])
    with pytest.raises(ConfigError, match=r"^data: .* on tiles of 500 pixels .* lower data.crop"):
        require_native_scale(config, "data", [460, 500])


def test_the_command_refuses_tiles_that_are_always_enlarged(
    synthetic: Path, tmp_path: Path, error_line: Callable
) -> None:
    line = error_line(
        "train", "--config", "demo", "--data", synthetic, "--out", tmp_path / "run",
        "data.crop=128", "data.window=[64,128]",
    )  # fmt: skip
    assert "at 1.33 to 2.00 of their scale on tiles of 96 pixels at most" in line


def test_what_was_seen_is_recorded(xbd_sample: Path, tmp_path: Path) -> None:
    facts = [
        check_tiles(find_tiles(xbd_sample, split)[:3], MaskCache(tmp_path), 32).good
        for split in ("train", "tier3")
    ]
    config = load_config(CONFIGS / "w48.yaml")
    summary = data_summary(xbd_sample, config, "train", facts[0], "tier3", facts[1])
    least, largest = scale_range(config)
    assert summary.scale == pytest.approx((least, largest), rel=1e-3)
    # By the footprints of these three tiles of Guatemala; `gsd` says 1.4 m, `pan_resolution` 0.35.
    assert summary.pixel_m == pytest.approx((0.4902 / largest, 0.4903 / least), rel=1e-3)
