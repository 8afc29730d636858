"""Every scale of INT8, as the number that the target stores.

A scale is stored in the type of what stands around INT8: FP32 for processors, FP16 for NVIDIA
targets. Weights are rounded by the stored number, here, in training and in the graph alike: what
the type cannot hold would otherwise make them other weights.

What a type does not hold, and what happens then:

- A weight's scale in FP16 may be one of its small numbers (below 6.1e-5, subnormal), which are
  multiples of 6e-8. TensorRT-RTX makes FP32 of it, exactly, before it multiplies (seen in its
  compiled plans), and nothing divides by it. So it is rounded up to such a multiple: steps grow a
  little, and no weight is beyond the last of them. Below 6e-8 there is no scale. A channel whose
  largest weight is less than half of that becomes zero. Its input would have to be millions of
  times larger than others for that to matter in FP16; where what follows makes up for it,
  `train.quantisation.equalisation` has made the channel larger before.
- In FP32 a scale is not subnormal: libraries for processors may take such numbers for 0.
- An activation's scale is not subnormal in either type: activations are divided by it, perhaps by
  a product with its reciprocal, which FP16 ends at 1.5e-5. A range so small becomes a wider one.
- A range or a weight beyond the type's largest number has no scale: it is refused.
- A channel with a bias needs a scale by which the bias fits into 32 bits: ONNX Runtime rounds it
  to steps of the input's scale times the weight's, and where it does not fit it becomes another
  bias without a word. A larger scale costs nothing here: all the weights that it loses together
  change the output by a fraction of the bias, some 1e-4.
"""

from __future__ import annotations

import torch
from torch import Tensor

from runtime.errors import CalibrationError

LARGEST_BIAS = 2.0**30
"""Steps; the sum of all products is added to it, and both fit into 32 bits."""

_LEAST_WEIGHT_SCALE = {
    torch.float16: torch.finfo(torch.float16).smallest_normal * torch.finfo(torch.float16).eps,
    torch.float32: torch.finfo(torch.float32).smallest_normal,
}
_BITS = {torch.float16: torch.int16, torch.float32: torch.int32}


def activation_scale(name: str, amax: float, levels: int, ends: int, kind: torch.dtype) -> float:
    """Of a tensor in -amax..amax.

    Args:
        levels: that amax is rounded to.
        ends: the largest number of steps, on either side, that INT8 may hold.
        kind: type that stores the scale.
    Raises:
        CalibrationError: `kind` ends before amax.
    """
    info = torch.finfo(kind)
    if not amax <= info.max:
        raise CalibrationError(
            f"{name}: range {amax:g} is beyond {info.max:g}, where {_name(kind)} ends; calibrate "
            "on other tiles, or build for a target that is FP32 around INT8"
        )
    scale = torch.tensor(max(amax / levels, info.smallest_normal), dtype=torch.float64)
    # The last step is a number of the type, too.
    return min(scale.to(kind).item(), _next(torch.tensor(info.max / ends), kind, -1).item())


def weight_scale(
    amax: Tensor, limit: int, kind: torch.dtype, bias: Tensor | None = None, step: float = 1.0
) -> Tensor:
    """float32 [channels], each a number of `kind`. Infinite where `kind` does not hold the
    weights, NaN where one is NaN (see `check_scales`).

    Args:
        amax: [channels], the largest weight of each.
        limit: levels on either side of 0.
        bias: [channels], of the convolution.
        step: scale of its input.
    """
    # A channel of zeros needs a scale all the same; any will do.
    scale = torch.where(amax == 0, 1.0, amax / limit)
    if bias is not None:
        scale = torch.maximum(scale, bias.detach().abs() / (step * LARGEST_BIAS))
    scale = _next(scale.clamp(min=_LEAST_WEIGHT_SCALE[kind]), kind, 1)
    return torch.where(scale * limit > torch.finfo(kind).max, torch.inf, scale)


def _next(scale: Tensor, kind: torch.dtype, direction: int) -> Tensor:
    """float32: the number of `kind` at `scale`, or the nearest above it (1) or below it (-1).
    Positive ones are in the order of their bits."""
    near = scale.to(kind)
    beyond = (near.to(scale.dtype) - scale) * direction < 0
    return torch.where(beyond, (near.view(_BITS[kind]) + direction).view(kind), near).float()


def _name(kind: torch.dtype) -> str:
    return {torch.float16: "FP16", torch.float32: "FP32"}[kind]
