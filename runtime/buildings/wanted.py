"""What of a scene is asked for: windows, where footprints or an area say beforehand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.buildings.footprint_file import FootprintFile, open_footprints
from runtime.buildings.footprints import parts_of
from runtime.buildings.interest import read_area
from runtime.buildings.spans import Spans
from runtime.buildings.whereabouts import elsewhere
from runtime.errors import ConfigError, ImageError
from runtime.options import MapOptions
from runtime.scene.windows import WindowRows
from runtime.source.georeference import Georeference
from runtime.source.pair import ScenePair


@dataclass(frozen=True, eq=False)
class Wanted:
    """rows: with the windows that are asked for. area: merged spans of one polygon; None: all.

    counts: for summary.json.
    """

    rows: WindowRows
    footprints: FootprintFile | None = None
    area: Spans | None = None
    counts: dict[str, Any] = field(default_factory=dict)

    def notes(self, options: MapOptions) -> Iterator[str]:
        """For a person who may not read a summary."""
        skipped = self.counts["windows_skipped"]
        for reason, advice in (
            ("outside_area", f"are not computed: they lie outside of {options.aoi}"),
            (
                "no_footprint",
                f"are not computed: no footprint of {options.footprints} lies in them "
                "(--whole-scene computes them)",
            ),
        ):
            if skipped[reason]:
                yield f"{skipped[reason]} of {self.rows.count} windows {advice}"

    def count_gated(self, gate: Mapping[str, Any] | None) -> list[str]:
        """Add what a gate skipped (see `runtime.output.gate_record`); notes for a person."""
        if gate is None or not (skipped := gate["windows_skipped"]):
            return []
        self.counts["windows_skipped"]["gate"] = skipped
        self.counts["windows_computed"] -= skipped
        missed = gate["misses"].get("buildings_missed", "an unknown number")
        of = gate["misses"].get("buildings", "the")
        return [
            f"{skipped} of {self.rows.count} windows are not computed: the engine's gate finds "
            f"no building in them (it missed {missed} of {of} labelled buildings; --no-gate "
            "computes them)"
        ]


def wanted_of(pair: ScenePair, options: MapOptions, rows: WindowRows) -> Wanted:
    """What the options ask for of a pair whose windows are `rows`.

    Raises ConfigError for files that cannot be used with this scene, ImageError for a scene
    without a place.
    """
    skipped = {"outside_area": 0, "no_footprint": 0, "gate": 0}
    counts: dict[str, Any] = {"windows_computed": rows.count, "windows_skipped": skipped}
    found = Wanted(rows, counts=counts)
    if not (options.footprints or options.aoi):
        return found
    if pair.georeference is None:
        from runtime.source.place import without_place

        raise ImageError(without_place(pair.pre.path, "no CRS"))
    size, place = (pair.height, pair.width), pair.georeference
    if options.aoi:
        area = read_area(options.aoi, *size, place)
        marks = _Marks(rows)
        marks.add(area)
        found = replace(found, area=area, rows=replace(rows, wanted=marks.windows()))
        skipped["outside_area"] = rows.count - int(marks.windows().sum())
    if options.footprints:
        footprints = open_footprints(options.footprints, *size, place)
        marks = _marked(footprints, found, options, size, place)
        found = replace(found, footprints=footprints)
        if not options.whole_scene:
            found = replace(found, rows=replace(rows, wanted=marks.windows()))
            without = rows.count - int(marks.windows().sum())
            skipped["no_footprint"] = without - skipped["outside_area"]
    counts["windows_computed"] -= sum(skipped.values())
    return found


def _marked(
    footprints: FootprintFile,
    found: Wanted,
    options: MapOptions,
    size: tuple[int, int],
    place: Georeference,
) -> _Marks:
    """The windows of the footprints' pixels; how many there are is added to the counts."""
    marks = _Marks(found.rows)
    on_scene = inside = across = 0
    for part in parts_of(footprints, *size, place):
        pixels, within = np.zeros((2, len(part.fids)), np.int64)
        for spans in part.spans(*size):
            pixels += _lengths(spans, len(pixels))
            wanted = spans.within(found.area) if found.area else spans
            within += _lengths(wanted, len(pixels))
            marks.add(wanted)
        on_scene += int((pixels > 0).sum())
        inside += int((within > 0).sum())
        across += int(((within > 0) & (within < pixels)).sum())
    if not on_scene:
        raise elsewhere(footprints, *size, place)
    if not inside:
        raise ConfigError(
            f"{options.aoi}: none of the {on_scene} footprints of {options.footprints} on the "
            "scene lies in this area; expected an area with some of them"
        )
    found.counts["footprints_left_out"] = {
        "off_scene": footprints.count - on_scene,
        "outside_area": on_scene - inside,
    }
    found.counts["footprints_across_area"] = across
    return marks


def _lengths(spans: Spans, count: int) -> NDArray[np.int64]:
    return np.bincount(spans.owner, spans.end - spans.begin, count).astype(np.int64)


class _Marks:
    """Windows that keep a pixel of some spans."""

    def __init__(self, rows: WindowRows) -> None:
        self._rows = rows
        self._change = np.zeros((len(rows.rows), len(rows.columns) + 1), np.int32)

    def add(self, spans: Spans) -> None:
        row = self._rows.rows.keeping(spans.row)
        first = self._rows.columns.keeping(spans.begin)
        last = self._rows.columns.keeping(spans.end - 1)
        np.add.at(self._change, (row, first), 1)
        np.subtract.at(self._change, (row, last + 1), 1)

    def windows(self) -> NDArray[np.bool_]:
        """bool [rows,columns]."""
        return np.asarray(self._change.cumsum(axis=1)[:, :-1] > 0)
