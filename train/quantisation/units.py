"""The parts of a Dual-HRNet that precision is decided for, by name.

A unit is small enough to be left in floating point without losing INT8's gain, and large
enough to be measured one by one: the stem, layer1, each stage's branches and fuse layers,
the exchanges, the fusion before the heads, the projection and the heads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from torch import fx

_ROOT = "network."

_RULES = (
    (r"(pre|post)\.(conv1|conv2|bn1|bn2|relu)\b", r"\1.stem"),
    (r"(pre|post)\.layer1\b", r"\1.layer1"),
    (r"(pre|post)\.transition(\d)\b", r"\1.transition\2"),
    (r"(pre|post)\.stage(\d)\.\d+\.branches\.(\d)\b", r"\1.stage\2.branch\3"),
    (r"(pre|post)\.stage(\d)\.\d+\.(fuse_layers|relu)\b", r"\1.stage\2.fuse"),
    (r"exchange\.stage(\d)\b", r"exchange.stage\1"),
    (r"heads\.fuse\b", r"heads.fuse"),
    (r"heads\.((building|damage)\.)?(project|bn|relu)\b", r"heads.projection"),
    (r"heads\.(building|damage)\b", r"heads.\1"),
)


def unit_of(path: str) -> str:
    """The unit of a module path or a site name, such as `pre.stage3.branch0`.

    Raises: ValueError for a path of no Dual-HRNet.
    """
    path = path.removeprefix(_ROOT)
    for pattern, unit in _RULES:
        match = re.match(pattern, path)
        if match:
            return match.expand(unit)
    raise ValueError(f"{path}: belongs to no unit of a Dual-HRNet")


def units(paths: Iterable[str]) -> list[str]:
    """The units of some module paths, each once, in order of appearance."""
    return list(dict.fromkeys(unit_of(path) for path in paths))


def unit_of_node(reader: fx.Node, read: fx.Node) -> str:
    """The unit of a node that reads the tensor `read`: a module's own, or that of the module
    whose result an addition adds to it."""
    while reader.op != "call_module":
        reader = next(node for node in reader.all_input_nodes if node is not read)
    return unit_of(str(reader.target))
