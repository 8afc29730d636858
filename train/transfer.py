"""Weights of one network in another: every layer that fits is taken, the rest is accounted for.

A dual network takes a lone backbone into both streams, a siamese one and a single stream take
the stream of the image before. The first convolution is rewritten where the two networks see
their images otherwise:

- other `mean` and `std`: x0 = (x1 std1 + mean1 - mean0) / std0, so its weights are scaled, and
  the constant that is left goes into the running mean of the batch norm that follows. Exact but
  for the first row and column, where zero padding stands for another colour.
- one stream of six channels: the weights twice, halved. Two equal images give what one gave.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import torch
from torch import Tensor

from runtime.errors import CheckpointError
from train.foreign.weights import COUNTER, first_parts
from train.model import DualHRNet, ModelConfig
from train.soundness import check_weights

ENOUGH = 0.75
"""Least share of the backbones' tensors. A pose network's lacks 1 in 20, the last fuse layers;
one of half as many blocks a branch would have random ones between its own, everywhere."""

_SHAPE = ("width", "stem_width", "bottlenecks", "modules", "blocks")
_STREAMS = ("pre", "post")


@dataclass(frozen=True)
class Given:
    """Weights to start from, under this toolkit's names: a network's, or one backbone's as `pre`.

    model: what they are of, as far as it can be told. left: of a file's tensors, how many are
    of no use here, by the first part of their names.
    """

    model: ModelConfig
    weights: dict[str, Tensor]
    left: dict[str, int] = field(default_factory=dict)
    started_from: str | None = None


@dataclass(frozen=True)
class Account:
    """What became of them. Tensors are weights, biases and statistics; not counters.

    fresh: those of the network that stayed random, by part. left: those of the file that were
    not taken.
    """

    taken: int
    total: int
    fresh: dict[str, int]
    left: dict[str, int]
    remarks: tuple[str, ...] = ()

    @property
    def share(self) -> str:
        return f"{self.taken} of {self.total} tensors"

    def __str__(self) -> str:
        fresh = f"fresh: {_counted(self.fresh)}" if self.fresh else "nothing is fresh"
        left = f"left over: {_counted(self.left)}" if self.left else "nothing is left over"
        return "; ".join([f"{self.share} taken", fresh, left, *self.remarks])


def transfer(where: object, given: Given, network: DualHRNet) -> Account:
    """Put the layers that fit into `network`; a layer is taken whole or not at all.

    Args:
        where: what begins a message: a file.
    Raises:
        CheckpointError: a tensor is not sound, a layer is there in part, or too little of the
            backbones fits; `network` is as it was.
    """
    advice = "such weights are no start; take the file as it was published"
    check_weights(where, given.weights, advice)
    weights, remarks = _as_seen(given, network.config)
    state, offered = network.state_dict(), _layers(weights)
    lone = not any(layer.startswith("post.") for layer in offered)
    if lone and network.post is not None:
        remarks.append("both streams start from one backbone")
    taken: dict[str, Tensor] = {}
    used: set[str] = set()
    misshapen: list[str] = []
    for layer, wanted in _layers(state).items():
        source = _source(layer, lone)
        found = offered.get(source, {})
        if not _plain(found):
            continue
        _check_whole(where, source, found, wanted)
        if not _fits(found, wanted):
            misshapen += [f"{layer}.{name}" for name in _plain(wanted)]
            continue
        for name in wanted.keys() & found.keys():
            taken[f"{layer}.{name}"] = found[name].to(wanted[name].dtype)
            used.add(f"{source}.{name}")
    check_weights(where, taken, advice)  # what double precision holds may be too large here
    total, given_names = _plain(state), _plain(weights)
    _check_enough(where, given.model, network.config, total, taken)
    network.load_state_dict(state | taken)
    if misshapen:
        remarks.append(f"of another shape: {_counted(_by_part(misshapen, total))}")
    remarks += differences(given.model, network.config, _SHAPE)
    left = [name for name in given_names if name not in used]
    return Account(
        taken=len(_plain(taken)),
        total=len(total),
        fresh=_by_part([name for name in total if name not in taken], total),
        left=_by_part(left, given_names) | given.left,
        remarks=tuple(remarks),
    )


def _layers(state: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """{"pre.conv1": {"weight": ...}, ...}"""
    layers: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        layer, _, last = name.rpartition(".")
        layers.setdefault(layer, {})[last] = tensor
    return layers


def _source(layer: str, lone: bool) -> str:
    """Where a layer comes from: its own name, or that of the `lone` backbone."""
    stream, _, rest = layer.partition(".")
    return f"pre.{rest}" if lone and stream == "post" else layer


def _check_whole(
    where: object, layer: str, found: dict[str, Tensor], wanted: dict[str, Tensor]
) -> None:
    """A convolution without its bias, a norm without its statistics: refused."""
    advice = "take the file as it was published"
    for name in _plain(wanted):
        if name not in found:
            other = _plain(found)[0]
            raise CheckpointError(
                f"{where}: has {layer}.{other} without {layer}.{name}, and half a layer computes "
                f"something else; {advice}"
            )
        if not found[name].is_floating_point():
            dtype = str(found[name].dtype).removeprefix("torch.")
            raise CheckpointError(
                f"{where}: {layer}.{name} is {dtype}, expected floating point; {advice}"
            )


def _fits(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> bool:
    """A layer that has more, such as a bias, is another one."""
    return found.keys() <= wanted.keys() and all(
        found[name].shape == wanted[name].shape for name in found
    )


def differences(given: ModelConfig, wanted: ModelConfig, keys: tuple[str, ...] = ()) -> list[str]:
    """`model.width (is 8, config says 12)`, for those of `keys`, or of all, that differ."""
    before, now = given.model_dump(), wanted.model_dump()
    return [
        f"model.{key} (is {before[key]}, config says {now[key]})"
        for key in keys or now
        if before[key] != now[key]
    ]


def _check_enough(
    where: object,
    given: ModelConfig,
    wanted: ModelConfig,
    total: list[str],
    taken: dict[str, Tensor],
) -> None:
    backbone = [name for name in total if name.partition(".")[0] in _STREAMS]
    fits = sum(name in taken for name in backbone)
    if fits >= ENOUGH * len(backbone):
        return
    if other := "; ".join(differences(given, wanted, _SHAPE)):
        wider = ", or widen its network (`python -m train.widen`)" * (given.width < wanted.width)
        advice = f"{other}; give model the file's values{wider}, or set init=null"
    else:
        advice = "it holds too little of one; take a whole one, or set init=null"
    raise CheckpointError(
        f"{where}: only {fits} of the backbone's {len(backbone)} tensors fit, expected "
        f"{ENOUGH:.0%}, or what stays random spoils the rest: {advice}"
    )


def _as_seen(given: Given, wanted: ModelConfig) -> tuple[dict[str, Tensor], list[str]]:
    """The weights for images as `wanted` sees them, and what there is to say about it."""
    model, weights = given.model, dict(given.weights)
    remarks = []
    if (model.streams == "single") != (wanted.streams == "single"):
        remarks.append("the first convolution's weights are shared between six channels and three")
    if (model.mean, model.std) != (wanted.mean, wanted.std):
        where = "" if model.mean == wanted.mean else ", exact but for the first row and column"
        remarks.append(f"another normalisation is folded into the first convolution{where}")
    if model.architecture != wanted.architecture:
        remarks.append("the stem's ReLU stands elsewhere, so its weights compute something else")
    for stream in _STREAMS:
        names = f"{stream}.conv1.weight", f"{stream}.bn1.running_mean"
        conv, mean = (weights.get(name) for name in names)
        channels = 6 if model.streams == "single" else 3
        if conv is None or mean is None or conv.ndim != 4 or conv.shape[1] != channels:
            continue  # named as missing or misshapen with all the others
        if conv.is_floating_point() and mean.shape == conv.shape[:1]:
            weights |= zip(names, _stem(conv, mean, model, wanted), strict=True)
    return weights, remarks


def _stem(
    conv: Tensor, running_mean: Tensor, given: ModelConfig, wanted: ModelConfig
) -> tuple[Tensor, Tensor]:
    """The first convolution [C, 3 or 6, 3, 3] and its norm's mean [C], in double precision."""
    conv, images = conv.double(), conv.shape[1] // 3
    mean0, std0, mean1, std1 = (
        torch.tensor(values * images, dtype=torch.float64)[:, None, None]
        for values in (given.mean, given.std, wanted.mean, wanted.std)
    )
    constant = (conv * (mean1 - mean0) / std0).sum((1, 2, 3))
    conv = conv * (std1 / std0)
    if given.streams != "single" and wanted.streams == "single":
        conv = torch.cat([conv, conv], 1) / 2
    elif given.streams == "single" and wanted.streams != "single":
        conv = conv[:, :3] + conv[:, 3:]
    return conv, running_mean.double() - constant


def _plain(names: dict[str, Tensor]) -> list[str]:
    return [name for name in names if not name.endswith(COUNTER)]


def _by_part(names: list[str], among: list[str]) -> dict[str, int]:
    """How many are in each part: {"post": 900, "pre.stage4": 5, "heads": 12}.

    Of a stream that is not `among` them as a whole, each stage is a part.
    """
    parts: Counter[str] = Counter()
    whole = first_parts(among)
    for part, count in first_parts(names).items():
        if part not in _STREAMS or count == whole[part]:
            parts[part] = count
        else:
            parts.update(
                ".".join(name.split(".")[:2]) for name in names if name.startswith(f"{part}.")
            )
    return dict(parts)


def _counted(parts: dict[str, int]) -> str:
    return ", ".join(f"{part} {count}" for part, count in parts.items())
