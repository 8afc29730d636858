"""An estimate in words: a table for the terminal, and what a reader of its figures has to know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runtime.corrections.store import NOT_A_BUILDING
from runtime.counts.checked import Checked
from runtime.counts.sample import Row, Sample
from runtime.damage import UNCLASSIFIED


def notes(sample: Sample, open_rows: Sequence[Row], with_missed: bool) -> list[str]:
    """What a reader of the figures has to know."""
    found = []
    if open_rows:
        found.append(
            f"{len(open_rows)} of {len(sample.rows)} rows are not checked and left out: right only "
            "if they are like the others of their stratum"
        )
    if not with_missed:
        found.append("no ground was searched: buildings that the map has not are not counted")
    sampled = {row.building for row in sample.rows}
    known = {each.building for each in sample.known}
    others = [
        each.building
        for each in sample.corrections.all()
        if each.building is not None and each.building not in sampled | known
    ]
    if others:
        found.append(
            f"{len(others)} buildings outside of the sample were corrected since it was drawn; "
            "that is not in the estimate (a sample that is drawn now takes them as known)"
        )
    for name, what in (
        ("buildings_not_computed", "buildings lie where nothing was computed, and are left out"),
        ("cells_not_computed", "cells of the ground were not computed, and are left out"),
        ("cells_partly_computed", "cells were computed in part; the rest of them is left out"),
    ):
        if number := int(sample.design.get(name, 0)):
            found.append(f"{number} {what}")
    return found


def of_sight(buildings: Sequence[Checked]) -> list[str]:
    """How many were not checked blind, where that is so. buildings: that are checked."""
    seen = sum(each.class_seen is True for each in buildings)
    unknown = sum(each.class_seen is None for each in buildings)
    found = []
    if seen:
        found.append(
            f"{seen} of {len(buildings)} buildings were not checked blind, the map's class was in "
            "sight: they agree with the map more often than they should"
        )
    if unknown:
        found.append(
            f"{unknown} of {len(buildings)} checked buildings do not say whether the map's class "
            "was in sight (class_seen)"
        )
    return found


def table(content: dict[str, Any]) -> str:
    """For the terminal."""
    level = f"{100 * content['level']:g} % interval"
    lines = [f"{'':<16}{'mapped':>8}{'estimate':>10}{level:>22}"]
    for name, row in content["classes"].items():
        mapped = "" if name in (NOT_A_BUILDING, UNCLASSIFIED) else str(row["mapped"])
        lines.append(f"{name:<16}{mapped:>8}{_figures(row)}")
    if missed := content["missed"]:
        lines.append(f"{'missed, in these':<16}{'':>8}{_figures(missed)}")
    lines.append(
        f"{content['checked']} buildings and {content['cells']} cells checked, {content['known']} "
        f"known before; {content['method']} estimate of {content['date']}"
    )
    return "\n".join([*lines, *content["notes"]])


def _figures(row: dict[str, Any]) -> str:
    interval = f"{row['low']:.0f} to {row['high']:.0f}"
    return f"{row['estimate']:>10.0f}{interval:>22}"
