"""Test-time augmentation inside the graph: images are transformed, logits transformed back.

The views of a pair go through the network one after another with the same weights, so a graph
with k views costs k times the time and no more memory. Their logits are averaged at stride 4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from runtime.errors import ConfigError
from train.model import DualHRNet

Tta = Literal["none", "flips", "rotate180", "d4"]
"""flips: as it is, left-right, up-down, both. rotate180: as it is, and turned by half.
d4: the eight symmetries of a square."""

NO_TTA: Tta = "none"

View = tuple[bool, bool, bool]
"""Transpose, then flip rows, then flip columns."""

_VIEWS: dict[Tta, tuple[View, ...]] = {
    "none": ((False, False, False),),
    "flips": tuple((False, rows, columns) for rows in (False, True) for columns in (False, True)),
    "rotate180": ((False, False, False), (False, True, True)),
    "d4": tuple(
        (transposed, rows, columns)
        for transposed in (False, True)
        for rows in (False, True)
        for columns in (False, True)
    ),
}


def check_tta(tta: str, height: int, width: int) -> None:
    """Raises: ConfigError for an unknown one, or one that turns a tile that is not square."""
    if tta not in _VIEWS:
        raise ConfigError(f"--tta {tta}: expected {', '.join(get_args(Tta))}")
    if any(transposed for transposed, *_ in _VIEWS[tta]) and height != width:
        raise ConfigError(
            f"--tta {tta}: turns the tile by a quarter, which needs a square one; --size is "
            f"{height} {width}: make it square, or use --tta flips"
        )


def views_of(tta: Tta) -> tuple[View, ...]:
    return _VIEWS[tta]


def transformed(
    logits: Callable[[Tensor, Tensor], Tensor], views: tuple[View, ...], pre: Tensor, post: Tensor
) -> Tensor:
    """Mean of the logits of every view, each turned back; images and logits are [N, C, H, W]."""
    found = [_back(logits(_there(pre, view), _there(post, view)), view) for view in views]
    return found[0] if len(found) == 1 else torch.stack(found).mean(0)


class Averaged(nn.Module):
    """The network in PyTorch with the mean of its views' logits: what a graph with views is
    compared with. They are averaged at full size, which equals stride 4, as upsampling is linear
    and turns with the image."""

    def __init__(self, network: DualHRNet, tta: Tta) -> None:
        super().__init__()
        self.network, self.config, self.views = network, network.config, views_of(tta)

    def forward(self, pre: Tensor, post: Tensor) -> tuple[Tensor, Tensor]:
        channels: list[int] = []

        def logits(pre: Tensor, post: Tensor) -> Tensor:
            building, damage = self.network(pre, post)
            channels[:] = building.shape[1], damage.shape[1]
            return torch.cat([building, damage], 1)

        building, damage = transformed(logits, self.views, pre, post).split(channels, 1)
        return building, damage


def averaged(network: DualHRNet, tta: Tta) -> nn.Module:
    """The reference in PyTorch for a graph with these views; `network` itself without any."""
    return network if tta == NO_TTA else Averaged(network, tta).eval()


def _there(x: Tensor, view: View) -> Tensor:
    transposed, *_ = view
    x = x.transpose(2, 3) if transposed else x
    return _flip(x, view)


def _back(x: Tensor, view: View) -> Tensor:
    transposed, *_ = view
    x = _flip(x, view)
    return x.transpose(2, 3) if transposed else x


def _flip(x: Tensor, view: View) -> Tensor:
    _, rows, columns = view
    axes = [axis for axis, flipped in ((2, rows), (3, columns)) if flipped]
    return x.flip(axes) if axes else x
