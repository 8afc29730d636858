"""xBD's label files for a synthetic tile: polygons in px and in degrees, and metadata."""

from __future__ import annotations

import datetime
import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtime.damage import CLASS_NAMES, IGNORE, UNCLASSIFIED
from train.synthetic.photo import View
from train.synthetic.plan import stream
from train.synthetic.scene import Scene

PIXEL = 0.55
"""Ground size of a pixel, metres."""
METRES_PER_DEGREE = 111_320.0
"""Of latitude; of longitude at the equator."""
SENSORS = ("WORLDVIEW02", "WORLDVIEW03_VNIR", "GEOEYE01")


@dataclass(frozen=True)
class Place:
    """Where a tile lies: north is up, longitude and latitude of px (0, 0), degrees per px."""

    longitude: float
    latitude: float
    per_px: tuple[float, float]

    def lng_lat(self, xy: np.ndarray) -> np.ndarray:
        """float [K, 2] xy to longitude and latitude."""
        return np.array([self.longitude, self.latitude]) + np.asarray(xy) * self.per_px


def place_tile(seed: int, index: int, size: int) -> Place:
    """Tiles of a set lie side by side around one invented town."""
    rng = np.random.default_rng(seed)
    latitude, longitude = rng.uniform(12, 42), rng.uniform(-110, -75)
    step = PIXEL / METRES_PER_DEGREE
    per_px = (step / math.cos(math.radians(latitude)), -step)
    row, col = divmod(index, 64)
    return Place(longitude + col * size * per_px[0], latitude + row * size * per_px[1], per_px)


def stem(tile: Scene, index: int, when: str) -> str:
    """`when` is pre or post."""
    return f"{tile.disaster}_{index:08d}_{when}_disaster"


def label(tile: Scene, seed: int, index: int, when: str) -> dict[str, Any]:
    """The content of one label file. Both carry the pre picture's polygons, as in xBD."""
    size = tile.pre.shape[0]
    place = place_tile(seed, index, size)
    xy, lng_lat = [], []
    for building in tile.buildings:
        properties = {"feature_type": "building"}
        if when == "post":
            properties["subtype"] = (
                UNCLASSIFIED if building.damage == IGNORE else CLASS_NAMES[building.damage]
            )
        properties["uid"] = building.uid
        xy.append({"properties": properties, "wkt": _wkt(building.polygon)})
        geographic = place.lng_lat(building.polygon)
        lng_lat.append({"properties": properties, "wkt": _wkt(geographic)})
    return {
        "features": {"lng_lat": lng_lat, "xy": xy},
        "metadata": _metadata(tile, seed, index, when),
    }


def _metadata(tile: Scene, seed: int, index: int, when: str) -> dict[str, Any]:
    size = tile.pre.shape[0]
    view: View = tile.pre_view if when == "pre" else tile.post_view
    rng = stream(seed, index, size, "place")
    sensor = str(rng.choice(SENSORS))
    days = int(rng.integers(40, 400)) if when == "pre" else -int(rng.integers(1, 12))
    taken = datetime.datetime(2018, 9, 1, 16, 0) - datetime.timedelta(days=days)
    taken += datetime.timedelta(seconds=int(rng.integers(0, 7200)))
    name = stem(tile, index, when)
    # The number of the catalogue entry; nothing hangs on it but that it is stable.
    digest = hashlib.sha256(f"{seed}/{size}/{name}".encode()).hexdigest()
    return {
        "sensor": sensor,
        "provider_asset_type": sensor,
        "gsd": round(PIXEL * 4, 4),
        "capture_date": taken.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "off_nadir_angle": round(float(rng.uniform(4, 28)), 5),
        "pan_resolution": PIXEL,
        "sun_azimuth": round(view.sun.azimuth, 5),
        "sun_elevation": round(view.sun.elevation, 5),
        "target_azimuth": round(float(rng.uniform(0, 360)), 5),
        "disaster": tile.disaster,
        "disaster_type": tile.disaster.removeprefix("synthetic-"),
        "catalog_id": digest[:16].upper(),
        "original_width": size,
        "original_height": size,
        "width": size,
        "height": size,
        "id": digest[16:40],
        "img_name": f"{name}.png",
    }


def _wkt(ring: np.ndarray) -> str:
    closed = np.concatenate([ring, ring[:1]])
    return f"POLYGON (({', '.join(f'{x!r} {y!r}' for x, y in closed.tolist())}))"
