"""What summary.json says of a map: counts and area by class, and the engine that made it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.damage import CLASS_NAMES, DAMAGE_CLASSES
from runtime.options import SUMMARY

if TYPE_CHECKING:
    from runtime.engine import Engine


def by_class(
    buildings: Mapping[int, int],
    pixels: Mapping[int, int],
    square_metres: Mapping[int, float] | None = None,
) -> dict[str, dict[str, Any]]:
    """Buildings and area by damage class, under the classes' names.

    `square_metres` are those of the buildings; None where the ground is not known.
    """
    counts: dict[str, dict[str, Any]] = {
        CLASS_NAMES[each]: {"buildings": buildings.get(each, 0), "area_px": pixels.get(each, 0)}
        for each in DAMAGE_CLASSES
    }
    if square_metres is not None:
        for each in DAMAGE_CLASSES:
            counts[CLASS_NAMES[each]]["area_m2"] = round(square_metres.get(each, 0.0), 1)
    return counts


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


def table(summary: Mapping[str, Any], out: Path) -> str:
    """For the terminal."""
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
    if summary["nodata_px"]:
        lines.append(f"{'not computed':<14}{'':>10}{summary['nodata_px']:>12}")
    lines.append(
        f"{engine['architecture']} w{engine['model_width']} {engine['precision']} "
        f"on {engine['backend']} {engine['run_with']}; results in {out}"
    )
    return "\n".join(lines)
