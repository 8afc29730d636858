"""What summary.json says of a map: buildings, areas and pixels by class, and the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.buildings.marks import BORDER, CUTS, NOT_COMPUTED
from runtime.damage import CLASS_NAMES, DAMAGE_CLASSES, NODATA, NODATA_NAME
from runtime.options import SUMMARY
from runtime.output.totals import BuildingTotals

if TYPE_CHECKING:
    from runtime.engine import Engine


def by_class(totals: BuildingTotals) -> dict[str, Any]:
    """Buildings, and their area, by the class of the building, under the classes' names.

    A building's area counts for the class that won its vote, whatever its pixels are.
    """
    classes: dict[str, dict[str, Any]] = {}
    for each in DAMAGE_CLASSES:
        row: dict[str, Any] = {
            "buildings": totals.buildings.get(each, 0),
            "area_px": totals.area_px.get(each, 0),
        }
        if totals.area_m2 is not None:
            row["area_m2"] = round(totals.area_m2.get(each, 0.0), 1)
        classes[CLASS_NAMES[each]] = row
    return {
        "classes": classes,
        "buildings": sum(totals.buildings.values()),
        "not_graded": totals.buildings.get(NODATA, 0),
        "buildings_cut": {
            name: sum(number for cut, number in totals.cut.items() if name in cut)
            for name in (CUTS[BORDER], CUTS[NOT_COMPUTED])
        },
    }


def by_value(counts: Mapping[int, int]) -> dict[str, int]:
    """Pixels of the damage map by what they say; those of buildings that are left out, too."""
    found = {name: counts.get(each, 0) for each, name in enumerate(CLASS_NAMES)}
    return {**found, NODATA_NAME: counts.get(NODATA, 0)}


def of_engine(engine: Engine) -> dict[str, Any]:
    manifest = engine.manifest
    return {
        "folder": str(engine.folder),
        "architecture": manifest.model.architecture,
        "model_width": manifest.model.width,
        "checkpoint_sha256": manifest.model.checkpoint_sha256,
        "graph_sha256": manifest.graph.sha256,
        "precision": manifest.precision,
        "threshold": manifest.input.threshold,
        "backend": manifest.target.backend,
        "built_with": manifest.target.version,
        "run_with": engine.backend_version,
        "cached_compile": engine.cached_compile,
        "created": manifest.created,
    }


def table(summary: Mapping[str, Any], out: Path, by_hand: Sequence[str] = ()) -> str:
    """For the terminal. by_hand: lines on what people corrected and estimated."""
    engine = summary["engine"]
    lines = [f"{'':<14}{'buildings':>10}{'area px':>12}"]
    lines += [
        f"{name:<14}{row['buildings']:>10}{row['area_px']:>12}"
        for name, row in summary["classes"].items()
    ]
    if unknown := summary.get("not_graded"):
        lines.append(f"{'not graded':<14}{unknown:>10}")
    if failed := len(summary.get("failed_tiles", ())):
        lines.append(f"{failed} of {summary['windows']} windows failed, see {out / SUMMARY}")
    reasons = {**summary.get("windows_skipped", {})}
    by_gate = reasons.pop("gate", 0)
    if skipped := sum(reasons.values()):
        lines.append(f"{skipped} of {summary['windows']} windows were not asked for")
    if by_gate:
        lines.append(f"{by_gate} of {summary['windows']} windows hold no building, says the gate")
    if summary["nodata_px"]:
        lines.append(f"{NODATA_NAME:<14}{'':>10}{summary['nodata_px']:>12}")
    lines += by_hand
    lines.append(
        f"{engine['architecture']} w{engine['model_width']} {engine['precision']} "
        f"on {engine['backend']} {engine['run_with']}; results in {out}"
    )
    return "\n".join(lines)
