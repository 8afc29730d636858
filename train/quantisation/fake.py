"""Fake quantisation: what INT8 does to a tensor, in floating point.

These modules compute INT8's rounding in PyTorch, so that a quantised network can be scored
before any engine exists, and export as QuantizeLinear/DequantizeLinear.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, fx, nn
from torch.onnx.ops import symbolic as onnx_op

from runtime.errors import CalibrationError, ConfigError, ExportError
from train.quantisation.placement import Site, convolutions, sites
from train.quantisation.scales import activation_scale, weight_scale
from train.quantisation.units import unit_of, unit_of_node, units

Form = Literal["signed", "unsigned", "unsigned-narrow"]
"""How numbers are stored. `signed`: activations s8, zero-point 0, what TensorRT takes.
`unsigned`: u8, zero-point 128 (the same values exactly), or zero-point 0 with twice the
resolution for a tensor that is never negative; what x86 inference libraries are fast at.
`unsigned-narrow`: the same with 7-bit weights. Without VNNI, ONNX Runtime adds two products of
u8 and s8 in 16 bits, where 8-bit weights saturate without a word."""

WEIGHT_LIMIT = 127
NARROW_WEIGHT_LIMIT = 64
"""2 x 255 x 64 fits into 16 bits, signed."""


@dataclass(frozen=True)
class Range:
    """The range of one activation tensor, from calibration."""

    amax: float
    non_negative: bool


@dataclass(frozen=True)
class Rounding:
    """How the weights of a convolution are rounded.

    limit: levels on either side of 0.
    scales: type that stores their scales.
    step: scale of the convolution's input.
    """

    limit: int
    scales: torch.dtype
    step: float

    def scale(self, amax: Tensor, bias: Tensor | None) -> Tensor:
        """float32 [channels], see `train.quantisation.scales.weight_scale`."""
        return weight_scale(amax, self.limit, self.scales, bias, self.step)


class ActivationQuantizer(nn.Module):
    """Per-tensor, scale from the range of the site `name`, stored as `scales`."""

    def __init__(self, name: str, span: Range, form: Form, scales: torch.dtype) -> None:
        super().__init__()
        one_sided = form != "signed" and span.non_negative
        levels, ends = (255, 255) if one_sided else (127, 128)
        zero_point = 128 if form != "signed" and not one_sided else 0
        self.dtype = torch.int8 if form == "signed" else torch.uint8
        self.step = activation_scale(name, span.amax, levels, ends, scales)
        self.register_buffer("scale", torch.tensor(self.step, dtype=torch.float32))
        self.register_buffer("zero_point", torch.tensor(zero_point, dtype=self.dtype))

    def forward(self, x: Tensor) -> Tensor:
        if torch.onnx.is_in_onnx_export():
            inputs = (x, self.scale, self.zero_point)
            stored = onnx_op("QuantizeLinear", inputs, dtype=self.dtype, shape=x.shape)
            inputs = (stored, self.scale, self.zero_point)
            return onnx_op("DequantizeLinear", inputs, dtype=x.dtype, shape=x.shape)
        limits = torch.iinfo(self.dtype)
        wide = x if x.dtype.itemsize >= 4 else x.float()  # not all kernels round half floats
        return torch.fake_quantize_per_tensor_affine(
            wide, self.scale, self.zero_point.int(), limits.min, limits.max
        ).to(x.dtype)


class QuantizedConv2d(nn.Module):
    """A convolution with per-output-channel symmetric INT8 weights and a float bias."""

    def __init__(self, conv: nn.Conv2d, rounding: Rounding) -> None:
        super().__init__()
        weight, limit = conv.weight.detach(), rounding.limit
        scale = rounding.scale(weight.abs().amax((1, 2, 3)), conv.bias)
        stored = torch.round(weight / _column(scale)).clamp(-limit, limit)
        self.register_buffer("weight", stored.to(torch.int8))
        self.register_buffer("scale", scale)
        self.register_buffer("zero_point", torch.zeros(len(scale), dtype=torch.int8))
        self.bias = conv.bias
        self.stride, self.padding = conv.stride, conv.padding

    def forward(self, x: Tensor) -> Tensor:
        if torch.onnx.is_in_onnx_export():
            inputs = (self.weight, self.scale, self.zero_point)
            shape = self.weight.shape
            weight = onnx_op("DequantizeLinear", inputs, {"axis": 0}, dtype=x.dtype, shape=shape)
        else:
            weight = self.weight.to(x.dtype) * _column(self.scale)
        return nn.functional.conv2d(x, weight, self.bias, self.stride, self.padding)


def _column(scale: Tensor) -> Tensor:
    return scale.view(-1, 1, 1, 1)


def quantise(
    graph: fx.GraphModule,
    ranges: dict[str, Range],
    form: Form,
    high_precision: Collection[str] = (),
    convolution: Callable[[nn.Conv2d, Rounding], nn.Module] = QuantizedConv2d,
    scales: torch.dtype = torch.float32,
) -> fx.GraphModule:
    """Insert Q/DQ at every site of `graph`, in place and on its device, and quantise its weights.

    Args:
        high_precision: units whose convolutions and additions stay in floating point.
        convolution: what takes a convolution's place, to round its weights.
        scales: type that stores the scales: that of what stays in floating point.
    Raises:
        CalibrationError: a site has no range, or one that `scales` does not hold.
        ConfigError: a unit that the network does not have.
    """
    device = next(graph.parameters()).device
    check_units(graph, high_precision)
    placed = [_without(site, high_precision) for site in sites(graph)]
    placed = [site for site in placed if site.readers]
    missing = [site.name for site in placed if site.name not in ranges]
    if missing:
        raise CalibrationError(
            f"no range for {len(missing)} of {len(placed)} quantised tensors, first {missing[0]}; "
            "calibrate this checkpoint with `python -m calibration`"
        )
    limit = NARROW_WEIGHT_LIMIT if form == "unsigned-narrow" else WEIGHT_LIMIT
    roundings = {}
    for index, site in enumerate(placed):
        quantizer = ActivationQuantizer(site.name, ranges[site.name], form, scales)
        rounding = Rounding(limit, scales, quantizer.step)
        roundings |= {str(reader.target): rounding for reader in site.readers}
        _insert(graph, site, f"quantize_{index}", quantizer)
    for path, conv in convolutions(graph).items():
        if unit_of(path) not in high_precision:
            graph.set_submodule(path, convolution(conv, roundings[path]))
    graph.graph.lint()
    graph.recompile()
    return graph.to(device)


def check_scales(graph: fx.GraphModule) -> None:
    """Of the weights of a quantised graph.

    Raises: ExportError for weights that have no scale.
    """
    for path, module in graph.named_modules():
        if isinstance(module, QuantizedConv2d) and not module.scale.isfinite().all():
            raise ExportError(
                f"{path}: has weights that are NaN, or beyond what the type of their scale holds, "
                "once batch norm is folded into them; export with --fp32, or train with more "
                "weight decay"
            )


def check_units(graph: fx.GraphModule, names: Collection[str]) -> None:
    """Raises: ConfigError for a unit that `graph` does not have."""
    known = units(convolutions(graph))
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ConfigError(
            f"{unknown[0]}: no unit of this network; expected some of {', '.join(known)}"
        )


def _without(site: Site, high_precision: Collection[str]) -> Site:
    """The site with those readers alone that belong to no unit left in floating point."""
    readers = [r for r in site.readers if unit_of_node(r, site.producer) not in high_precision]
    return replace(site, readers=tuple(readers))


def _insert(graph: fx.GraphModule, site: Site, name: str, module: nn.Module) -> None:
    graph.add_submodule(name, module)
    with graph.graph.inserting_after(site.producer):
        quantized = graph.graph.call_module(name, (site.producer,))
    for reader in site.readers:
        reader.replace_input_with(site.producer, quantized)
