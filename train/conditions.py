"""How an image was taken, as data: the weather it was taken in, and the sensor that took it.

Everything is off unless it is named. A range is [smallest, largest]; a strength is drawn evenly
from it (a gain, in its logarithm), for each image of a pair alone, since two dates share neither
sky nor satellite.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from train.section import Section

Range = tuple[float, float]


def _inside(lowest: float, highest: float) -> AfterValidator:
    def check(limits: Range) -> Range:
        if not lowest <= limits[0] <= limits[1] <= highest:
            raise ValueError(f"expected [smallest, largest] in {lowest:g}..{highest:g}")
        return limits

    return AfterValidator(check)


class WeatherLevel(Section):
    """What lies between the sun, the ground and the satellite."""

    chance: float = Field(0.5, ge=0, le=1, description="of each change named here, each image")
    haze: float = Field(
        0,
        ge=0,
        le=0.9,
        description="largest share of the light that comes from haze and not from the ground; "
        "0: none",
    )
    shadow: float = Field(
        0,
        ge=0,
        le=0.9,
        description="largest share of the light that a cloud's shadow takes; 0: none",
    )

    @property
    def named(self) -> bool:
        """Whether anything can happen."""
        return self.chance > 0 and (self.haze > 0 or self.shadow > 0)


class SensorLevel(Section):
    """What telescope, detector, processing and the way down make of a scene."""

    chance: float = Field(0.5, ge=0, le=1, description="of each change named here, each image")
    shared: float = Field(
        0,
        ge=0,
        le=1,
        description="share of the pairs whose images come through one sensor: the same changes, "
        "equally strong (noise apart)",
    )
    gain: Annotated[Range, _inside(0.1, 10)] | None = Field(
        None,
        description="factor of all values: exposure, or the height of the sun; drawn evenly "
        "in its logarithm",
    )
    contrast: Annotated[Range, _inside(0, 4)] | None = Field(
        None, description="factor of the distance to the image's mean grey"
    )
    gamma: Annotated[Range, _inside(0.2, 5)] | None = Field(
        None, description="power of values taken as 0..1; above 1 darkens"
    )
    blur: Annotated[Range, _inside(0.1, 10)] | None = Field(
        None, description="sigma of a Gaussian, pixels of the crop"
    )
    resolution: Annotated[Range, _inside(1, 8)] | None = Field(
        None,
        description="ground resolution of a coarser sensor as a multiple of the crop's: at "
        "0.5 m a pixel, 2 is a sensor of 1 m",
    )
    noise: Annotated[Range, _inside(0, 0.5)] | None = Field(
        None, description="standard deviation of the detector's noise, as a share of full scale"
    )
    jpeg: Annotated[tuple[int, int], _inside(1, 100)] | None = Field(
        None, description="quality of JPEG compression, chroma at half the resolution"
    )

    @property
    def named(self) -> bool:
        """Whether anything can happen."""
        changes = self.model_dump(exclude={"chance", "shared"}).values()
        return self.chance > 0 and any(each is not None for each in changes)
