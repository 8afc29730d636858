"""What every source of weights shares: reading a file, inferring, fitting, accounting."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from runtime.errors import CheckpointError
from train.model import ModelConfig
from train.section import describe
from train.soundness import check_weights, storage_fault, tensors_in
from train.torch_file import SAFETENSORS, read_safetensors, read_torch_file

COUNTER = "num_batches_tracked"

_AVERAGED = ("state_dict_ema", "model_ema")
"""Where timm and others keep the averaged weights, whose score they publish. OpenMMLab's
`ema_state_dict` is the other way round: its `state_dict` holds the average."""
_CONTAINERS = ("state_dict", "model_state_dict", "model", "net", "network", "module")
_WRAPPERS = ("module", "model", "net", "network", "_orig_mod")
"""Of DataParallel, of common training loops, and of torch.compile."""
_AS_PUBLISHED = "take the file as it was published"


@dataclass(frozen=True)
class Imported:
    """A complete network, and the account of where its tensors came from.

    `loaded` and `renamed` count tensors of the file; of the loaded ones, renamed are those
    whose name differs here beyond the stream they belong to. `filled` counts the batch norm
    counters that the file lacks, `fresh` the tensors of parts that the file does not have.
    """

    model: ModelConfig
    weights: dict[str, Tensor]
    loaded: int
    renamed: int
    filled: int
    fresh: int = 0
    dropped: dict[str, int] = field(default_factory=dict)  # by the first part of their names
    unknown: list[str] = field(default_factory=list)  # of the dropped, those of no known part


def read_state(path: Path) -> dict[str, Tensor]:
    """The named tensors of a file: at its top level, or in a dict under `state_dict`,
    `model_state_dict`, `model`, `net`, ..., however deep; the averaged ones where it has both.

    Raises:
        CheckpointError: missing, damaged, with objects that are no plain data, or with
            several networks.
    """
    if path.suffix.lower() == SAFETENSORS:
        return read_safetensors(path)
    content = read_torch_file(
        path,
        absent=f"no such file; expected published weights (.pth, {SAFETENSORS})",
        unreadable="not readable as weights",
        advice="expected a file of `torch.save`, this one is damaged or of another program; "
        "fetch it again",
    )
    return state_in(path, content)


def state_in(path: Path, content: Any) -> dict[str, Tensor]:
    """Like `read_state`, of what `path` was read as."""
    for _ in range(len(_AVERAGED + _CONTAINERS)):  # a container may hold itself
        inner = _inner(path, content)
        if inner is None:
            break
        content = inner
    named = content.items() if isinstance(content, Mapping) else ()
    return {name: t for name, t in named if isinstance(name, str) and isinstance(t, Tensor)}


def _inner(path: Path, content: Any) -> Mapping[Any, Any] | None:
    """The dict of weights inside `content`, where there is one."""
    if not isinstance(content, Mapping):
        return None
    for key in _AVERAGED:
        if isinstance(content.get(key), Mapping) and tensors_in(content[key]):
            return content[key]
    found = {key: content[key] for key in _CONTAINERS if isinstance(content.get(key), Mapping)}
    holding = {key: each for key, each in found.items() if tensors_in(each)}
    if len({id(each) for each in holding.values()}) > 1:
        raise CheckpointError(
            f"{path}: holds several networks, under {' and '.join(holding)}; expected one, save "
            "the one that is meant alone"
        )
    return next(iter((holding or found).values()), None)


def unwrapped(path: Path, names: Iterable[str], *more: str) -> dict[str, str]:
    """Each name without the prefixes that wrappers put before it, in any combination.

    Args:
        more: other wrappers of this source.
    Raises:
        CheckpointError: two names become one.
    """
    prefixes = re.compile(rf"^(?:(?:{'|'.join((*_WRAPPERS, *more))})\.)+")
    short: dict[str, str] = {}
    first: dict[str, str] = {}
    for name in names:
        # torch.compile puts its own before any module, not only before the outermost.
        short[name] = prefixes.sub("", name).replace("._orig_mod.", ".")
        other = first.setdefault(short[name], name)
        if other != name:
            raise CheckpointError(
                f"{path}: holds more than one backbone ({other} and {name}); expected one network, "
                "take the others out"
            )
    return short


def infer_backbone(path: Path, stream: dict[str, Tensor], **fields: Any) -> ModelConfig | None:
    """The architecture that one stream's names and shapes imply; None if it is no HRNet.

    Widths go by the majority, so that one wrong tensor is named rather than believed.
    `fields` are the rest of the configuration.
    """
    width = _majority(stream, r"stage\d\.\d+\.branches\.0\.\d+\.(?:conv|bn)\d\.weight")
    stem_width = _majority(stream, r"(?:layer1\.\d+\.)?(?:conv|bn)[12]\.weight")
    if width is None or stem_width is None:
        return None
    try:
        return ModelConfig(
            width=width,
            stem_width=stem_width,
            bottlenecks=_count(stream, r"layer1\.(\d+)\."),
            modules=tuple(_count(stream, rf"stage{stage}\.(\d+)\.") for stage in (2, 3, 4)),
            blocks=_count(stream, r"stage\d\.\d+\.branches\.\d+\.(\d+)\."),
            **fields,
        )
    except ValidationError as error:
        raise CheckpointError(f"{path}: {describe(error)}") from error


def fit(
    path: Path, tensors: dict[str, Tensor], expected: dict[str, Tensor]
) -> tuple[dict[str, Tensor], int]:
    """The tensors that `expected` names, in its types; how many counters had to be filled.

    Files of old PyTorch versions lack batch norm's `num_batches_tracked`: those become 0.
    Each tensor has its own memory.

    Raises:
        CheckpointError: names the first tensor that is missing, has another shape, or is not
            sound (see `train.soundness`).
    """
    lost = [name for name in expected if name not in tensors and not name.endswith(COUNTER)]
    if lost:
        raise CheckpointError(
            f"{path}: {lost[0]} is missing, {len(lost)} of {len(expected)} tensors in all; "
            f"expected the whole network, {_AS_PUBLISHED}"
        )
    odd = {n: f for n in expected if n in tensors and (f := storage_fault(tensors[n]))}
    for name, fault in odd.items():
        raise CheckpointError(
            f"{path}: {name} {fault}; {len(odd)} of {len(expected)} tensors are like that, "
            f"{_AS_PUBLISHED}"
        )
    wrong = [n for n, wanted in expected.items() if n in tensors and not _fits(tensors[n], wanted)]
    if wrong:
        found, wanted = _kind(tensors[wrong[0]]), _kind(expected[wrong[0]])
        raise CheckpointError(
            f"{path}: {wrong[0]} is {found}, expected {wanted}; {len(wrong)} of "
            f"{len(expected)} tensors do not fit, {_AS_PUBLISHED}"
        )
    fitted = {
        name: tensors[name].detach().to(wanted.dtype).clone().contiguous()
        if name in tensors
        else wanted.new_zeros((), device="cpu")
        for name, wanted in expected.items()
    }
    check_weights(path, fitted, f"such a network maps nothing rightly; {_AS_PUBLISHED}")
    return fitted, sum(name not in tensors for name in expected)


def first_parts(names: list[str]) -> dict[str, int]:
    """How many names begin with each part: {"classifier": 2, ...}."""
    return dict(sorted(Counter(name.partition(".")[0] for name in names).items()))


def _majority(state: dict[str, Tensor], pattern: str) -> int | None:
    """The most frequent first dimension among the tensors of that name."""
    sizes = Counter(
        t.shape[0]
        for name, t in state.items()
        if not t.is_nested and t.ndim and re.fullmatch(pattern, name)
    )
    return sizes.most_common(1)[0][0] if sizes else None


def _count(state: dict[str, Tensor], pattern: str) -> int:
    """How many different indices the names have; at least one, whose absence is an error later."""
    return max(1, len({match[1] for name in state if (match := re.match(pattern, name))}))


def _fits(tensor: Tensor, wanted: Tensor) -> bool:
    same_sort = tensor.is_floating_point() == wanted.is_floating_point()
    return same_sort and tensor.shape == wanted.shape


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
