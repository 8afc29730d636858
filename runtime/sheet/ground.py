"""What paper needs to know of a map's place: its scale, where north is, and where it lies."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from runtime.finished.folder import FinishedMap
from runtime.source.georeference import WGS84, reproject, short

_NICE = (1, 2, 5)
_LONGEST_BAR = 0.25
"""Of the picture's width."""


@dataclass(frozen=True)
class Ground:
    """pixel_m: across and down. north: degrees clockwise from the picture's upward direction.

    bar_m: metres of a scale bar that takes `bar_share` of the picture's width.
    """

    pixel_m: tuple[float, float]
    north: float
    centre: str
    crs: str
    bar_m: float
    bar_share: float

    @property
    def bar_text(self) -> str:
        return f"{self.bar_m / 1000:g} km" if self.bar_m >= 1000 else f"{self.bar_m:g} m"


def ground_of(map_: FinishedMap) -> Ground | None:
    """None for a picture."""
    place = map_.place
    if place is None:
        return None
    height, width = map_.size
    across, down = place.pixel_m(height, width)
    middle = np.array([[width / 2, height / 2]])
    degrees = reproject(place.to_map(middle), place.crs_wkt, WGS84)
    step = 1e-4 if degrees[0, 1] < 89.9 else -1e-4
    northwards = (
        place.to_pixels(reproject(degrees + np.array([[0, step]]), WGS84, place.crs_wkt)) - middle
    )
    x, y = (northwards[0] * np.sign(step)).tolist()
    bar = _nice(_LONGEST_BAR * width * across)
    return Ground(
        (across, down), math.degrees(math.atan2(x * across, -y * down)) % 360,
        lat_lon(*degrees[0].tolist()), _name(place.crs_wkt), bar, bar / (width * across),
    )  # fmt: skip


def lat_lon(longitude: float, latitude: float) -> str:
    longitude = (longitude + 180) % 360 - 180
    return (
        f"{abs(latitude):.5f}° {'N' if latitude >= 0 else 'S'}, "
        f"{abs(longitude):.5f}° {'E' if longitude >= 0 else 'W'}"
    )


def _nice(most: float) -> float:
    """The largest of 1, 2, 5, 10, ... that is not more."""
    power = 10.0 ** math.floor(math.log10(most))
    return max(each * power for each in _NICE if each * power <= most * (1 + 1e-9))


def _name(wkt: str) -> str:
    from runtime.libraries import library

    code = library("rasterio.crs").CRS.from_wkt(wkt).to_epsg()
    return f"{short(wkt)} (EPSG:{code})" if code else short(wkt)
