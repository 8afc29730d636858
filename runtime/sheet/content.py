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
    DESTROYED,
    NO_DAMAGE,
    NODATA_NAME,
)
from runtime.finished.buildings import NOT_GRADED, Corrected, corrections_of
from runtime.finished.engine import manifest_of
from runtime.finished.folder import FinishedMap
from runtime.finished.images import Image, images_of
from runtime.output.overlay import NODATA_COLOUR
from runtime.sheet.ground import Ground, ground_of
from runtime.sheet.picture import Pictures, pictures_of
from runtime.sheet.worst_cells import WorstCells, worst_cells

MOST_NOTES = 8
LONGEST_NOTE = 320
"""Characters."""


@dataclass(frozen=True)
class Table:
    """title, header and rows of text; the first column is a name, the others are numbers."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    below: str = ""


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
        totals=_totals_table(map_, totals, corrected),
        worst=_worst_table(cells) if cells else None,
        unknown=_unknown_table(map_),
        notes=notes,
        made_with=_made_with(map_),
        footer=f"Sheet made {made:%Y-%m-%d %H:%M} UTC by the Dual-HRNet toolkit from {map_.name}. "
        "Seen from above by a machine: not an inspection on the ground.",
    )


def clean(text: object) -> str:
    """On one line, and without what a page could take for an order to turn or hide text."""
    flat = " ".join(str(text).split())
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in flat)


def number(value: float) -> str:
    return f"{value:,.0f}"


def share(value: float) -> str:
    """Never 0 % for a little, nor 100 % for not all."""
    if 0 < value < 0.001:
        return "< 0.1 %"
    if 0.999 < value < 1:
        return "> 99.9 %"
    return f"{value:.1%}".replace("%", " %")


def area(square_metres: float) -> str:
    if square_metres >= 1e7:
        return f"{square_metres / 1e6:,.1f} km²"
    return f"{square_metres / 1e4:,.2f} ha"


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


def _totals_table(map_: FinishedMap, totals: Mapping[str, int], corrected: Corrected) -> Table:
    estimate = map_.estimate
    header = ["Class", "As mapped"]
    if corrected.count:
        header.append("Corrected")
    header.append("Share")
    level = f"{estimate['level']:.0%}".replace("%", " %") if estimate else ""
    if estimate:
        header += ["Estimate", f"{level} interval"]
    whole = sum(totals.values())
    mapped = {**map_.mapped, NOT_GRADED: map_.summary.get("not_graded") or 0}
    names = [CLASS_NAMES[each] for each in reversed(DAMAGE_CLASSES)]
    if NOT_GRADED in totals or mapped[NOT_GRADED]:
        names.append(NOT_GRADED)
    totals = {NOT_GRADED: 0, **totals}
    rows = []
    for name in names:
        row = [name, number(mapped[name])]
        if corrected.count:
            row.append(number(totals[name]))
        row.append(share(totals[name] / whole) if whole else "-")
        if estimate:
            of = estimate["classes"].get(name)
            row += [number(of["estimate"]), f"{number(of['low'])} to {number(of['high'])}"] if of \
                else ["-", "-"]  # fmt: skip
        rows.append(row)
    last = ["all", number(sum(mapped.values()))]
    if corrected.count:
        last.append(number(whole))
    last.append("")
    rows.append([*last, *(["", ""] if estimate else [])])
    below = "No estimate: nobody checked a sample, so how wrong these counts may be is not known."
    if estimate:
        below = clean(
            f"Estimate from {estimate['checked']} buildings that people checked, "
            f"{estimate['date']}; {estimate['method']}."
        )
        if estimate["corrections"] != corrected.count:
            below += " Corrections were made since: make the estimate again."
    return Table("Buildings by class", header, rows, below)


def _worst_table(cells: WorstCells) -> Table:
    header = ("Cell", "Centre of what was seen", "Destroyed", "Major", "Minor", "None",
              "Computed")  # fmt: skip
    rows = [
        (
            each.letter, each.centre,
            *(number(each.buildings[n - 1]) for n in range(DESTROYED, NO_DAMAGE - 1, -1)),
            share(each.computed),
        )
        for each in cells.rows
    ]  # fmt: skip
    below = (
        f"Computed: share of the cell. The map touches {number(cells.count)} cells of 500 m; "
        f"{number(cells.not_analysed)} of them were not analysed."
    )
    if not rows:
        below = f"No damaged building in any cell. {below}"
    return Table("Where the most damage is", header, rows, below)


def _unknown_table(map_: FinishedMap) -> Table:
    summary = map_.summary
    height, width = map_.size
    whole = height * width
    unit = ground_of(map_)
    metres = unit.pixel_m[0] * unit.pixel_m[1] if unit else None
    failed = sum(each["height"] * each["width"] for each in summary["failed_tiles"])
    reasons = {
        why: count for why, count in summary["quality"]["px"].items() if why != "clear" and count
    }
    masked = sum(reasons.values()) if summary["quality"]["masked"] else 0
    nodata = summary["nodata_px"]
    failed = min(failed, nodata)
    asked = [name for name in ("aoi", "footprints") if summary.get(name)]
    rest = nodata - failed - masked
    lines: list[tuple[str, int]] = [("computed", whole - nodata), ("not computed", nodata)]
    if failed:
        lines.append(("- windows that failed", failed))
    if rest > 0:
        why = "- no data in the images"
        lines.append((f"{why}, or not asked for (--{', --'.join(asked)})" if asked else why, rest))
    if masked:
        lines += [(f"- {why}", count) for why, count in _largest(reasons)]
    elif reasons:
        lines.append(
            ("computed, but an image does not show the ground well", sum(reasons.values()))
        )
        lines += [(f"- {why}", count) for why, count in _largest(reasons)]
    gate = summary.get("gate")
    if gate and gate["skipped"]:
        skipped = sum(each[2] * each[3] for each in gate["skipped"])
        lines.append(("empty, says the engine's gate alone", skipped))
    rows = [
        (what, area(count * metres) if metres else f"{number(count)} px", share(count / whole))
        for what, count in lines
    ]
    below = "" if nodata or reasons else "All of the scene was computed, and both images show it."
    return Table("What was computed, and what not", ("Ground", "Area", "Share"), rows, below)


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


def _largest(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda each: (-each[1], each[0]))


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
