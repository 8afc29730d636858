"""HRNet and SI Analytics' Dual-HRNet, stated again from the papers' and DESIGN's facts alone.

Functions of a file's tensors by their published names, with none of the toolkit's modules: what
was loaded is right where both compute the same.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]


def inside(state: State, prefix: str) -> State:
    return {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}


def _conv(state: State, name: str, x: Tensor, stride: int = 1) -> Tensor:
    weight = state[f"{name}.weight"]
    return F.conv2d(x, weight, state.get(f"{name}.bias"), stride, weight.shape[-1] // 2)


def _norm(state: State, name: str, x: Tensor) -> Tensor:
    mean, variance, weight, bias = (
        state[f"{name}.{each}"] for each in ("running_mean", "running_var", "weight", "bias")
    )
    columns = [each[None, :, None, None] for each in (mean, variance, weight, bias)]
    return (x - columns[0]) / torch.sqrt(columns[1] + 1e-5) * columns[2] + columns[3]


def _conv_norm(state: State, name: str, x: Tensor, stride: int = 1) -> Tensor:
    return _norm(state, f"{name}.1", _conv(state, f"{name}.0", x, stride))


def _up(x: Tensor, size: torch.Size) -> Tensor:
    return F.interpolate(x, size=size[-2:], mode="bilinear", align_corners=False)


def _block(state: State, name: str, x: Tensor) -> Tensor:
    """A basic block, or a bottleneck where there is a third convolution."""
    last = 3 if f"{name}.conv3.weight" in state else 2
    y = x
    for index in range(1, last + 1):
        y = _norm(state, f"{name}.bn{index}", _conv(state, f"{name}.conv{index}", y))
        y = F.relu(y) if index < last else y
    has_skip = f"{name}.downsample.0.weight" in state
    return F.relu(y + (_conv_norm(state, f"{name}.downsample", x) if has_skip else x))


def _chain(state: State, name: str, x: Tensor) -> Tensor:
    index = 0
    while f"{name}.{index}.conv1.weight" in state:
        x = _block(state, f"{name}.{index}", x)
        index += 1
    return x


def first_layer(state: State, image: Tensor, outside: Tensor | None = None) -> Tensor:
    """conv1 and bn1. `outside`: normalised colour [3] that surrounds the image; zero by default."""
    colour = torch.zeros_like(image[0, :, 0, 0]) if outside is None else outside
    edged = F.pad(image - colour[:, None, None], (1, 1, 1, 1)) + colour[:, None, None]
    return _norm(state, "bn1", F.conv2d(edged, state["conv1.weight"], stride=2))


def stem(x: Tensor, state: State, *, relu_before_bn2: bool = False) -> Tensor:
    """From the first layer's output to that of layer1."""
    if relu_before_bn2:
        x = F.relu(_norm(state, "bn2", F.relu(_conv(state, "conv2", x, 2))))
    else:
        x = F.relu(_norm(state, "bn2", _conv(state, "conv2", F.relu(x), 2)))
    return _chain(state, "layer1", x)


def enter(state: State, name: str, features: list[Tensor], branches: int) -> list[Tensor]:
    """`name`: transition1, or transitions.0 in SI Analytics' files."""
    entered = []
    for branch in range(branches):
        if f"{name}.{branch}.0.weight" in state:
            entered.append(F.relu(_conv_norm(state, f"{name}.{branch}", features[-1])))
        elif f"{name}.{branch}.0.0.weight" in state:
            entered.append(F.relu(_conv_norm(state, f"{name}.{branch}.0", features[-1], 2)))
        else:
            entered.append(features[branch])
    return entered


def stage(state: State, name: str, features: list[Tensor]) -> list[Tensor]:
    index = 0
    while f"{name}.{index}.branches.0.0.conv1.weight" in state:
        features = _module(state, f"{name}.{index}", features)
        index += 1
    return features


def _module(state: State, name: str, features: list[Tensor]) -> list[Tensor]:
    count = len(features)
    outs = [_chain(state, f"{name}.branches.{b}", x) for b, x in enumerate(features)]
    return [
        F.relu(sum(_path(state, name, outs, to, of) for of in range(count))) for to in range(count)
    ]


def _path(state: State, name: str, outs: list[Tensor], to: int, of: int) -> Tensor:
    path = f"{name}.fuse_layers.{to}.{of}"
    if of == to:
        return outs[of]
    if of > to:
        return _up(_conv_norm(state, path, outs[of]), outs[to].shape)
    x = outs[of]
    for step in range(to - of):
        x = _conv_norm(state, f"{path}.{step}", x, 2)
        x = F.relu(x) if step < to - of - 1 else x
    return x


def features(state: State, image: Tensor, outside: Tensor | None = None) -> list[Tensor]:
    """The four branches of an HRNetV2 of the segmentation kind (bilinear upsampling)."""
    branches = [stem(first_layer(state, image, outside), state)]
    for number in (2, 3, 4):
        branches = enter(state, f"transition{number - 1}", branches, number)
        branches = stage(state, f"stage{number}", branches)
    return branches


def si_analytics(state: State, pre: Tensor, post: Tensor) -> tuple[Tensor, Tensor]:
    """Localization [N, 2, H/4, W/4] and damage logits [N, 4, H/4, W/4]."""
    nets = [inside(state, "loc_net."), inside(state, "cls_net.")]
    images = (pre, post)
    streams = [
        [stem(first_layer(n, x), n, relu_before_bn2=True)]
        for n, x in zip(nets, images, strict=True)
    ]
    for number in (2, 3, 4):
        name = f"transitions.{number - 2}"
        streams = [enter(n, name, x, number) for n, x in zip(nets, streams, strict=True)]
        pairs = [torch.cat(pair, 1) for pair in zip(*streams, strict=True)]
        streams = [
            [
                F.relu(_conv_norm(state, f"fuse_{n}_stage{number - 1}.{b}", x))
                for b, x in enumerate(pairs)
            ]
            for n in ("loc", "cls")
        ]
        streams = [stage(n, f"stage{number}", x) for n, x in zip(nets, streams, strict=True)]
    logits = []
    for net, branches in zip(nets, streams, strict=True):
        x = torch.cat([_up(each, branches[0].shape) for each in branches], 1)
        x = F.relu(_norm(net, "last_layer.1", _conv(net, "last_layer.0", x)))
        logits.append(_conv(net, "last_layer.3", x))
    return logits[0], logits[1]
