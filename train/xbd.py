"""The xBD data set on disk: which tiles there are, their labels, and the official masks.

Needs no torch, so that benchmarks and calibration read the same tiles the same way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from runtime.damage import CLASS_NAMES, IGNORE, UNCLASSIFIED
from runtime.errors import DataError
from runtime.source.picture import read_pair

_STEM = re.compile(r"(?P<disaster>.+)_(?P<number>\d+)_(?P<when>pre|post)_disaster")
_SUFFIXES = (".png", ".tif", ".tiff")
_DAMAGE_VALUE = {name: value for value, name in enumerate(CLASS_NAMES) if value > 0}
_FARTHEST = 1_000_000
"""Pixels. No tile reaches there, and filling a polygon that does takes seconds."""


@dataclass(frozen=True)
class Footprint:
    """One labelled footprint. `polygon` is in pixels (x right, y down)."""

    uid: str
    polygon: BaseGeometry
    damage: int | None
    """1..4, IGNORE for un-classified, None in a pre-disaster label."""


@dataclass(frozen=True)
class Tile:
    """A pre/post pair of images, with its labels where the split has them."""

    name: str
    disaster: str
    pre: Path
    post: Path
    pre_label: Path | None
    post_label: Path | None

    @property
    def labelled(self) -> bool:
        return self.pre_label is not None and self.post_label is not None

    def images(self) -> tuple[np.ndarray, np.ndarray]:
        """Pre and post, uint8 [H, W, 3] RGB each."""
        return read_pair(self.pre, self.post)

    @property
    def labels(self) -> tuple[Path, Path]:
        """The pre label and the post label."""
        if self.pre_label is None or self.post_label is None:
            raise DataError(f"{self.name}: has no labels; expected a labels/ folder beside images/")
        return self.pre_label, self.post_label

    @property
    def buildings(self) -> tuple[list[Footprint], list[Footprint]]:
        """Footprints of the pre label and of the post label, read anew each time: those of a
        whole data set would fill the memory of every loader process."""
        before, after = self.labels
        return read_label(before, damage=False), read_label(after, damage=True)

    def targets(self, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Building target (0, 1; pre footprints) and damage target (0..4, 255), uint8 [H, W]."""
        before, after = self.buildings
        building = rasterise(before, height, width, lambda _: 1)
        damage = rasterise(after, height, width, lambda b: IGNORE if b.damage is None else b.damage)
        return building, damage


def find_tiles(root: Path, split: str, *, labelled: bool = True) -> list[Tile]:
    """Every pair of `root/split`, sorted by name.

    Raises:
        DataError: the split is absent or empty, or the first problem that `survey` finds.
    """
    tiles, problems = survey(root, split, labelled=labelled)
    if problems:
        raise DataError(problems[0])
    return tiles


def survey(root: Path, split: str, *, labelled: bool = True) -> tuple[list[Tile], list[str]]:
    """The whole pairs of `root/split`, sorted by name, and what is wrong with the rest.

    A problem is one line that names the file: a foreign name, an image without its other
    half, a label without its image, or (with `labelled`) an image without a label.

    Raises:
        DataError: the split is absent or empty.
    """
    images, labels = Path(root) / split / "images", Path(root) / split / "labels"
    if not images.is_dir():
        found = sorted(p.parent.name for p in Path(root).glob("*/images"))
        raise DataError(
            f"{images}: no such folder; expected an xBD split (found here: "
            f"{', '.join(found) or 'none'})"
        )
    problems: list[str] = []
    by_key = _by_key((p for p in images.iterdir() if p.suffix.lower() in _SUFFIXES), problems)
    label_by_key = _by_key(labels.glob("*.json"), problems)
    for key, label in label_by_key.items():
        if key not in by_key:
            problems.append(f"{label}: label without image; expected {images / label.stem}.png")
    tiles = []
    for (name, when), path in by_key.items():
        half = "post" if when == "pre" else "pre"
        pre_label, post_label = label_by_key.get((name, "pre")), label_by_key.get((name, "post"))
        if (name, half) not in by_key:
            problems.append(f"{path}: has no {half}-disaster image beside it; a pair needs both")
        elif when == "post":
            continue
        elif labelled and (pre_label is None or post_label is None):
            problems.append(
                f"{path}: has no label; expected {labels / path.stem}.json and its post"
            )
        else:
            disaster, post = name.rpartition("_")[0], by_key[name, "post"]
            tiles.append(Tile(name, disaster, path, post, pre_label, post_label))
    if not tiles and not problems:
        raise DataError(
            f"{images}: holds no tile; expected *_pre_disaster.png and *_post_disaster.png"
        )
    return tiles, problems


