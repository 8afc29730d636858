"""A plan in figures: kernels, bytes, precision, what costs most, and what GPUs would take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from export.plan.record import CPU, Kernel, Plan
from export.plan.roofline import GPUS, Gpu, estimate, gpu_of

TOP = 10
NOTE = (
    "Roofline: an estimate from published peak figures, max(FLOPs / peak, bytes / bandwidth) per",
    "kernel, summed. It ignores launch cost and tactics, so a real run takes longer.",
)


@dataclass(frozen=True)
class Cost:
    """How the dearest kernels were found: `seconds` of a kernel, and where they come from."""

    by: str
    seconds: Callable[[Kernel], float]


def as_dict(plan: Plan, gpu: Gpu | None = None) -> dict[str, Any]:
    """The report as data.

    Args:
        gpu: the one to estimate; None for all that have published figures here, and for none
            where a processor executed the plan.
    """
    cost = _cost(plan, gpu)
    dearest = sorted(plan.kernels, key=cost.seconds, reverse=True)[:TOP]
    return {
        "compiler": plan.compiler,
        "version": plan.version,
        "target": plan.target,
        "kernels": len(plan.kernels),
        "bytes": plan.bytes,
        "flops": plan.flops,
        "activation_bytes": plan.activation_bytes,
        "weight_bytes": plan.weight_bytes,
        "seconds": sum(k.seconds or 0 for k in plan.kernels) if _measured(plan) else None,
        "types": _types(plan),
        "convolutions": _precisions(plan),
        "dearest_by": cost.by,
        "dearest": [_dear(kernel, cost) for kernel in dearest],
        "roofline": [_roofline(plan, each) for each in _estimated(plan, gpu)],
    }


def as_text(plan: Plan, gpu: Gpu | None = None) -> str:
    """The report for a person, at most 100 columns."""
    content = as_dict(plan, gpu)
    parts = [_heading(content), *_type_table(content), "", *_precision_table(content)]
    parts += ["", *_dearest_table(content)]
    if content["roofline"]:
        parts += ["", *_roofline_table(content)]
    return "\n".join(parts) + "\n"


def _measured(plan: Plan) -> bool:
    return any(kernel.seconds is not None for kernel in plan.kernels)


def _cost(plan: Plan, gpu: Gpu | None) -> Cost:
    if _measured(plan):
        return Cost("measured time", lambda kernel: kernel.seconds or 0.0)
    chosen = gpu or gpu_of(plan)
    return Cost(f"roofline of {chosen.name}", chosen.seconds)


def _estimated(plan: Plan, gpu: Gpu | None) -> tuple[Gpu, ...]:
    if gpu is not None:
        return (gpu,)
    return () if plan.target == CPU else GPUS


def _types(plan: Plan) -> list[dict[str, Any]]:
    """By type, most bytes first."""
    kinds: dict[str, list[Kernel]] = {}
    for kernel in plan.kernels:
        kinds.setdefault(kernel.kind, []).append(kernel)
    rows = [
        {
            "type": kind,
            "kernels": len(kernels),
            "bytes": sum(k.bytes for k in kernels),
            "flops": sum(k.flops or 0 for k in kernels),
            "seconds": sum(k.seconds or 0 for k in kernels) if _measured(plan) else None,
        }
        for kind, kernels in kinds.items()
    ]
    return sorted(rows, key=lambda row: row["bytes"], reverse=True)


def _precisions(plan: Plan) -> list[dict[str, Any]]:
    """Of convolutions and matrix products, by what they multiply in; most FLOPs first."""
    kinds: dict[str, list[int]] = {}
    for kernel in plan.convolutions:
        kinds.setdefault(kernel.precision, []).append(kernel.flops or 0)
    rows = [
        {
            "precision": precision,
            "kernels": len(flops),
            "flops": sum(flops),
            "share": sum(flops) / max(plan.flops, 1),
        }
        for precision, flops in kinds.items()
    ]
    return sorted(rows, key=lambda row: row["flops"], reverse=True)


def _dear(kernel: Kernel, cost: Cost) -> dict[str, Any]:
    return {
        "name": kernel.name,
        "type": kernel.kind,
        "module": kernel.module,
        "precision": kernel.precision,
        "seconds": cost.seconds(kernel),
        "bytes": kernel.bytes,
        "flops": kernel.flops,
    }


def _roofline(plan: Plan, gpu: Gpu) -> dict[str, Any]:
    found = estimate(plan, gpu)
    return {
        "gpu": gpu.name,
        "compute_capability": gpu.capability,
        "seconds": found.seconds,
        "memory_bound_share": found.memory_bound / found.seconds if found.seconds else 0.0,
        "source": gpu.source,
    }


def _heading(content: dict[str, Any]) -> str:
    lines = [
        f"{content['compiler']} {content['version']} for {content['target']}: "
        f"{content['kernels']} kernels, {_number(content['bytes'] / 1e9)} GB moved, "
        f"{_number(content['flops'] / 1e12)} TFLOP"
    ]
    if content["seconds"] is not None:
        lines.append(f"measured: {_number(content['seconds'] * 1e3)} ms in all kernels")
    for key, what in (("activation_bytes", "activations"), ("weight_bytes", "weights")):
        if content[key] is not None:
            lines.append(f"memory for {what}: {content[key] / 1e6:.1f} MB")
    return "\n".join(lines) + "\n"


def _type_table(content: dict[str, Any]) -> list[str]:
    timed = content["seconds"] is not None
    lines = [f"{'type':<24}{'kernels':>9}{'MB':>12}{'GFLOP':>12}" + f"{'ms':>12}" * timed]
    for row in _folded(content["types"]):
        line = f"{row['type'][:23]:<24}{row['kernels']:>9}{_number(row['bytes'] / 1e6):>12}"
        line += f"{_number(row['flops'] / 1e9):>12}"
        lines.append(line + (f"{_number(row['seconds'] * 1e3):>12}" if timed else ""))
    return lines


def _folded(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first, and all others in one row."""
    if len(rows) <= TOP + 1:
        return rows
    others: dict[str, Any] = {"type": f"{len(rows) - TOP} other types"}
    for key in ("kernels", "bytes", "flops", "seconds"):
        others[key] = sum(row[key] or 0 for row in rows[TOP:])
    return [*rows[:TOP], others]


