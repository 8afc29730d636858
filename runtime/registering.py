"""Whether the two images of a pair lie on each other, and the pair as it is with `--register`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from runtime import files, records
from runtime.errors import ConfigError
from runtime.source.field import Field
from runtime.source.pair import ScenePair, cached
from runtime.source.registered import Registered
from runtime.source.shift import SURVEY, Measured, measure, survey

KEPT = "registration.json"
"""In the folder of unfinished work: what is read on goes through the same field."""

OFF = 2.0
"""Pixels, the median: images that lie farther beside each other are told, and those of which one
block in twenty lies twice as far."""

ON = (1.0, 2.0)
"""Pixels: images of which half the blocks, and 95 % of them, lie less beside each other are not
moved. Where the sun stood elsewhere, shadows alone give half a pixel, and to resample blurs."""


FEW = 0.5
"""Share of the blocks: fewer that could be matched are told."""


@dataclass(frozen=True, eq=False)
class Registration:
    """pair: through the field, where one is applied. record: for summary.json; None: of a map
    that was there before, and told nothing. notes: for a person."""

    pair: ScenePair
    record: dict[str, Any] | None
    notes: tuple[str, ...]


def registered(
    pair: ScenePair,
    asked: bool,
    pixel_m: tuple[float, float] | None,
    folder: Path,
    before: Mapping[str, Any],
) -> Registration:
    """Measure how the images lie, and move the second if that is asked for and of use.

    pixel_m: metres across and down. folder: of unfinished work. before: the summary of finished
    maps that are taken over, if there are.
    """
    path = folder / KEPT
    if before and not asked:
        return Registration(pair, before.get("registration"), ())
    if path.exists():
        kept = _read(path)
    else:
        with cached(pair, SURVEY.side + 2 * SURVEY.reach):
            found = (measure if asked else survey)(pair.pre, pair.post)
        applied = asked and _is_of_use(found)
        kept = {
            "record": _record(found, applied, pixel_m),
            "notes": _notes(pair, found, asked, applied),
            "nodes": found.field.nodes.tolist() if applied and found.field else None,
        }
        files.write_json(path, {**kept, "sha256": _digest(kept)})
    if kept["nodes"]:
        field = Field(pair.height, pair.width, np.array(kept["nodes"], np.float32))
        pair = replace(pair, post=Registered(pair.post, field))
    return Registration(pair, kept["record"], tuple(kept["notes"]))


def _read(path: Path) -> dict[str, Any]:
    """What was kept. Another field for the rest of the windows would be a wrong map: ConfigError
    for anything but what was written."""
    try:
        kept = records.load_json(path)
        if not isinstance(kept, dict) or kept.pop("sha256", None) != _digest(kept):
            raise records.RecordError("is not as it was written")
    except records.RecordError as error:
        raise ConfigError(f"{path}: {error}; --restart throws it away and begins anew") from error
    return kept


def _digest(kept: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _is_of_use(found: Measured) -> bool:
    if found.field is None or found.before is None or found.after is None:
        return False
    half, most = np.percentile(found.lengths, (50, 95))
    return bool((half >= ON[0] or most >= ON[1]) and found.after > found.before)


def _record(found: Measured, applied: bool, pixel_m: tuple[float, float] | None) -> dict[str, Any]:
    """JSON values; those of shifts are None where nothing could be told."""
    rounded = {
        "median_px": None, "largest_px": None, "median_m": None, "columns": None, "rows": None,
    }  # fmt: skip
    if found.field is not None:
        down, across = np.median(found.shifts, axis=0).tolist()
        values = {
            "median_px": float(np.median(found.lengths)),
            "largest_px": float(found.lengths.max()),
            "columns": across,
            "rows": down,
        }
        if pixel_m:
            metres = found.shifts * np.array(pixel_m[::-1])
            values["median_m"] = float(np.median(np.hypot(metres[:, 0], metres[:, 1])))
        rounded |= {name: round(value, 2) for name, value in values.items()}
    alike = {"correlation_before": found.before, "correlation_after": found.after}
    return {
        "applied": applied,
        "blocks": found.blocks,
        "blocks_matched": len(found.points),
        **rounded,
        **{name: None if value is None else round(value, 3) for name, value in alike.items()},
    }


def _notes(pair: ScenePair, found: Measured, asked: bool, applied: bool) -> list[str]:
    if found.field is None:
        why = f"none of {found.blocks} blocks" if found.blocks else "no block, they are too small,"
        left = f"{pair.post.path} is mapped as it lies"
        return [f"--register: {why} could be matched in both images; {left}"] if asked else []
    half, most = float(np.median(found.lengths)), float(found.lengths.max())
    of = f"(median of {len(found.points)} blocks, {most:.1f} at most)"
    if applied:
        few = (
            f"; only {len(found.points)} of {found.blocks} blocks could be matched: "
            "where none was, the shift is a guess"
        )
        said = f"--register moved {pair.post.path} by {half:.1f} pixels {of}"
        return [said + (few if len(found.points) < FEW * found.blocks else "")]
    if asked and half < OFF:
        return [f"--register: the images lie on each other to {half:.1f} pixels {of}; not moved"]
    if half <= OFF:
        part = float(np.percentile(found.lengths, 95))
        away = f"parts of the images lie {part:.1f} pixels off each other {of}"
        return [f"{away}; map them with --register"] if part > 2 * OFF else []
    advice = "--register did not make them more alike" if asked else "map them with --register"
    return [f"the images lie {half:.1f} pixels off each other {of}; {advice}"]