def splits(root: Path) -> list[str]:
    """Names of the splits under `root` that have labels, in alphabetical order."""
    return sorted(p.parent.name for p in Path(root).glob("*/labels") if any(p.glob("*.json")))


def read_label(path: Path, *, damage: bool) -> list[Footprint]:
    """The `xy` footprints of a label file.

    Raises:
        DataError: not JSON, a missing key, an unparsable or empty WKT, or an unknown
            subtype; the message names the file and the building's uid.
    """
    try:
        features = json.loads(path.read_text())["features"]["xy"]
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a JSON label ({error}); restore the file") from error
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: no features.xy; expected an xBD label") from error
    if not isinstance(features, list) or not all(isinstance(f, dict) for f in features):
        raise DataError(f"{path}: features.xy is no list of buildings; expected an xBD label")
    return [_building(path, feature, damage) for feature in features]


def _building(path: Path, feature: dict[str, Any], damage: bool) -> Footprint:
    properties = feature.get("properties")
    if not isinstance(properties, dict):
        properties = {}
    uid = str(properties.get("uid", "?"))
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # refused below
            polygon = shapely.from_wkt(feature["wkt"])
    except (shapely.errors.ShapelyError, KeyError, TypeError) as error:
        raise DataError(f"{path}: building {uid} has an unparsable WKT ({error})") from error
    if polygon is None or polygon.geom_type not in ("Polygon", "MultiPolygon") or polygon.is_empty:
        raise DataError(f"{path}: building {uid} is not a polygon; expected POLYGON ((x y, ...))")
    if not (abs(shapely.get_coordinates(polygon)) <= _FARTHEST).all():
        raise DataError(
            f"{path}: building {uid} has a corner not within {_FARTHEST} pixels; "
            "expected x and y in pixels"
        )
    if not damage:
        return Footprint(uid, polygon, None)
    subtype = properties.get("subtype")
    if subtype == UNCLASSIFIED:
        return Footprint(uid, polygon, IGNORE)
    if not isinstance(subtype, str) or subtype not in _DAMAGE_VALUE:
        known = ", ".join([*_DAMAGE_VALUE, UNCLASSIFIED])
        raise DataError(f"{path}: building {uid} has subtype {subtype!r}; expected one of {known}")
    return Footprint(uid, polygon, _DAMAGE_VALUE[subtype])


def rasterise(
    buildings: Iterable[Footprint], height: int, width: int, value: Callable[[Footprint], int]
) -> np.ndarray:
    """Masks by the official rule: `cv2.fillPoly` of the rounded int32 exterior, in label order.

    Returns:
        uint8 [H, W], 0 outside every footprint.
    """
    mask = np.zeros((height, width), np.uint8)
    for building in buildings:
        for part in shapely.get_parts(building.polygon):
            exterior = np.asarray(part.exterior.coords)[:, :2]
            cv2.fillPoly(mask, [np.round(exterior).astype(np.int32)], value(building))
    return mask


def _by_key(paths: Iterable[Path], problems: list[str]) -> dict[tuple[str, str], Path]:
    """Files by (tile, pre or post), sorted; a foreign name becomes a problem."""
    found = {}
    for path in sorted(paths):
        match = _STEM.fullmatch(path.stem)
        if match is None:
            problems.append(
                f"{path}: not an xBD name; "
                "expected <disaster>_<number>_pre_disaster or _post_disaster"
            )
        else:
            found[f"{match['disaster']}_{match['number']}", match["when"]] = path
    return dict(sorted(found.items()))
