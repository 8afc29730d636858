"""Where a kernel comes from: the ONNX graph knows a convolution's module path and FLOPs."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from export.plan.record import Kernel, Plan
from runtime.errors import ExportError, reason

_PREFIXES = ("core.", "network.")
"""The deploy graph's names for the network inside it."""

Direction = Callable[[onnx.NodeProto], Iterator[onnx.NodeProto]]

JOINED = " + "
"""Between the modules of a kernel that computes several convolutions."""


@dataclass(frozen=True)
class Convolution:
    """A Conv node of the graph; `weight` is [O, I, kh, kw], I the channels of one group.

    `flops` follows from ONNX shape inference; None where a dimension is unknown.
    """

    node: str
    module: str
    weight: tuple[int, ...] | None
    flops: int | None


class Origins:
    """The convolutions of an ONNX graph, and of every other node the nearest of them.

    Args:
        batch: pairs that stand for a dynamic batch in `Convolution.flops`.
    """

    def __init__(self, model: onnx.ModelProto, batch: int = 1) -> None:
        graph = model.graph
        self._producers = {name: node for node in graph.node for name in node.output}
        self._consumers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self._consumers.setdefault(name, []).append(node)
        self._nodes = {node.name: node for node in graph.node}
        self._weights = {w.name: tuple(w.dims) for w in graph.initializer}
        shapes = _shapes(model, batch)
        convolutions = (n for n in graph.node if n.op_type == "Conv")
        self.convolutions = {node.name: self._convolution(node, shapes) for node in convolutions}

    @classmethod
    def read(cls, path: Path) -> Origins:
        return cls(read_onnx(path))

    def node(self, name: str) -> str | None:
        """The node of that name, or the one that writes the tensor of that name."""
        found = self._nodes.get(name) or self._producers.get(name)
        return found.name if found else None

    def before(self, node: str) -> Iterator[Convolution]:
        """Convolutions up to and including `node`, the nearest first, none beyond another."""
        return self._nearest(self._nodes[node], self._above)

    def module(self, nodes: Iterable[str]) -> str | None:
        """Of the nodes that one kernel computes; "after X" where none is a convolution."""
        known = [self._nodes[name] for name in nodes if name in self._nodes]
        own = [self.convolutions[n.name].module for n in known if n.name in self.convolutions]
        if own:
            return JOINED.join(dict.fromkeys(own))
        for word, direction in (("after", self._above), ("before", self._below)):
            for node in known:
                for convolution in self._nearest(node, direction):
                    return f"{word} {convolution.module}"
        return None

    def annotate(self, plan: Plan) -> Plan:
        """The plan with the module of every kernel whose nodes are in this graph.

        A kernel without nodes comes after the one that wrote its inputs.
        """
        kernels = [self._annotated(kernel) for kernel in plan.kernels]
        written: dict[str, str] = {}
        for i, kernel in enumerate(kernels):
            if kernel.module is None:
                sources = (written[t.name] for t in kernel.inputs if t.name in written)
                if source := next(sources, None):
                    module = source if source.startswith("after ") else f"after {source}"
                    kernels[i] = kernel = replace(kernel, module=module)
            if kernel.module:
                written.update({t.name: kernel.module for t in kernel.outputs if t.name})
        return replace(plan, kernels=tuple(kernels))

    def uncovered(self, plan: Plan) -> tuple[Convolution, ...]:
        """Convolutions of the graph that no convolution kernel of the plan says it computes."""
        covered = {node for kernel in plan.convolutions for node in kernel.nodes}
        return tuple(c for c in self.convolutions.values() if c.node not in covered)

    def _annotated(self, kernel: Kernel) -> Kernel:
        module = self.module(kernel.nodes)
        return replace(kernel, module=module) if module else kernel

    def _nearest(self, start: onnx.NodeProto, direction: Direction) -> Iterator[Convolution]:
        queue, seen = deque([start]), {start.name}
        while queue:
            node = queue.popleft()
            if node.name in self.convolutions:
                yield self.convolutions[node.name]
                continue
            for other in direction(node):
                if other.name not in seen:
                    seen.add(other.name)
                    queue.append(other)

    def _above(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        return (self._producers[name] for name in node.input if name in self._producers)

    def _below(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        return (other for name in node.output for other in self._consumers.get(name, ()))

    def _convolution(self, node: onnx.NodeProto, shapes: dict[str, tuple]) -> Convolution:
        source = self._weight_name(node.input[1])
        weight = self._weights.get(source) or shapes.get(node.input[1])
        output = shapes.get(node.output[0])
        flops = None
        if weight and output and None not in output and None not in weight:
            flops = 2 * math.prod(output) * math.prod(weight[1:])
        return Convolution(node.name, module_path(source), weight, flops)

    def _weight_name(self, name: str) -> str:
        """The initializer behind a weight operand, through DequantizeLinear, Cast and the like."""
        while name not in self._weights and name in self._producers:
            node = self._producers[name]
            if not node.input:
                break
            name = node.input[0]
        return name


def module_path(weight: str) -> str:
    """core.network.pre.layer1.0.conv1.weight -> pre.layer1.0.conv1"""
    path = weight.partition(".weight")[0]
    for prefix in _PREFIXES:
        path = path.removeprefix(prefix)
    return path


def read_onnx(path: Path) -> onnx.ModelProto:
    """Raises: ExportError where the file is no complete ONNX graph."""
    try:
        model = onnx.load(str(path))
    except OSError:
        raise
    except Exception as error:  # protobuf's own kinds, no public base
        raise ExportError(
            f"{path}: not a complete ONNX file ({reason(error)}); "
            "export it again with python -m export.to_onnx"
        ) from error
    if not model.graph.node:
        raise ExportError(f"{path}: holds no graph; export it again with python -m export.to_onnx")
    return model


def _shapes(model: onnx.ModelProto, batch: int) -> dict[str, tuple[int | None, ...]]:
    """Shapes of the graph's tensors; a symbol is `batch`, which no other dimension is here."""
    inferred = onnx.shape_inference.infer_shapes(model)
    shapes = {}
    for value in (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output):
        if value.type.tensor_type.HasField("shape"):
            shapes[value.name] = tuple(
                d.dim_value or (batch if d.dim_param else None)
                for d in value.type.tensor_type.shape.dim
            )
    return shapes