def _precision_table(content: dict[str, Any]) -> list[str]:
    lines = [f"{'convolutions in':<24}{'kernels':>9}{'share':>12}{'GFLOP':>12}"]
    lines += [
        f"{row['precision']:<24}{row['kernels']:>9}{row['share']:>12.2%}"
        f"{_number(row['flops'] / 1e9):>12}"
        for row in content["convolutions"]
    ]
    return lines


def _dearest_table(content: dict[str, Any]) -> list[str]:
    lines = [
        f"The {len(content['dearest'])} dearest kernels, by {content['dearest_by']}",
        f"{'ms':>10}{'MB':>10}{'GFLOP':>10}  {'type':<15}{'in':<6}module",
    ]
    for row in content["dearest"]:
        gflop = _number(row["flops"] / 1e9) if row["flops"] else "-"
        where = row["module"] or row["name"]
        lines.append(
            f"{_number(row['seconds'] * 1e3):>10}{_number(row['bytes'] / 1e6):>10}{gflop:>10}  "
            f"{row['type'][:14]:<15}{row['precision']:<6}{where[:47]}"
        )
    return lines


def _roofline_table(content: dict[str, Any]) -> list[str]:
    lines = [*NOTE, f"{'GPU':<24}{'capability':>12}{'ms':>12}{'memory-bound':>15}"]
    lines += [
        f"{row['gpu']:<24}{row['compute_capability']:>12}{_number(row['seconds'] * 1e3):>12}"
        f"{row['memory_bound_share']:>15.0%}"
        for row in content["roofline"]
    ]
    return lines


def _number(value: float) -> str:
    """Four significant digits; of a small network and of a large one."""
    return f"{value:.4g}" if value < 9999.5 else f"{value:.0f}"
