"""Weather and sensors as data: what is off is off, and a wrong range is named on one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.errors import ConfigError
from train.conditions import SensorLevel, WeatherLevel
from train.config_file import load_config

DEMO = Path(__file__).parents[2] / "train" / "configs" / "demo.yaml"


def test_nothing_is_named_by_default() -> None:
    assert not WeatherLevel().named
    assert not SensorLevel().named
    assert not SensorLevel(shared=1).named
    assert not SensorLevel(chance=0, blur=(1, 2)).named
    assert not WeatherLevel(chance=0, haze=0.5).named
    assert WeatherLevel(haze=0.1).named
    assert SensorLevel(jpeg=(50, 50)).named


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sensor={gain: [0, 1]}", "gain: .*expected .smallest, largest. in 0.1..10"),
        ("sensor={gain: [1.2, 0.8]}", "gain: .*expected .smallest, largest."),
        ("sensor={gain: [.nan, 1]}", "gain: .*expected .smallest, largest."),
        ("sensor={contrast: [1, 5]}", "contrast: .* 0..4"),
        ("sensor={gamma: [0.1, 1]}", "gamma: .* 0.2..5"),
        ("sensor={blur: [0, 1]}", "blur: .* 0.1..10"),
        ("sensor={blur: 1}", "blur: "),
        ("sensor={resolution: [0.5, 1]}", "resolution: .* 1..8"),
        ("sensor={noise: [0, 1]}", "noise: .* 0..0.5"),
        ("sensor={jpeg: [0, 50]}", "jpeg: .* 1..100"),
        ("sensor={jpeg: [50.5, 60]}", "jpeg.0: Input should be a valid integer"),
        ("sensor={fog: 1}", "fog: unknown key"),
        ("sensor={chance: 2}", "chance: Input should be less than or equal to 1"),
        ("sensor={shared: -1}", "shared: Input should be greater than or equal to 0"),
        ("weather={haze: 1}", "haze: Input should be less than or equal to 0.9"),
        ("weather={shadow: -0.1}", "shadow: Input should be greater than or equal to 0"),
        ("off_nadir=45", "off_nadir: Input should be less than or equal to 30"),
    ],
)
def test_a_wrong_condition_is_one_line(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"augment.full.*{message}") as caught:
        load_config(DEMO, [f"augment.full.{override}"])
    assert "\n" not in str(caught.value)


def test_fine_tuning_for_int8_keeps_what_the_demo_ends_with() -> None:
    """Else its last epochs would forget worse images."""
    demo, qat = (load_config(DEMO.with_name(f"{name}.yaml")) for name in ("demo", "qat"))
    assert {phase.augment for phase in qat.schedule} == {demo.schedule[-1].augment} == {"full"}
    assert qat.augment.full == demo.augment.full
    assert demo.augment.full.sensor.named
