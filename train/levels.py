"""How strongly a training crop is changed, as data: three levels, which the schedule names."""

from __future__ import annotations

from pydantic import Field, model_validator

from train.conditions import SensorLevel, WeatherLevel
from train.section import Section


class AugmentLevel(Section):
    """How strongly a crop is changed."""

    geometry: bool = Field(True, description="flips and quarter turns, shared by the pair")
    scale: tuple[float, float] = Field((1, 1), description="range of the zoom, shared by the pair")
    photometry: float = Field(0.2, ge=0, le=1, description="brightness and contrast, each image")
    colour: float = Field(0, ge=0, le=0.5, description="hue and saturation, each image")
    degrade: float = Field(0, ge=0, le=1, description="chance of blur or noise, each image")
    shift: int = Field(
        0, ge=0, le=1024, description="extra misregistration of the post image, pixels"
    )
    off_nadir: float = Field(
        0,
        ge=0,
        le=30,
        description="largest shear of the post image about its centre, degrees: seen from aslant, "
        "roofs leave their footprints",
    )
    unchanged: float = Field(
        0,
        ge=0,
        le=1,
        description="chance that the pre image stands in for the post image, with changes of its "
        "own, and every building is without damage",
    )
    weather: WeatherLevel = WeatherLevel()
    sensor: SensorLevel = SensorLevel()

    @model_validator(mode="after")
    def _scale_is_a_range(self) -> AugmentLevel:
        if not 0.25 <= self.scale[0] <= self.scale[1] <= 4:
            raise ValueError(f"scale {list(self.scale)}: expected [smallest, largest] in 0.25..4")
        return self


class AugmentConfig(Section):
    """The levels that phases name.

    A network that has seen sharp and evenly lit pairs alone loses a fifth or more of its score at
    a blur of one pixel (docs/measurements/robustness.md). So `full`, where most epochs are, holds
    what an image bought in a hurry may have: another exposure, a coarser or aslant sensor, haze,
    clouds' shadows, JPEG, and a place that is off by several pixels. `medium` holds the same, less
    of it; `light`, for the first and last epochs, has the images nearly as they are.
    """

    light: AugmentLevel = AugmentLevel(photometry=0.1)
    medium: AugmentLevel = AugmentLevel(
        scale=(0.9, 1.1),
        photometry=0.2,
        shift=3,
        sensor=SensorLevel(chance=0.25, shared=0.3, gain=(0.7, 1.4), blur=(0.4, 1), jpeg=(50, 95)),
    )
    full: AugmentLevel = AugmentLevel(
        scale=(0.8, 1.2),
        photometry=0.2,
        colour=0.1,
        shift=6,
        off_nadir=2,
        weather=WeatherLevel(chance=0.15, haze=0.4, shadow=0.5),
        sensor=SensorLevel(
            chance=0.3,
            shared=0.3,
            gain=(0.55, 1.5),
            gamma=(0.8, 1.25),
            blur=(0.4, 1.2),
            resolution=(1, 2),
            noise=(0.01, 0.04),
            jpeg=(25, 95),
        ),
    )
