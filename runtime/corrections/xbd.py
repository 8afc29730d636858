"""Corrected buildings as a folder of the xBD data set, to train on.

What nobody looked at is no truth: it is a building whose damage is un-classified, which no loss of
the damage counts. Tiles without a correction are left out.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from runtime import files, resolution
from runtime.corrections.blob import Ring
from runtime.corrections.finished_map import FinishedMap
from runtime.corrections.store import NOT_A_BUILDING, Corrections
from runtime.damage import DAMAGE_CLASSES, UNCLASSIFIED
from runtime.errors import ConfigError
from runtime.identity import reading_of, stamp
from runtime.registering import registered
from runtime.source.georeference import WGS84, reproject
from runtime.source.pair import ScenePair, pair_of

SIDE = 1024
"""Pixels of a tile, as of xBD's own; smaller where the scene is."""

SPLIT = "train"


@dataclass(frozen=True)
class Exported:
    """Buildings that are in a tile. not_a_building: those that were corrected to that, and have no
    label; the others have one."""

    tiles: int
    corrected: int
    unchecked: int
    not_a_building: int


@dataclass(frozen=True, eq=False)
class _Footprint:
    """box: left, top, right, bottom, pixels."""

    uid: str
    subtype: str
    corrected: bool
    polygons: tuple[tuple[Ring, ...], ...]
    box: tuple[float, float, float, float]


def export(
    folder: Path | str,
    out: Path | str,
    pre: Path | None = None,
    post: Path | None = None,
    side: int = SIDE,
    as_mapped: bool = False,
) -> Exported:
    """Write `out`/train/images and `out`/train/labels, which appear whole or not at all.

    pre, post: the images, where they are not any more where they were mapped.
    as_mapped: what nobody looked at has the class of the map.
    Raises ConfigError where nothing was corrected, `out` holds something, or the images are gone.
    """
    corrections, out = Corrections(folder), Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out}: is there already; expected a new folder")
    if side < 64:
        raise ConfigError(f"--tile {side}: expected 64 pixels or more")
    footprints, false_alarms = _footprints(corrections, as_mapped)
    asked = [each.box for each in footprints if each.corrected] + false_alarms
    labelled: dict[str, bool] = {}
    gone: set[int] = set()
    if not asked:
        raise ConfigError(
            f"{corrections.path}: nothing was corrected or found right; there is nothing to export"
        )
    name = re.sub(r"[^A-Za-z0-9-]+", "-", corrections.map.folder.absolute().name).strip("-")
    tiles = 0
    with (
        _images(corrections.map, pre, post) as pair,
        files.replacing_folder(out) as temporary,
    ):
        for kind in ("images", "labels"):
            (temporary / SPLIT / kind).mkdir(parents=True)
        for top, left, height, width in _tiles(pair.height, pair.width, side):
            window = (left, top, left + width, top + height)
            if not any(_meet(box, window) for box in asked):
                continue
            here = [each for each in footprints if _meet(each.box, window)]
            _write(temporary / SPLIT, f"{name or 'map'}_{tiles:08d}", pair, here, window)
            tiles += 1
            labelled |= {each.uid: each.corrected for each in here}
            gone |= {at for at, box in enumerate(false_alarms) if _meet(box, window)}
    corrected = sum(labelled.values())
    return Exported(tiles, corrected, len(labelled) - corrected, len(gone))


def _footprints(
    corrections: Corrections, as_mapped: bool
) -> tuple[list[_Footprint], list[tuple[float, float, float, float]]]:
    """Buildings, and the boxes of what is none."""
    found, alarms = [], []
    for each in corrections.buildings():
        if not each.polygons:
            continue
        if each.corrected == NOT_A_BUILDING:
            alarms.append(_box(each.polygons))
            continue
        mapped = each.damage_class if each.damage_class in _SUBTYPES and as_mapped else None
        subtype = each.corrected or mapped or UNCLASSIFIED
        found.append(_Footprint(
            f"building-{each.id}", subtype, each.corrected is not None, each.polygons,
            _box(each.polygons),
        ))  # fmt: skip
    for drawn in corrections.all():
        if drawn.building is None and drawn.ring:
            polygons = ((np.array(drawn.ring),),)
            found.append(
                _Footprint(f"drawn-{drawn.id}", drawn.new_class, True, polygons, _box(polygons))
            )
    return found, alarms


_SUBTYPES = {"no-damage", "minor-damage", "major-damage", "destroyed"}
assert len(_SUBTYPES) == len(DAMAGE_CLASSES)


