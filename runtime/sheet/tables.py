"""The tables of a sheet: buildings by class, the worst cells, and what was not computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runtime.damage import CLASS_NAMES, DAMAGE_CLASSES, DESTROYED, NO_DAMAGE
from runtime.finished.buildings import NOT_GRADED, Corrected
from runtime.finished.folder import FinishedMap
from runtime.sheet.ground import ground_of
from runtime.sheet.text import area, clean, number, share
from runtime.sheet.worst_cells import WorstCells


@dataclass(frozen=True)
class Table:
    """title, header and rows of text; the first column is a name, the others are numbers."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    below: str = ""


def totals_table(map_: FinishedMap, totals: Mapping[str, int], corrected: Corrected) -> Table:
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
        if not_blind := estimate["checked"] - estimate.get("checked_blind", estimate["checked"]):
            below += f" Of these, {number(not_blind)} were not checked blind, or nobody says so."
        if estimate["corrections"] != corrected.count:
            below += " Corrections were made since: make the estimate again."
    return Table("Buildings by class", header, rows, below)


def worst_table(cells: WorstCells) -> Table:
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


def unknown_table(map_: FinishedMap) -> Table:
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


def _largest(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda each: (-each[1], each[0]))
