"""What the demo found: summary.json, and the table that it ends with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.demo.layout import INT8, REFERENCE, EnginePlan
from runtime import cli
from runtime.damage import CLASS_NAMES, DAMAGE_CLASSES

if TYPE_CHECKING:
    from benchmarks.demo.steps import Demo
    from benchmarks.report.figures import EngineFigures

_NAMES = [CLASS_NAMES[each] for each in DAMAGE_CLASSES]
_HEADINGS = ("engine", "score", *_NAMES, "agreement", "p50 ms", "MB")


def describe_engine(engine: EngineFigures) -> dict[str, Any]:
    """JSON-ready; null where something was not measured. Latencies in seconds."""
    accuracy = engine.accuracy
    return {
        **engine.identity,
        "status": engine.manifest.verification.get("status"),
        "compute_capability": engine.manifest.target.compute_capability,
        "size_bytes": engine.size,
        "score": accuracy and accuracy.score,
        "localization_f1": accuracy and accuracy.localization_f1,
        "damage_f1": accuracy and accuracy.damage_f1,
        "class_f1": accuracy and accuracy.class_f1,
        "parity": engine.parity or None,
        "latency": {
            scope: {"p50": found.p50, "p90": found.p90, "samples": found.samples}
            for scope, found in engine.latency.items()
        },
    }


def table(engines: Sequence[dict[str, Any]]) -> str:
    """Aligned columns; "not run" where nothing was measured."""
    rows = [_HEADINGS, *map(_row, engines)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def ending(demo: Demo, built: Sequence[EnginePlan], shown: str) -> str:
    """What to look at, and what comes next."""
    layout, python = demo.layout, cli.python()
    placed = (layout.map / "damage.tif").exists()
    engine = layout.engine(INT8 if INT8 in built else REFERENCE)
    lines = [
        f"report   {layout.report}: open it in a browser",
        f"map      {layout.map}, of {shown}: open overlay.png first"
        + ("; damage.tif and buildings.gpkg in QGIS" if placed else ""),
        f"figures  {layout.summary}",
        "",
        "Map your own pair:",
        f"    {python} -m runtime.predict --engine {engine} BEFORE AFTER --out MAP",
    ]
    if demo.synthetic:
        lines += [
            "This network has seen synthetic scenes alone and is of no use for a real town.",
            "Train one on your own data, in xBD's format:",
            "    make demo DATA=XBD",
        ]
    if not layout.pareto.exists():
        lines += [
            "Also measure worse images, other libraries and smaller windows:",
            "    make demo FULL=1",
        ]
    return "\n".join(lines)


def _row(engine: dict[str, Any]) -> tuple[str, ...]:
    f1 = engine["class_f1"] or {}
    latency = engine["latency"].get("engine", {}).get("p50")
    return (
        engine["name"],
        _number(engine["score"], ".3f"),
        *(_number(f1.get(name), ".3f") for name in _NAMES),
        _number((engine["parity"] or {}).get("label_agreement"), ".3%"),
        _number(None if latency is None else latency * 1e3, ".1f"),
        f"{engine['size_bytes'] / 1e6:.1f}",
    )


def _number(value: float | None, how: str) -> str:
    return "not run" if value is None else format(value, how)