@contextmanager
def _images(of: FinishedMap, pre: Path | None, post: Path | None) -> Iterator[ScenePair]:
    """As they were read for the map: the same grid, scale and registration."""
    identity = of.summary.get("identity") or {}
    options = identity.get("options") or {}
    paths = []
    for (kept, *_), given in zip(identity.get("images", ()), (pre, post), strict=False):
        path = given or Path(kept[0])
        if not path.is_file() or (given is None and stamp(path) != kept):
            what = "was changed" if path.is_file() else "is not there any more"
            raise ConfigError(
                f"{path}: {what}; give the images that were mapped with --pre and --post"
            )
        paths.append(path)
    if not paths:
        raise ConfigError(f"{of.folder}: its summary does not say which images were mapped")
    reading = reading_of(options)
    if reading.label and not reading.label.is_file():
        reading = replace(reading, label=None)
    with (
        pair_of(paths[0], paths[1], reading) as pair,
        tempfile.TemporaryDirectory() as folder,
    ):
        if (pair.height, pair.width) != (of.height, of.width):
            raise ConfigError(
                f"{paths[0]}: {pair.height}x{pair.width} (height x width), the map has "
                f"{of.height}x{of.width}; expected the images that were mapped"
            )
        asked = bool(options.get("register"))
        yield (
            registered(pair, asked, resolution.pixel_m(pair), Path(folder), {}).pair
            if asked
            else pair
        )


def _tiles(height: int, width: int, side: int) -> Iterator[tuple[int, int, int, int]]:
    """Top, left, height, width; all of one size, the last of a row further in."""
    high, wide = min(side, height), min(side, width)
    for top in range(0, height, high):
        for left in range(0, width, wide):
            yield min(top, height - high), min(left, width - wide), high, wide


def _write(
    split: Path,
    tile: str,
    pair: ScenePair,
    here: list[_Footprint],
    window: tuple[int, int, int, int],
) -> None:
    left, top, right, bottom = window
    before, after, known = pair.read(top, left, bottom - top, right - left)
    for when, pixels in (("pre", before), ("post", after)):
        shown = pixels if known is None else np.where(known[..., None], pixels, 0)
        stem = f"{tile}_{when}_disaster"
        fine, content = cv2.imencode(".png", np.ascontiguousarray(shown[..., ::-1]))
        assert fine
        (split / "images" / f"{stem}.png").write_bytes(content.tobytes())
        label = {
            "features": _features(here, pair, left, top, when == "post"),
            "metadata": {
                "disaster": tile.rpartition("_")[0],
                "img_name": f"{stem}.png",
                "height": bottom - top,
                "width": right - left,
                "original_height": bottom - top,
                "original_width": right - left,
            },
        }
        (split / "labels" / f"{stem}.json").write_text(json.dumps(label), encoding="utf-8")


def _features(
    here: list[_Footprint], pair: ScenePair, left: int, top: int, damage: bool
) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {"xy": [], "lng_lat": []}
    place = pair.georeference
    for each in here:
        properties = {"feature_type": "building", "uid": each.uid}
        if damage:
            properties["subtype"] = each.subtype
        for space in found:
            if space == "lng_lat" and place is None:
                continue
            polygons = [
                [
                    ring - (left, top)
                    if space == "xy" or place is None
                    else reproject(place.to_map(ring), place.crs_wkt, WGS84)
                    for ring in polygon
                ]
                for polygon in each.polygons
            ]
            found[space].append({"properties": properties, "wkt": _wkt(polygons)})
    return found


def _wkt(polygons: list[list[Ring]]) -> str:
    texts = []
    for polygon in polygons:
        rings = (
            "(" + ", ".join(f"{x:.10g} {y:.10g}" for x, y in r.tolist()) + ")" for r in polygon
        )
        texts.append("(" + ", ".join(rings) + ")")
    return f"POLYGON {texts[0]}" if len(texts) == 1 else f"MULTIPOLYGON ({', '.join(texts)})"


def _box(polygons: tuple[tuple[Ring, ...], ...]) -> tuple[float, float, float, float]:
    points = np.concatenate([polygon[0] for polygon in polygons])
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return left, top, right, bottom


def _meet(
    box: tuple[float, float, float, float], window: tuple[float, float, float, float]
) -> bool:
    return box[0] < window[2] and box[2] > window[0] and box[1] < window[3] and box[3] > window[1]
