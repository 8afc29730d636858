"""Corrections as a person would make them, from true labels; and a score on the other buildings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from runtime.damage import CLASS_NAMES, DAMAGE_CLASSES
from runtime.libraries import library
from runtime.source.georeference import Georeference
from train.adaptation.features import CORRECTED
from train.footprint_score import FootprintCounts
from train.inference import predict_maps
from train.model import DualHRNet
from train.xbd import Footprint, Tile


def dealt(tile: Tile, most: int, seed: int = 0) -> tuple[list[Footprint], list[Footprint]]:
    """Buildings with a class in random order: those that may be corrected, and those scored."""
    judged = [each for each in tile.buildings[1] if each.damage in DAMAGE_CLASSES]
    order = np.random.default_rng(seed).permutation(len(judged))
    return [judged[i] for i in order[:most]], [judged[i] for i in order[most:]]


def write_corrections(buildings: Sequence[Footprint], place: Georeference, path: Path) -> None:
    """A GeoPackage whose column `corrected` holds the true classes."""
    geometry = np.array([each.polygon for each in buildings], object)
    points = place.to_map(shapely.get_coordinates(geometry))
    library("pyogrio.raw").write(
        str(path),
        geometry=shapely.to_wkb(shapely.set_coordinates(geometry.copy(), points)),
        geometry_type="Unknown",
        field_data=[np.array([CLASS_NAMES[each.damage or 0] for each in buildings], object)],
        fields=np.array([CORRECTED], object),
        layer="buildings",
        driver="GPKG",
        crs=place.crs_wkt,
    )


def score(
    network: DualHRNet, tiles: Sequence[tuple[Tile, Sequence[Footprint], Sequence[Footprint]]]
) -> dict[str, Any]:
    """By building, over tiles with the buildings that are left out and those that are scored.

    A false alarm is a group of building pixels on no footprint, a left-out one included.
    """
    total = FootprintCounts()
    for tile, left_out, scored in tiles:
        damage = predict_maps(network, *tile.images())[0]
        others, everything = FootprintCounts(), FootprintCounts()
        everything.add(damage, [*left_out, *scored])
        others.add(damage, left_out)
        everything.confusion[1:] -= others.confusion[1:]
        everything.detection[[0, 2]] -= others.detection[[0, 2]]
        total = total + everything
    confusion = total.confusion[1:]
    tallies = list(zip(DAMAGE_CLASSES, total.class_tallies, strict=True))
    class_f1 = {CLASS_NAMES[value]: tally.f1 for value, tally in tallies if tally.actual}
    return {
        "buildings": int(confusion.sum()),
        "accuracy": float(np.trace(confusion[:, 1:]) / confusion.sum()),
        "f1": float(np.mean(list(class_f1.values()))),
        "class_f1": class_f1,
        "recall": total.detection_tally.recall,
        "false_alarms": total.detection_tally.false_positive,
    }
