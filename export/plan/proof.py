"""The precision proof: a plan multiplies in the precision that its engine is labelled with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from export.plan.origin import JOINED
from export.plan.record import Kernel, Plan
from runtime.errors import ExportError
from runtime.manifest import Precision

SHOWN = 3
"""Offenders that the message names."""


def check_precision(
    plan: Plan, precision: Precision, allowed: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Every convolution and fully connected kernel is in `precision`, or is allowed not to be.

    Args:
        allowed: ONNX node names, module paths, or the first parts of module paths: `heads`
            allows heads.damage.classify and not heads2.
    Returns:
        For the manifest: convolutions (their number), flops_by_precision, and mixed, a list of
        {"module", "nodes", "precision", "flops"} of those that were allowed.
    Raises:
        ExportError: others that are not; or there is no convolution to prove anything on.
    """
    convolutions = plan.convolutions
    if not convolutions:
        raise ExportError(
            f"{precision} proof: {plan.compiler} lists no convolution among its "
            f"{len(plan.kernels)} kernels, so nothing is proved"
        )
    other = [kernel for kernel in convolutions if kernel.precision != precision]
    offending = [k for k in other if not permits(allowed, k.nodes, k.module)]
    if offending:
        raise ExportError(_complaint(plan, precision, offending))
    flops: dict[str, int] = {}
    for kernel in convolutions:
        flops[kernel.precision] = flops.get(kernel.precision, 0) + (kernel.flops or 0)
    return {
        "convolutions": len(convolutions),
        "flops_by_precision": flops,
        "mixed": [
            {
                "module": kernel.module,
                "nodes": list(kernel.nodes),
                "precision": kernel.precision,
                "flops": kernel.flops,
            }
            for kernel in other
        ],
    }


def permits(allowed: frozenset[str], nodes: Iterable[str], module: str | None) -> bool:
    """May these ONNX nodes, of this module of the network, be in another precision?"""
    if allowed.intersection(nodes):
        return True
    modules = module.split(JOINED) if module else []
    return bool(modules) and all(allowed.intersection(_prefixes(each)) for each in modules)


def _prefixes(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _complaint(plan: Plan, precision: Precision, offending: list[Kernel]) -> str:
    share = sum(kernel.flops or 0 for kernel in offending) / max(plan.flops, 1)
    named = ", ".join(
        f"{kernel.module or kernel.name} ({', '.join(kernel.nodes[:1]) or 'no node'}: "
        f"{kernel.precision})"
        for kernel in offending[:SHOWN]
    )
    more = f" and {len(offending) - SHOWN} more" if len(offending) > SHOWN else ""
    first = {part.split(".")[0] for k in offending for part in (k.module or "").split(JOINED)}
    nodes = {node for k in offending if not k.module for node in k.nodes}
    every = " ".join(sorted((first | nodes) - {""})) or "NAME"
    return (
        f"{precision} proof: {plan.compiler} made {len(offending)} of {len(plan.convolutions)} "
        f"convolutions something else, {share:.1%} of the FLOPs: {named}{more}; where that is "
        f"meant, --allow-mixed NAME ... permits them, all of them --allow-mixed {every}"
    )
