"""Which operand of a kernel is its weight: FLOPs and precision follow from it."""

from __future__ import annotations

import math

from export.plan.record import Tensor


def weight_of(constants: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> Tensor | None:
    """The weight of a convolution [O, I, kh, kw], or of a matrix product [1, O, I].

    O is a channel of an output [N, O, ...]. A bias is [1, O, 1, 1] or [1, O, 1]; the larger
    of two candidates is the weight.
    """
    channels = {tensor.shape[1] for tensor in outputs if len(tensor.shape) >= 3}
    fits = [
        c
        for c in constants
        if (len(c.shape) == 4 and c.shape[0] in channels)
        or (len(c.shape) == 3 and c.shape[:1] == (1,) and c.shape[1] in channels)
    ]
    return max(fits, key=lambda c: math.prod(c.shape), default=None)


def convolution_flops(constants: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> int:
    """2 x I x kh x kw x output elements, I being the input channels of a group; 0: not found."""
    weight = weight_of(constants, outputs)
    if weight is None or len(weight.shape) != 4:
        return 0
    out = next(t for t in outputs if len(t.shape) == 4 and t.shape[1] == weight.shape[0])
    return 2 * math.prod(weight.shape[1:]) * math.prod(out.shape)


def matrix_flops(constants: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> int | None:
    """2 x I x O x P of a weight [1, O, I] and an output [N, O, P]; 0 where it is not found.

    None of a product with one vector a pair, output [N, O]: a squeeze-excitation gate. At a
    fixed batch the compiler fuses it into a pointwise kernel where it cannot be told at all.
    """
    if all(len(tensor.shape) < 3 for tensor in outputs):
        return None
    weight = weight_of(constants, outputs)
    if weight is None or len(weight.shape) != 3:
        return 0
    out = next(t for t in outputs if len(t.shape) == 3 and t.shape[1] == weight.shape[1])
    return 2 * weight.shape[2] * math.prod(out.shape)


def multiplies_in(
    inputs: tuple[Tensor, ...],
    constants: tuple[Tensor, ...],
    outputs: tuple[Tensor, ...],
    flops: int | None,
) -> str:
    """The datatype in which a kernel multiplies; of one that does not, the one it writes.

    A convolution whose weight is INT8 and whose activation is not converts the weight on
    the way and computes in floating point, and the other way round: the activation decides.
    """
    if flops is None:
        return outputs[0].dtype if outputs else "none"
    weight = weight_of(constants, outputs)
    activation = _activation(inputs, weight)
    if activation is None:
        return weight.dtype if weight else "none"
    return "int8" if activation.dtype == "uint8" else activation.dtype


def _activation(inputs: tuple[Tensor, ...], weight: Tensor | None) -> Tensor | None:
    """The input with the weight's input channels; others are added after the convolution."""
    if weight is None:
        return inputs[0] if inputs else None
    channels = weight.shape[1] if len(weight.shape) == 4 else weight.shape[2]
    spatial = [t for t in inputs if len(t.shape) == len(weight.shape)]
    exact = [t for t in spatial if t.shape[1] == channels]
    groups = [t for t in spatial if t.shape[1] % channels == 0]
    # A convolution whose operands differ is rare, a fused addition of another type is not:
    # where the channels leave a choice, the operand of the weight's own type is it.
    for candidates in (exact, groups, list(inputs)):
        if candidates:
            return next((t for t in candidates if t.dtype == weight.dtype), candidates[0])
    return None
