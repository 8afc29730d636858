"""The damage scales that other organisations use, and where each of our classes goes.

What is told of a field or value as published was read in the sources that docs/how-to/hand-over.md
names; it says also what of each convention is not certain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.damage import (
    CLASS_NAMES,
    DAMAGE_CLASSES,
    DESTROYED,
    MAJOR_DAMAGE,
    MINOR_DAMAGE,
    NO_DAMAGE,
    NODATA,
)
from runtime.finished.buildings import Buildings

Columns = dict[str, NDArray[Any]]

EMS = {
    NO_DAMAGE: "No visible damage",
    MINOR_DAMAGE: "Possibly damaged",
    MAJOR_DAMAGE: "Damaged",
    DESTROYED: "Destroyed",
    NODATA: "Not Analysed",
}
"""`damage_gra` of Copernicus EMS Rapid Mapping."""

EMS_METHODS = ("Automatic extraction", "Photo-interpretation")
"""`det_method`: of the engine, and where a person said what the building is."""

EMS_BEFORE, EMS_AFTER = 1, 2
"""`src_id` of the images."""

FEMA: Mapping[int, str | None] = {
    NO_DAMAGE: "No Damage",
    MINOR_DAMAGE: "Minor",
    MAJOR_DAMAGE: "Major",
    DESTROYED: "Destroyed",
    NODATA: None,
}
"""`DMG_LEVEL` of FEMA's damage assessment database, which has no value for what is not known."""

UNOSAT: Mapping[int, int | None] = {
    DESTROYED: 1,
    MAJOR_DAMAGE: 2,
    MINOR_DAMAGE: 3,
    NO_DAMAGE: 6,
    NODATA: None,
}
"""`Main_Damage_Site_Class` of UNOSAT; 4 (possible damage) is not used."""

UNOSAT_NAMES = {1: "Destroyed", 2: "Severe Damage", 3: "Moderate Damage", 6: "No Visible Damage"}

UNOSAT_BUILDINGS = 1
"""`Grouped_Damage_Classes`: buildings."""


@dataclass(frozen=True)
class Convention:
    """file, layer: as they are called. points: one in each building, in place of its outline.

    columns: of some buildings; the date of the image after, ISO 8601, or None.
    """

    file: str
    layer: str
    points: bool
    columns: Callable[[Buildings, str | None], Columns]


def _ems(chunk: Buildings, taken: str | None) -> Columns:
    count = len(chunk)
    return {
        "obj_type": _all("997-Not Applicable", count),
        "name": _all("Unknown", count),
        "info": _all("997-Not Applicable", count),
        "damage_gra": _mapped(EMS, chunk),
        "det_method": np.where(chunk.checked, EMS_METHODS[1], EMS_METHODS[0]).astype(object),
        "notation": _all("Not Applicable", count),
        "or_src_id": np.full(count, EMS_BEFORE, np.int32),
        "dmg_src_id": np.full(count, EMS_AFTER, np.int32),
        "cd_value": _all("Not Applicable", count),
        **ours(chunk),
    }


def _fema(chunk: Buildings, taken: str | None) -> Columns:
    count = len(chunk)
    return {
        "DMG_LEVEL": _mapped(FEMA, chunk),
        "DMG_TYPE": np.full(count, None, object),
        "ASMT_TYPE": _all("Remote Sensing", count),
        "IMG_DATE": np.full(count, taken[:10] if taken else None, object),
        **ours(chunk),
    }


def _unosat(chunk: Buildings, taken: str | None) -> Columns:
    count = len(chunk)
    codes = [UNOSAT[each] for each in chunk.damage.tolist()]
    named = [UNOSAT_NAMES[each] if each else None for each in codes]
    missing = np.array([each is None for each in codes], bool)
    return {
        "SensorDate": np.full(count, taken[:10] if taken else None, object),
        "Main_Damage_Site_Class": np.ma.MaskedArray(
            np.array([each or 0 for each in codes], np.int32), missing
        ),
        "Main_Damage_Site_Class_Name": np.array(named, object),
        "Grouped_Damage_Classes": np.full(count, UNOSAT_BUILDINGS, np.int32),
        "FieldValidation": _all("Not yet field validated", count),
        **ours(chunk),
    }


CONVENTIONS = {
    "ems": Convention("ems.gpkg", "builtUpA", False, _ems),
    "fema": Convention("fema.gpkg", "damage_assessment", False, _fema),
    "unosat": Convention("unosat.gpkg", "damage_sites", True, _unosat),
}


def ours(chunk: Buildings) -> Columns:
    """What each form has of the toolkit's own, so that no mapping of classes loses anything."""
    names = {each: CLASS_NAMES[each] for each in DAMAGE_CLASSES}
    return {
        "map_damage": chunk.status,
        "map_as_seen": np.array(
            [names.get(each) for each in chunk.mapped.tolist()], object
        ),
        "map_corrected": chunk.corrected.astype(np.int16),
        "map_corrected_at": np.where(chunk.corrected, chunk.when, np.full(len(chunk), None)),
        "map_confidence": np.round(chunk.confidence, 4),
        "map_area_m2": np.round(chunk.area_m2, 2),
        "map_cut": chunk.cut,
        "map_fid": np.ma.MaskedArray(chunk.fid, chunk.fid == 0),
    }  # fmt: skip


def _mapped(table: Mapping[int, Any], chunk: Buildings) -> NDArray[Any]:
    return np.array([table[each] for each in chunk.damage.tolist()], object)


def _all(value: str, count: int) -> NDArray[Any]:
    return np.full(count, value, object)
