"""What a sheet says, as text and numbers that are written once, for the HTML and the PDF alike."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runtime.damage import (
    CLASS_COLOURS,
    CLASS_NAMES,
    DAMAGE_CLASSES,
    NODATA_NAME,
)
from runtime.finished.buildings import NOT_GRADED, Corrected, corrections_of
from runtime.finished.engine import manifest_of
from runtime.finished.folder import FinishedMap
from runtime.finished.images import Image, images_of
from runtime.output.overlay import NODATA_COLOUR
from runtime.sheet.ground import Ground, ground_of
from runtime.sheet.picture import Pictures, pictures_of
from runtime.sheet.tables import Table, totals_table, unknown_table, worst_table
from runtime.sheet.text import clean, number, share
from runtime.sheet.worst_cells import WorstCells, worst_cells

MOST_NOTES = 8
LONGEST_NOTE = 320
"""Characters."""


@dataclass(frozen=True, eq=False)
class Sheet:
    """All text is for a person, plain and printable; whoever writes it escapes it.

    warnings: what must not be overlooked. headline: number, what it counts, its colour, and the
    interval of its estimate or "".
    """

    title: str
    subtitle: str
    warnings: Sequence[str]
    headline: Sequence[tuple[str, str, tuple[int, int, int], str]]
    headline_note: str
    facts: Sequence[tuple[str, str]]
    pictures: Pictures
    picture_note: str
    legend: Sequence[tuple[str, tuple[int, int, int]]]
    ground: Ground | None
    cells: WorstCells | None
    totals: Table
    worst: Table | None
    unknown: Table
    notes: Sequence[str]
    made_with: Sequence[tuple[str, str]]
    footer: str


def sheet_of(
    map_: FinishedMap,
    title: str | None = None,
    taken: tuple[str | None, str | None] = (None, None),
    now: datetime.datetime | None = None,
) -> Sheet:
    """taken: dates of the images before and after that a person gives."""
    corrected = corrections_of(map_)
    held = [each for each in (*corrected.by_building.values(), *corrected.drawn) if each.changes]
    totals = corrected.totals
    images = images_of(map_, taken)
    pictures = pictures_of(map_, held)
    ground = ground_of(map_)
    made = now or datetime.datetime.now(datetime.timezone.utc)
    notes = _notes(map_)
    found = worst_cells(map_) if map_.place else None
    cells = found if isinstance(found, WorstCells) else None
    if isinstance(found, str):
        notes = [*notes, clean(found)]
    return Sheet(
        title=clean(title or "Building damage map"),
        subtitle=clean(map_.name),
        warnings=_warnings(map_),
        headline=[
            (
                number(totals[CLASS_NAMES[each]]),
                CLASS_NAMES[each],
                CLASS_COLOURS[each],
                _interval(map_, CLASS_NAMES[each]),
            )
            for each in reversed(DAMAGE_CLASSES)
        ],
        headline_note=_headline_note(map_, totals, corrected),
        facts=_facts(map_, images, ground),
        pictures=pictures,
        picture_note=_picture_note(pictures, cells),
        legend=[
            *((CLASS_NAMES[each], CLASS_COLOURS[each]) for each in DAMAGE_CLASSES),
            (f"{NODATA_NAME}: nothing is known there", NODATA_COLOUR),
        ],
        ground=ground,
        cells=cells,
        totals=totals_table(map_, totals, corrected),
        worst=worst_table(cells) if cells else None,
        unknown=unknown_table(map_),
        notes=notes,
        made_with=_made_with(map_),
        footer=f"Sheet made {made:%Y-%m-%d %H:%M} UTC by the Dual-HRNet toolkit from {map_.name}. "
        "Seen from above by a machine: not an inspection on the ground.",
    )


def _interval(map_: FinishedMap, name: str) -> str:
    of = (map_.estimate or {}).get("classes", {}).get(name)
    return f"estimated {number(of['low'])} to {number(of['high'])}" if of else ""


def _warnings(map_: FinishedMap) -> list[str]:
    found = []
    if failed := map_.summary["failed_tiles"]:
        found.append(
            f"This map is not complete: {number(len(failed))} of {number(map_.summary['windows'])} "
            f"windows could not be computed. The first: {clean(failed[0]['reason'])}"
        )
    if altered := map_.altered():
        found.append(
            "Files of this map are missing, or were changed after it was made: "
            f"{clean(', '.join(altered))}"
        )
    return found


def _headline_note(map_: FinishedMap, totals: Mapping[str, int], corrected: Corrected) -> str:
    found = [f"of {number(sum(totals.values()))} buildings in the map"]
    if NOT_GRADED in totals:
        found.append(f"{number(totals[NOT_GRADED])} of them without a grade")
    if corrected.count:
        found.append(f"corrections by people that are counted in: {number(corrected.count)}")
    else:
        found.append("no corrections")
    return "; ".join(found)


def _facts(
    map_: FinishedMap, images: Sequence[Image], ground: Ground | None
) -> list[tuple[str, str]]:
    found = []
    for each in images:
        when = _date(each.taken) if each.taken else "date not known"
        source = f" ({each.source})" if each.source else ""
        found.append((f"Image {each.role}", clean(f"{when}{source}; {each.path.name}")))
    height, width = map_.size
    extent = f"{number(width)} x {number(height)} pixels"
    if ground:
        across, down = ground.pixel_m
        extent += (
            f" of {across:.2f} x {down:.2f} m; {number(width * across)} x {number(height * down)} m"
        )
        found.append(("Place of the centre", f"{ground.centre}; {clean(ground.crs)}"))
    else:
        found.append(("Place", "not known: a picture without coordinates; all sizes in pixels"))
    found.append(("Extent", extent))
    return found


def _date(text: str) -> str:
    return text.replace("T", " ").removesuffix("Z") + (" UTC" if "T" in text else "")


def _picture_note(pictures: Pictures, cells: WorstCells | None) -> str:
    found = []
    if cells and cells.rows:
        found.append("Letters: the cells of 500 m with the most damage, listed below")
    if pictures.before is None:
        found.append("The images before and after are no longer where they were mapped from")
    return ". ".join(found)


def _checked(map_: FinishedMap) -> str:
    """What was measured of the engine before it was let out."""
    manifest = manifest_of(map_)
    if manifest is None:
        return "not known: the engine's folder is not here"
    parity, gate = (manifest.verification.get(name) for name in ("parity", "gate"))
    found = []
    if parity and "label_agreement" in parity:
        found.append(f"{share(parity['label_agreement'])} of the labels as in training precision")
    if gate and "score" in gate["candidate"]:
        found.append(
            f"score {gate['candidate']['score']:.3f} (FP32 {gate['reference']['score']:.3f}) on "
            f"{gate['scenes']} labelled scenes"
        )
    else:
        found.append("accuracy on labelled scenes not measured")
    return "; ".join(found)


def _notes(map_: FinishedMap) -> list[str]:
    notes = [clean(each) for each in map_.summary["notes"]]
    found = [
        each if len(each) <= LONGEST_NOTE else f"{each[: LONGEST_NOTE - 3]}..." for each in notes
    ][:MOST_NOTES]
    if more := len(notes) - len(found):
        found.append(f"and {number(more)} more, in summary.json")
    return found


def _made_with(map_: FinishedMap) -> list[tuple[str, str]]:
    engine: dict[str, Any] = map_.summary["engine"]
    found = [
        (
            "Engine",
            f"{engine['architecture']} w{engine['model_width']}, {engine['precision']}, "
            f"{engine['backend']} {engine['run_with']}; built {engine['created'][:10]}",
        ),
        ("Checkpoint (sha256)", engine["checkpoint_sha256"]),
        ("Building threshold", f"{engine['threshold']:g}"),
    ]
    found.append(("Checked when built", _checked(map_)))
    gate = map_.summary.get("gate")
    if gate:
        found.append((
            "Window gate",
            f"skipped {number(gate['windows_skipped'])} of {number(map_.summary['windows'])} "
            f"windows as without a building, threshold {gate['threshold']}",
        ))  # fmt: skip
    else:
        found.append(("Window gate", "none: every window was computed that was asked for"))
    damage = map_.layer("damage").name
    found.append((f"{damage} (sha256)", map_.summary["files"][damage]["sha256"]))
    return [(name, clean(value)) for name, value in found]
