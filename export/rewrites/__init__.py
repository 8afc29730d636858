"""Rewrites of the traced network: the same function in real arithmetic, less for a GPU to do.

Each is a file with one function, `GraphModule` in and the same `GraphModule` out, and can be
left out on its own. `benchmarks.rewrites` measures what each is worth.
They work on the floating-point graph: what stands between Q/DQ is left to the compiler.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import fx

from export.rewrites.channel_dot import channel_dot
from export.rewrites.finest_pair import finest_pair
from export.rewrites.indexed_upsampling import indexed_upsampling
from export.rewrites.shapes import propagate_shapes
from export.rewrites.shared_input import shared_input
from export.rewrites.shared_sum import shared_sum

REWRITES: dict[str, Callable[[fx.GraphModule], fx.GraphModule]] = {
    "finest-pair": finest_pair,
    "shared-sum": shared_sum,
    "shared-input": shared_input,
    "indexed-upsampling": indexed_upsampling,
    "channel-dot": channel_dot,
}
"""In the order in which they are applied."""

FOR_NVIDIA = tuple(REWRITES)
"""Each makes fewer kernels or moves fewer bytes in what TensorRT-RTX compiles."""

FOR_CPU: tuple[str, ...] = ()
"""Each makes OpenVINO slower, together by 10 to 13 %: it fuses the plain graph better."""


def rewrite(
    core: fx.GraphModule, names: tuple[str, ...], height: int, width: int
) -> fx.GraphModule:
    """Apply rewrites by name to an `inference_form` for images of [height, width].

    The order is that of `REWRITES`, whatever the order of `names`.
    """
    propagate_shapes(core, height, width)
    for name, apply in REWRITES.items():
        if name in names:
            core = apply(core)
            core.graph.eliminate_dead_code()
            core.delete_all_unused_submodules()
            core.graph.lint()
            core.recompile()
    return core
