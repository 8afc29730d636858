"""Scales are numbers of the type that stores them, and weights are rounded by these."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from runtime.errors import CalibrationError
from train.quantisation.fake import ActivationQuantizer, QuantizedConv2d, Range, Rounding
from train.quantisation.qat import RoundedConv2d
from train.quantisation.scales import LARGEST_BIAS, activation_scale, weight_scale

NUMPY = {torch.float16: np.float16, torch.float32: np.float32}
KINDS = st.sampled_from([torch.float16, torch.float32])
LIMITS = st.sampled_from([64, 127])
SIZES = st.one_of(
    st.just(0.0), st.floats(2.0**-126, 60000, width=32), st.floats(-44, 4).map(lambda e: 10.0**e)
)
STEP = 2.0**-24
"""The smallest number of FP16."""


def _stored(values: np.ndarray, kind: torch.dtype) -> np.ndarray:
    """The values once NumPy has stored them."""
    with np.errstate(over="ignore"):
        return values.astype(NUMPY[kind]).astype(np.float64)


def _conv(sizes: list[float], bias: list[float] | None = None) -> nn.Conv2d:
    """One output channel each, its largest weight of that size."""
    random = torch.Generator().manual_seed(0)
    conv = nn.Conv2d(4, len(sizes), 3, bias=bias is not None)
    weight = torch.rand(conv.weight.shape, generator=random) * 2 - 1
    weight /= weight.abs().amax((1, 2, 3), keepdim=True)
    conv.weight.data = weight * torch.tensor(sizes).view(-1, 1, 1, 1)
    if bias is not None:
        conv.bias.data = torch.tensor(bias)
    return conv


def _dequantised(rounded: QuantizedConv2d) -> Tensor:
    return rounded.weight.double() * rounded.scale.double().view(-1, 1, 1, 1)


@given(st.lists(SIZES, min_size=1, max_size=20), KINDS, LIMITS)
@settings(deadline=None)
def test_a_weight_is_half_a_step_of_what_is_stored_away(sizes, kind, limit) -> None:
    conv = _conv(sizes)
    rounded = QuantizedConv2d(conv, Rounding(limit, kind, 0.01))
    scale, weight = rounded.scale.double().numpy(), conv.weight.detach().double()
    assert (_stored(scale, kind) == scale).all()
    assert (scale > 0).all()
    error = (_dequantised(rounded) - weight).abs().amax((1, 2, 3)).numpy()
    amax = weight.abs().amax((1, 2, 3)).numpy()
    # FP16 is coarser by a step of its small numbers, or by 1 / 2048; FP32 ends at its tiny ones.
    best = amax / limit
    coarser = best * 2.0**-10 + STEP if kind == torch.float16 else best * 1e-6 + 1.2e-38
    assert (error <= 0.5 * (best + coarser) * (1 + 1e-5)).all()
    assert (rounded.weight[amax == 0] == 0).all()


def test_a_channel_of_1e_5_keeps_its_weights_in_fp16() -> None:
    conv = _conv([1e-5])
    rounded = QuantizedConv2d(conv, Rounding(127, torch.float16, 0.01))
    error = (_dequantised(rounded) - conv.weight.double()).abs().max().item()
    # 1e-5 / 127 lies between one and two steps of FP16's small numbers.
    assert rounded.scale.item() == 2 * STEP
    assert error <= STEP


@given(st.floats(1e-12, 1e4), st.floats(1e-8, 1e3), SIZES, KINDS)
@settings(deadline=None)
def test_a_bias_fits_into_32_bits_of_the_steps(step, bias, size, kind) -> None:
    scale = weight_scale(torch.tensor([size]), 127, kind, torch.tensor([-bias]), step).double()
    if scale.isfinite().all():
        assert bias / (step * scale.item()) <= LARGEST_BIAS * (1 + 1e-5)


@pytest.mark.parametrize("size", [65505.0, 1e6, 3e38])
def test_weights_beyond_fp16_have_no_scale_there(size: float) -> None:
    amax = torch.tensor([1.0, size])
    assert weight_scale(amax, 127, torch.float16).isfinite().tolist() == [True, False]
    assert weight_scale(amax, 127, torch.float32).isfinite().all()


@pytest.mark.parametrize("kind", [torch.float16, torch.float32])
def test_a_weight_that_is_no_number_gives_no_scale(kind: torch.dtype) -> None:
    assert weight_scale(torch.tensor([float("nan")]), 127, kind).isnan().all()


@given(st.floats(-44, 4.816).map(lambda e: 10.0**e), KINDS, st.booleans(), st.booleans())
@settings(deadline=None)
def test_a_range_is_held_and_so_is_every_step_of_it(amax, kind, unsigned, non_negative) -> None:
    quantizer = ActivationQuantizer(
        "pre.conv1", Range(amax, non_negative), "unsigned" if unsigned else "signed", kind
    )
    scale = quantizer.scale.double().item()
    info, number = torch.finfo(kind), np.array(scale)
    assert _stored(number, kind) == scale
    assert scale >= info.smallest_normal
    assert np.isfinite(_stored(1 / number, kind))
    limits = torch.iinfo(quantizer.dtype)
    steps = np.array([limits.min, limits.max]) - int(quantizer.zero_point)
    assert np.isfinite(_stored(steps * scale, kind)).all()
    # Values are not cut, but for the last step where the type ends.
    assert steps.max() * scale >= min(amax * (1 - 2.0**-11), 0.99 * info.max)


@pytest.mark.parametrize("amax", [65505.0, 1e5, float("inf"), float("nan")])
def test_a_range_beyond_fp16_is_refused_by_name(amax: float) -> None:
    with pytest.raises(CalibrationError, match=r"post.conv2: range .* beyond 65504, where FP16"):
        activation_scale("post.conv2", amax, 127, 128, torch.float16)


@given(
    st.lists(st.sampled_from([0.0, 1e-30, 1e-7, 1e-3, 1.0, 1e4, -2.0]), min_size=1, max_size=12),
    KINDS,
)
@settings(deadline=None)
def test_training_rounds_by_the_scale_of_the_folded_weights(gains, kind) -> None:
    conv = _conv([0.3] * len(gains)).double()
    norm = nn.BatchNorm2d(len(gains)).double().eval()
    norm.weight.data = torch.tensor(gains, dtype=torch.float64)
    norm.bias.data.fill_(0.7)
    x = torch.randn(1, 4, 9, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    rounding = Rounding(127, kind, 0.01)
    folded = torch.nn.utils.fusion.fuse_conv_bn_eval(conv.eval(), norm)
    with torch.no_grad():
        trained = norm(RoundedConv2d(conv, rounding, norm)(x))
        deployed = QuantizedConv2d(folded, rounding)(x)
    # A weight at a tie may go the other way, by a step.
    step = QuantizedConv2d(folded, rounding).scale.double().view(1, -1, 1, 1)
    assert ((trained - deployed).abs() <= 1e-6 * deployed.abs() + 2 * step * x.abs().max()).all()
