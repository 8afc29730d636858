"""The shape of every feature map of a traced network."""

from __future__ import annotations

import torch
from torch import fx
from torch.fx.passes.shape_prop import ShapeProp

from runtime.manifest import STRIDE


def propagate_shapes(core: fx.GraphModule, height: int, width: int) -> None:
    """Note every map's shape for one pair of images [height, width] (see `shape`).

    Every map is a fixed fraction of the image, so a pass of the smallest image tells: the
    network at full size would take seconds.
    """
    inputs = core.graph.find_nodes(op="placeholder")
    with torch.no_grad():
        weights = next(core.parameters())
        ShapeProp(core).propagate(*[weights.new_zeros(1, 3, STRIDE, STRIDE) for _ in inputs])
    for node in core.graph.nodes:
        small = getattr(node.meta.get("tensor_meta"), "shape", None)
        if small is not None and len(small) == 4:
            *start, rows, columns = small
            node.meta["shape"] = torch.Size(
                [*start, rows * height // STRIDE, columns * width // STRIDE]
            )


def shape(node: fx.Node) -> torch.Size:
    """[N, C, H, W] of a map in a graph whose shapes were propagated."""
    return node.meta["shape"]
