"""ONNX graphs that round to FP8 (E4M3): an INT8 graph retyped, and Q/DQ put into an FP16 graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from export.plan.origin import module_path
from train.quantisation.units import unit_of

LARGEST = 448.0
"""Of E4M3, which has no infinity."""

INT8_LEVELS = 127.0
"""Of our signed INT8, on either side of 0."""

_SCALE, _ZERO = "fp8_scale", "fp8_zero"
_LEAST_SCALE = 2.0**-24
"""FP16's smallest number."""


@dataclass(frozen=True)
class Convolution:
    """What a choice of convolutions may depend on.

    unit: see `train.quantisation.units`.
    channels: the fewer of its inputs' and its outputs'.
    source: the ONNX operator that makes its input.
    """

    unit: str
    kernel: tuple[int, ...]
    channels: int
    source: str


def stored(name: str, values: np.ndarray) -> onnx.TensorProto:
    """`values` rounded to E4M3, to nearest even; beyond 448 on either side they are that."""
    bounded = torch.from_numpy(np.asarray(values, np.float32)).clamp(-LARGEST, LARGEST)
    raw = bounded.to(torch.float8_e4m3fn).view(torch.uint8).numpy().tobytes()
    return helper.make_tensor(name, TensorProto.FLOAT8E4M3FN, np.shape(values), raw, raw=True)


def retyped(model: onnx.ModelProto, per_channel: bool = True) -> onnx.ModelProto:
    """A signed INT8 graph with E4M3 in INT8's place: the same Q/DQ pairs, over the same ranges.

    per_channel: scales of weights, as INT8 has them; else a weight has one.
    """
    model = onnx.ModelProto.FromString(model.SerializeToString())
    constants = {each.name: each for each in model.graph.initializer}
    made: dict[str, onnx.TensorProto] = {}
    for node in model.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        source, scale, zero = node.input
        steps = numpy_helper.to_array(constants[scale])
        if source in constants:
            weight = numpy_helper.to_array(constants[source]) * _column(steps.astype(np.float32))
            made |= _weight(weight, per_channel, (source, scale, zero))
            if not per_channel:
                del node.attribute[:]
        else:
            wider = steps.astype(np.float64) * (INT8_LEVELS / LARGEST)
            made[scale] = numpy_helper.from_array(wider.astype(steps.dtype), scale)
            made[zero] = stored(zero, np.zeros(steps.shape))
    _exchange(model, made)
    return model


def placed(
    model: onnx.ModelProto,
    chosen: Callable[[Convolution], bool],
    amax: float,
    activations: bool = True,
) -> onnx.ModelProto:
    """An FP16 graph with Q/DQ at the chosen convolutions.

    Args:
        amax: range of their inputs, on either side of 0.
        activations: round their inputs too, not their weights alone. A weight has one scale.
    """
    model = onnx.ModelProto.FromString(model.SerializeToString())
    constants = {each.name: each for each in model.graph.initializer}
    makers = {name: node.op_type for node in model.graph.node for name in node.output}
    made = {
        _SCALE: numpy_helper.from_array(np.float16(amax / LARGEST), _SCALE),
        _ZERO: stored(_ZERO, np.zeros(())),
    }
    rounding: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        if node.op_type != "Conv":
            continue
        source, name = node.input[:2]
        weight = numpy_helper.to_array(constants[name])
        if not chosen(_described(name, weight, makers.get(source, "input"))):
            continue
        operands = (name, f"{name}_scale", _ZERO)
        made |= _weight(weight, False, operands)
        node.input[1] = f"{name}_rounded"
        rounding[node.input[1]] = [_node("DequantizeLinear", operands, node.input[1])]
        if activations:
            node.input[0] = f"{source}_rounded"
            rounding[node.input[0]] = [
                _node("QuantizeLinear", (source, _SCALE, _ZERO), f"{source}_fp8"),
                _node("DequantizeLinear", (f"{source}_fp8", _SCALE, _ZERO), node.input[0]),
            ]
    nodes = []
    for node in model.graph.node:
        for operand in node.input:
            nodes += rounding.pop(operand, [])
        nodes.append(onnx.NodeProto.FromString(node.SerializeToString()))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    _exchange(model, made)
    return model


def _described(name: str, weight: np.ndarray, source: str) -> Convolution:
    unit = unit_of(module_path(name))
    return Convolution(unit, weight.shape[2:], min(weight.shape[:2]), source)


def _weight(
    weight: np.ndarray, per_channel: bool, names: tuple[str, str, str]
) -> dict[str, onnx.TensorProto]:
    """By name: the weight in E4M3, its scales in FP16, its zero-point.

    Args:
        weight: [O, I, kh, kw].
        names: of the three.
    """
    peaks = np.abs(weight.astype(np.float32)).max((1, 2, 3) if per_channel else None)
    scales = np.maximum(peaks / LARGEST, _LEAST_SCALE).astype(np.float16)
    name, scale, zero = names
    return {
        name: stored(name, weight / _column(scales.astype(np.float32))),
        scale: numpy_helper.from_array(scales, scale),
        zero: stored(zero, np.zeros(scales.shape)),
    }


def _column(scales: np.ndarray) -> np.ndarray:
    """Scales, one or [O], beside a weight [O, I, kh, kw]."""
    return scales.reshape(-1, 1, 1, 1)


def _node(kind: str, operands: tuple[str, ...], result: str) -> onnx.NodeProto:
    return helper.make_node(kind, operands, [result], name=f"{kind} of {operands[0]}")


def _exchange(model: onnx.ModelProto, made: dict[str, onnx.TensorProto]) -> None:
    """Let the graph have the constants `made`, in place of those of their names."""
    kept = [each for each in model.graph.initializer if each.name not in made]
    constants = [onnx.TensorProto.FromString(each.SerializeToString()) for each in kept]
    del model.graph.initializer[:], model.graph.value_info[:]
    model.graph.initializer.extend([*constants, *made.values()])
