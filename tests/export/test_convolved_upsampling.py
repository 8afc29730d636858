"""The upsampling of the logits as a convolution, beside PyTorch's bilinear one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from export.convolved_upsampling import ConvolvedUpsampling
from train.model.hrnet import upsample


@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 9), st.integers(1, 9))
def test_every_channel_is_bilinear(batch: int, channels: int, height: int, width: int) -> None:
    x = torch.randn(batch, channels, height, width, generator=torch.Generator().manual_seed(0))
    planes = ConvolvedUpsampling(4)(x)
    assert len(planes) == channels
    torch.testing.assert_close(torch.stack(planes, 1), upsample(x, 4))


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_other_factors(factor: int) -> None:
    x = torch.randn(1, 2, 5, 7, generator=torch.Generator().manual_seed(0))
    found = torch.stack(ConvolvedUpsampling(factor)(x), 1)
    torch.testing.assert_close(found, upsample(x, factor))
