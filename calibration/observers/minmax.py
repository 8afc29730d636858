"""The extremes of a stream."""

from __future__ import annotations

import torch
from torch import Tensor


class MinMaxObserver:
    """amax is the largest magnitude seen. A NaN or an infinity, once seen, stays."""

    def __init__(self) -> None:
        self._extremes: tuple[Tensor, Tensor] | None = None

    def update(self, x: Tensor) -> None:
        if not x.numel():
            return
        low, high = (extreme.float() for extreme in torch.aminmax(flat(x)))
        if self._extremes is not None:
            # These keep a NaN, which Python's min and max lose; it must be refused later.
            low = torch.minimum(self._extremes[0], low)
            high = torch.maximum(self._extremes[1], high)
        # Tensors, not numbers: a number would make an accelerator wait for every tensor.
        self._extremes = low, high

    @property
    def minimum(self) -> float:
        return float("inf") if self._extremes is None else self._extremes[0].item()

    @property
    def maximum(self) -> float:
        return float("-inf") if self._extremes is None else self._extremes[1].item()

    def amax(self) -> float:
        """The range to quantise over: [-amax, amax]. 0 where nothing but zeros came."""
        return 0.0 if self._extremes is None else self._largest().item()

    def seen_as(self, kind: type[MinMaxObserver]) -> MinMaxObserver:
        """An observer of another kind that has seen the same stream."""
        other = kind()
        other._extremes = self._extremes
        return other

    def _largest(self) -> Tensor:
        """float32 [], the largest magnitude so far, or NaN. After the first update."""
        assert self._extremes is not None
        low, high = self._extremes
        return torch.maximum(low.abs(), high.abs())


def flat(x: Tensor) -> Tensor:
    """[numel], a view also of a channels-last tensor: the order of values does not matter, and
    PyTorch's reductions would copy such a tensor first."""
    return x.permute(sorted(range(x.dim()), key=x.stride, reverse=True)).reshape(-1)
